"""A database of before: what had been seen of a payment when it was marked paid by hand becomes a part of its price."""

from __future__ import annotations

OF_BEFORE = """
with payer as (insert into account (email, password_hash) values ('dora@example.com', '') returning id),
sold as (insert into plan (code, name, price_cents, credits_per_cycle) values ('m', 'M', 999, 100) returning id),
made as (
    insert into invoice (
        account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at, paid_by, processor_ref,
        received_cents, known_cents, trouble, trouble_words
    )
    select payer.id, sold.id, 'btcpay', 999, 'USD', 100, 'paid', now(), now(), 'carol', t.name, t.received, t.known,
        case when t.told then 'over' else '' end, case when t.told then 'Too much came.' else '' end
    from payer, sold, (values
        ('confirmed since', 999, 0, true), ('confirmed, and more', 1500, 0, true), ('closed there with all of it', 999, 0, false),
        ('came afterwards', 999, 0, true), ('a part', 400, 400, false), ('more had been seen', 1500, 1500, false)
    ) as t (name, received, known, told)
    returning id
)
select count(*) from made;
insert into audit (actor, action, subject, after)
select 'cashier', 'invoice.partial', id::text, jsonb_build_object('received_cents', 999) from invoice
where processor_ref = 'closed there with all of it';
insert into audit (actor, action, subject, before)
select 'carol', 'invoice.marked_paid', id::text,
    jsonb_build_object('state', case when processor_ref like 'confirmed%' then 'processing' else 'expired' end)
from invoice;
"""


async def test_what_had_been_seen_before_it_was_marked_is_not_too_much(database_before):
    before = await database_before("too_much_each_time")
    old = before.db
    await old.execute(OF_BEFORE)
    await before.migrate()
    found = await old.fetch("select processor_ref, received_cents - known_cents as more, trouble from invoice")
    assert {each["processor_ref"]: (each["more"], each["trouble"]) for each in found} == {
        "confirmed since": (0, ""),
        "confirmed, and more": (501, "over"),
        "closed there with all of it": (0, ""),
        "came afterwards": (999, "over"),
        "a part": (0, ""),
        "more had been seen": (501, ""),
    }
    assert (
        await old.fetchval("select count(*) from audit where action = 'invoice.dealt_with' and actor = 'system'") == 1
    )
