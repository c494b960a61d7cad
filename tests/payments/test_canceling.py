"""Who does not want an invoice any more: it is closed at its processor, unless money came just before."""

from __future__ import annotations

import pytest

from limner.actors.processors.base import Unreachable
from limner.sql import billing, erasure, payments, plans, refunds
from limner.sql.billing import CancelInvoice
from tests.upstreams import btcpay, stripe
from tests.upstreams.btcpay import KEY, Script


def closings(till):
    return [each for each in till.btcpay.asked if each.path.endswith("/status")]


async def test_what_was_paid_just_before_is_credited_and_not_called_invalid(till):
    """BTCPay would take the word of a shop that calls a settled payment invalid."""
    invoice = await till.buy()
    await billing.cancel(till.db, invoice)
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.work()
    assert await till.is_credited_once(invoice)
    assert till.there(invoice).status == "Settled"
    assert closings(till) == []


async def test_what_is_seen_and_not_confirmed_goes_on(till):
    invoice = await till.buy()
    await billing.cancel(till.db, invoice)
    till.btcpay.pay(invoice.processor_ref)
    await till.work()
    assert (await till.invoice(invoice.id)).state == "processing"
    till.btcpay.confirm(invoice.processor_ref)
    await till.look()
    assert await till.is_credited_once(invoice)


async def test_a_part_that_came_just_before_is_not_lost_either(till):
    invoice = await till.buy()
    await billing.cancel(till.db, invoice)
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    await till.work()
    found = await till.invoice(invoice.id)
    assert (found.state, found.received_cents, closings(till)) == ("pending", 400, [])
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    assert (await till.invoice(invoice.id)).trouble == "partial"


async def test_money_that_came_while_it_was_being_closed_is_told_and_can_go_back(till):
    """Between our look and its end: BTCPay calls the whole invalid, and has the money."""
    invoice = await till.buy()
    close = till.btcpay.mark
    till.btcpay.mark = lambda ref, status: (till.btcpay.pay(ref, confirmed=True), close(ref, status))
    await billing.cancel(till.db, invoice)
    await till.work()
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, found.received_cents) == ("invalid", "partial", 999)
    assert "9.99 of 9.99 USD" in found.trouble_words
    assert await till.grants(invoice) == 0
    await refunds.order(till.db, invoice.id, "whole", "not wanted any more", actor="carol@example.com")
    await till.work()
    assert [each.state for each in await refunds.of_invoice(till.db, invoice.id)] == ["sent"]


async def test_money_for_what_is_closed_is_found_by_night_when_every_webhook_was_lost(till):
    invoice = await till.buy()
    await billing.cancel(till.db, invoice)
    await till.work()
    assert (await till.invoice(invoice.id)).trouble == ""
    till.there(invoice).status = "New"
    till.btcpay.pay(invoice.processor_ref, "9.99", confirmed=True)
    till.btcpay.mark(invoice.processor_ref, "Invalid")
    for _ in range(2):
        await till.cashier().receive(billing.Reconcile())
    assert (await till.invoice(invoice.id)).trouble == "partial"
    assert await till.audited("invoice.partial") == 1


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
@pytest.mark.parametrize("status", [422, 503])
async def test_a_processor_that_cannot_be_asked_loses_no_cancellation(till, processor, status):
    """Whoever reads nothing closes nothing, and comes again."""
    invoice = await till.buy(processor)
    upstream, key = (till.btcpay, btcpay.KEY) if processor == "btcpay" else (till.stripe, stripe.KEY)
    upstream.always(key, Script(status))
    with pytest.raises(Unreachable):
        await till.cashier().receive(CancelInvoice(invoice.id))
    assert not [each for each in upstream.asked if each.path.endswith(("/status", "/expire"))]
    assert (await till.invoice(invoice.id)).state == "pending"
    upstream.standing.clear()
    await till.cashier().receive(CancelInvoice(invoice.id))
    assert not (await till.invoice(invoice.id)).is_open


async def test_what_cannot_be_closed_is_tried_again(till):
    invoice = await till.buy()
    till.btcpay.script(KEY, Script(422, [{"message": "not now"}], path="/status"))
    with pytest.raises(Unreachable, match="still open"):
        await till.cashier().receive(CancelInvoice(invoice.id))
    await till.cashier().receive(CancelInvoice(invoice.id))
    assert (await till.invoice(invoice.id)).state == "invalid"


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
@pytest.mark.parametrize("how", ["canceled", "paid"])
async def test_what_is_decided_while_it_is_being_opened_is_closed_when_it_is_open(till, processor, how):
    plan = await plans.by_code(till.db, "monthly")
    invoice = await billing.buy(till.db, till.cast.bob.id, plan, processor)
    if how == "paid":
        await payments.mark_paid(till.db, invoice.id, "in cash", actor="carol@example.com")
    else:
        await billing.cancel(till.db, invoice)
        await till.db.execute("delete from message where kind = 'OpenInvoice'")
    await till.work()
    await till.cashier().open(invoice)  # as it was when another cashier began
    await till.work()
    found = await till.invoice(invoice.id)
    there = till.there(found).status if processor == "btcpay" else till.session(found).status
    assert (found.state, found.trouble) == (how, "")
    assert there == {"btcpay": "Invalid", "stripe": "expired"}[processor]


async def test_what_the_processor_knows_nothing_of_is_canceled_here(till):
    invoice = await till.buy()
    till.btcpay.invoices.clear()
    await till.cashier().receive(CancelInvoice(invoice.id))
    assert (await till.invoice(invoice.id)).state == "canceled"


async def test_a_deleted_accounts_payment_of_the_last_second_is_told(till):
    invoice = await till.buy()
    await erasure.erase(till.db, till.cast.bob.id, actor="cli", why="asked for")
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.work()
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, closings(till)) == ("expired", "mismatch", [])


async def test_how_an_old_session_ended_closes_no_new_one(till):
    """Two look at a session that ran out: one opens the invoice anew, and the other knows only how the old one ended."""
    invoice = await till.buy("stripe")
    await till.db.execute("update invoice set expires_at = now() + interval '3 days'")
    till.stripe.expire(invoice.processor_ref)
    late = till.cashier()
    await till.cashier().check(await till.invoice(invoice.id))
    anew = await till.invoice(invoice.id)
    assert anew.processor_ref != invoice.processor_ref
    await late.check(invoice)
    assert (await till.invoice(invoice.id)).state == "pending"
