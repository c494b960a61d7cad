/* pgmigrate-encoding: utf-8 */
-- A yes counts once; money that comes for what was marked paid by hand is told; and what was given back is in doubt no more.
-- Only adds: an image of before gives its yes without a number, and marks paid what it knows nothing more of.

create table assent (
    id uuid primary key,
    given_at timestamptz not null default now()
);

comment on table assent is 'a yes on the page that asks once more, written down by what it brought about: no second one counts';

create index assent_age on assent (given_at);

alter table invoice add column known_cents bigint not null default 0 check (known_cents >= 0);

comment on column invoice.known_cents is
'what its processor had seen when it was marked paid by hand: a part of the price; what comes later comes twice';

update invoice set known_cents = received_cents
where paid_by <> '' and received_cents > 0 and received_cents < amount_cents;

-- What went back as a whole was taken off already; V0040, or a processor's late word, took it out of the revenue once more.
update payment_doubt as d set until = now()
from invoice as i
where d.until is null and i.id = d.invoice_id and exists (
    select from refund as r
    where r.invoice_id = i.id and r.kind = 'whole' and r.state = 'sent' and r.ended_at >= i.paid_at
);

-- And froze credits that were bought since.
with wrong as (
    update invoice as i set frozen_credits = 0
    from (
        select w.id, w.frozen_credits from invoice as w
        where w.state = 'paid' and w.frozen_credits > 0 and exists (
            select from refund as r
            where r.invoice_id = w.id and r.kind = 'whole' and r.state = 'sent' and r.ended_at >= w.paid_at
        )
        for update
    ) as was
    where i.id = was.id
    returning i.id, i.account_id, was.frozen_credits
),
thawed as (
    insert into ledger_entry (account_id, kind, credits, why)
    select account_id, 'adjust', frozen_credits, 'Thawed: what was in doubt had been given back before' from wrong
)
insert into audit (actor, action, subject, before, after)
select 'system', 'invoice.thawed', id::text, jsonb_build_object('frozen', frozen_credits),
    jsonb_build_object('frozen', 0, 'reason', 'the payment had been given back before it was doubted')
from wrong;
