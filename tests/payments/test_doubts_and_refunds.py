"""What is in doubt and what goes back meet in any order: credits and revenue are taken off once, and come again once."""

from __future__ import annotations

import pytest

from limner.actors import settlement
from limner.actors.processors.base import processor
from limner.actors.watch import tongues
from limner.sql import doubts, invoices, payments, refunds
from limner.sql.billing import Reconcile
from tests.beside import beside
from tests.payments.test_doubts import BY, bought, doubted, in_doubt, revenue, said


async def frozen(till, invoice) -> int:
    return (await till.invoice(invoice.id)).frozen_credits


async def doubt(db, invoice) -> bool:
    """The processor calls it invalid."""
    return await payments.doubt(db, invoice, {}, actor="cashier")


async def ordered(till, invoice, kind: str = "whole"):
    """A refund in the cashier's hands."""
    refund = await refunds.order(till.db, invoice.id, kind, "a complaint", **BY)
    return await refunds.take(till.db, refund.id)


async def test_what_was_frozen_stays_so_when_its_refund_cannot_be_sent(till):
    invoice = await doubted(till)
    await refunds.order(till.db, invoice.id, "whole", "it was doubtful", **BY)
    await till.work()
    assert [each.state for each in await refunds.of_invoice(till.db, invoice.id)] == ["failed"]
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits, await till.credits()) == ("refund", 100, 0)
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await said(till)
    assert (await frozen(till, invoice), await till.credits(), await in_doubt(till)) == (0, 100, {})
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    assert (await frozen(till, invoice), await till.credits()) == (100, 0)


async def test_what_falls_into_doubt_on_its_way_back_takes_nobody_elses_credits(till):
    invoice, _ = await bought(till), await bought(till)
    assert await till.credits() == 200
    refund = await ordered(till, invoice)
    assert await doubt(till.db, invoice)
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits, await till.credits()) == ("doubted", 0, 100)
    assert "All of it went back, or is about to" in found.trouble_words
    await refunds.failed(till.db, refund, "no")
    assert (await frozen(till, invoice), await till.credits()) == (100, 100)


async def test_a_surplus_that_cannot_be_sent_brings_nothing_that_is_frozen(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "15.00", confirmed=True)
    await till.look()
    await doubt(till.db, await till.invoice(invoice.id))
    refund = await ordered(till, invoice, "surplus")
    assert refund.credits_taken == 0
    assert (await till.invoice(invoice.id)).trouble == "doubted", "the surplus is another question"
    words = (await till.invoice(invoice.id)).trouble_words
    await refunds.failed(till.db, refund, "no")
    assert (await frozen(till, invoice), await till.credits()) == (100, 0)
    found = await till.invoice(invoice.id)
    assert found.trouble == "doubted", "that is still to be decided"
    assert found.trouble_words == f"A refund could not be sent: no Besides, this is still to be decided: {words}"


async def test_what_comes_up_beside_a_doubt_is_told_beside_it_each_time(till):
    invoice = await doubted(till)
    words = (await till.invoice(invoice.id)).trouble_words
    for times in (1, 2):
        assert await payments.flag(till.db, invoice.id, "over", f"{times}.00 came.", {}, actor="cashier")
        found = await till.invoice(invoice.id)
        both = f"{times}.00 came. Besides, this is still to be decided: {words}"
        assert (found.trouble, found.trouble_words) == ("doubted", both)
    assert "Кроме того" in tongues.told("ru", both) and "заморожен" in tongues.told("ru", both)
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await said(till)
    assert (await till.invoice(invoice.id)).trouble == ""


async def test_what_went_back_is_not_taken_off_a_second_time_when_it_turns_out_invalid(till):
    before, invoice = await revenue(till), await bought(till)
    refund = await ordered(till, invoice)
    await refunds.sent(till.db, refund, "ref", None)
    await bought(till)
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    assert (await till.invoice(invoice.id)).trouble == "doubted"
    assert (await frozen(till, invoice), await till.credits()) == (0, 100)
    assert (await revenue(till), await in_doubt(till)) == (before + 999, {})


async def test_the_night_does_not_ask_what_became_of_money_that_went_back(till):
    before, invoice = await revenue(till), await bought(till)
    await refunds.sent(till.db, await ordered(till, invoice), "ref", None)
    del till.btcpay.invoices[invoice.processor_ref]
    await till.cashier().receive(Reconcile())
    assert ((await till.invoice(invoice.id)).trouble, await revenue(till)) == ("", before)


async def test_sent_and_doubted_at_once_is_taken_off_once(till):
    before, invoice = await revenue(till), await bought(till)
    refund = await ordered(till, invoice)
    await beside(till.db, lambda tx: doubt(tx, invoice), refunds.sent(till.db, refund, "ref", None))
    assert (await revenue(till), await in_doubt(till)) == (before, {})


async def test_two_who_say_it_at_once_are_told_once(till):
    invoice = await bought(till)
    await beside(till.db, lambda tx: doubt(tx, invoice), doubt(till.db, invoice))
    assert (await till.audited("invoice.doubted"), await frozen(till, invoice)) == (1, 100)


async def test_a_refund_that_fails_while_the_payment_is_found_to_hold_leaves_nothing_frozen(till):
    invoice = await doubted(till)
    refund = await ordered(till, invoice)
    till.btcpay.mark(invoice.processor_ref, "Settled")
    way = processor("btcpay", till.site.config, till.site.client)
    payment = await way.read(invoice.processor_ref)
    applied = settlement.apply(till.db, await till.invoice(invoice.id), payment, way.store)
    await beside(till.db, lambda tx: refunds.failed(tx, refund, "no"), applied)
    assert (await frozen(till, invoice), await till.credits(), await in_doubt(till)) == (0, 100, {})


async def test_a_part_that_is_given_back_while_the_rest_comes_is_not_credited(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    seen = await till.invoice(invoice.id)
    till.btcpay.mark(invoice.processor_ref, "Settled")
    way = processor("btcpay", till.site.config, till.site.client)
    applied = settlement.apply(till.db, seen, await way.read(invoice.processor_ref), way.store)
    await beside(till.db, lambda tx: refunds.order(tx, invoice.id, "whole", "too little", **BY), applied)
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, await till.grants(invoice)) == ("expired", "mismatch", 0)


async def test_what_turns_out_invalid_just_as_it_is_credited_is_in_doubt(till):
    seen = await till.buy()
    till.btcpay.pay(seen.processor_ref)
    till.btcpay.bounce(seen.processor_ref)
    way = processor("btcpay", till.site.config, till.site.client)
    applied = settlement.apply(till.db, seen, await way.read(seen.processor_ref), way.store)
    await beside(till.db, lambda tx: invoices.settle(tx, seen.id, actor="cashier"), applied)
    found = await till.invoice(seen.id)
    assert (found.state, found.trouble, found.frozen_credits) == ("paid", "doubted", 100)


@pytest.mark.parametrize("age", ["1 hour", "120 hours"])
async def test_a_doubt_is_lifted_by_night_however_long_ago_the_payment_was_opened(till, age):
    before, invoice = await revenue(till), await doubted(till)
    till.there(invoice).created -= 5 * 86400
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await till.db.execute("update invoice set paid_at = paid_at - $1::text::interval", age)
    await till.cashier().receive(Reconcile())
    assert (await in_doubt(till), await till.credits()) == ({}, 100)
    assert await doubts.is_open(till.db, invoice.id) is False
    assert await revenue(till) - before == (999 if age == "1 hour" else 0), (
        "what was paid five days ago is no revenue of these three"
    )


@pytest.mark.parametrize("by_night", [False, True])
async def test_what_is_taken_back_again_after_an_admin_believed_it_is_told_again(till, by_night):
    invoice = await doubted(till)
    await payments.mark_paid(till.db, invoice.id, "the bank has it", **BY)
    till.btcpay.mark(invoice.processor_ref, "Settled")
    for _ in range(2):
        if by_night:
            await till.cashier().receive(Reconcile())
        else:
            await said(till)
    assert await till.audited("invoice.holds") == 1
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits, await till.credits()) == ("doubted", 100, 0)
    assert await till.audited("invoice.doubted") == 2


async def test_another_amount_that_was_a_mistake_is_nothing_to_decide_any_more(till):
    before, invoice = await revenue(till), await bought(till)
    till.there(invoice).lies = {"amount": "0.01"}
    await till.cashier().check(invoice)
    assert ((await till.invoice(invoice.id)).trouble, await revenue(till)) == ("mismatch", before)
    till.there(invoice).lies = {}
    await till.cashier().check(invoice)
    assert ((await till.invoice(invoice.id)).trouble, await revenue(till)) == ("", before + 999)


OF_BEFORE = """
with payer as (insert into account (email, password_hash) values ('dora@example.com', '') returning id),
sold as (insert into plan (code, name, price_cents, credits_per_cycle) values ('m', 'M', 999, 100) returning id),
made as (
    insert into invoice (
        account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at, frozen_credits
    )
    select payer.id, sold.id, 'btcpay', 999, 'USD', 100, 'paid', now() - interval '3 hours', now(), t.frozen
    from payer, sold, (values (40), (0)) as t (frozen) returning id, frozen_credits
),
back as (
    insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at)
    select id, 'whole', 999, 'USD', '', 'cli', 'sent', now() - interval '2 hours' from made where frozen_credits > 0
)
insert into payment_doubt (invoice_id, cents) select id, 999 from made
"""
AFTER = "select sum(coalesce(paid_cents, 0) - coalesce(refunded_cents, 0)) from takings_line"


async def test_the_migration_puts_right_what_was_taken_off_twice(database_before):
    before = await database_before("each_yes_once")
    old = before.db
    await old.execute(OF_BEFORE)
    assert await old.fetchval(AFTER) == -999, "one went back and is in doubt as well"
    await before.migrate()
    assert await old.fetchval(AFTER) == 0, "the one that is in doubt alone stays out"
    assert await old.fetchval("select count(*) from payment_doubt where until is null") == 1
    assert await old.fetchval("select available from balance") == 40
    assert await old.fetchval("select max(frozen_credits) from invoice") == 0
    assert await old.fetchval("select actor from audit where action = 'invoice.thawed'") == "system"
