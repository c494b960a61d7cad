"""Money back: once, through the processor that has it, with what is left of the credits, and audited."""

from __future__ import annotations

import asyncio

import pytest

from limner.sql import billing, payments, plans, refundable, refunds
from limner.sql.invoices import WrongState
from tests.payments.test_any_order import MOST_STEPS
from tests.upstreams import btcpay, stripe
from tests.upstreams.btcpay import Script

BY = {"actor": "carol@example.com"}


async def bought(till, processor="btcpay", worth=None):
    invoice = await till.buy(processor)
    if processor == "btcpay":
        till.btcpay.pay(invoice.processor_ref, worth, confirmed=True)
    else:
        till.stripe.pay(invoice.processor_ref)
    await till.look()
    return await till.invoice(invoice.id)


async def test_btcpay_makes_a_pull_payment_and_its_owner_gets_the_link(till):
    invoice = await bought(till)
    ordered = await refunds.order(till.db, invoice.id, "whole", "ordered by mistake", **BY)
    assert (ordered.amount_cents, ordered.credits_taken) == (999, 100)
    assert await till.credits() == 0
    await till.work()
    found = (await refunds.of_invoice(till.db, invoice.id))[0]
    pull = till.btcpay.pulls[0]
    assert (found.state, found.processor_ref, found.claim_url) == ("sent", pull["id"], pull["viewLink"])
    assert (pull["amount"], pull["currency"], pull["payoutMethods"]) == ("9.99", "USD", ["BTC-CHAIN"])
    mail = await till.db.fetchrow("select recipient, template, details from notice where template = 'refund_sent'")
    assert mail["recipient"] == till.cast.bob.email and mail["details"]["path"] == f"/invoices/{invoice.id}"
    assert await till.audited("invoice.refund") == await till.audited("invoice.refund_sent") == 1


async def test_stripe_gives_it_back_to_the_card(till):
    invoice = await bought(till, "stripe")
    await refunds.order(till.db, invoice.id, "whole", "ordered by mistake", **BY)
    await till.work()
    assert [each["amount"] for each in till.stripe.refunds] == [999]
    assert (await refunds.of_invoice(till.db, invoice.id))[0].state == "sent"


async def test_only_what_is_left_of_the_credits_is_taken_back(till):
    invoice = await bought(till)
    await till.db.execute(
        "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', -70, 'painted')",
        till.cast.bob.id,
    )
    ordered = await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    assert ordered.credits_taken == 30
    assert await till.credits() == 0


async def test_credits_of_another_invoice_stay(till):
    first = await bought(till)
    second = await bought(till)
    assert await till.credits() == 200
    await refunds.order(till.db, first.id, "whole", "one too many", **BY)
    assert await till.credits() == 100
    assert second.state == "paid"


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
async def test_ten_at_once_give_it_back_once(till, processor):
    invoice = await bought(till, processor)
    tries = [refunds.order(till.db, invoice.id, "whole", "a complaint", **BY) for _ in range(10)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, WrongState) for each in found) == 9
    (refund,) = [each for each in found if not isinstance(each, WrongState)]
    await asyncio.gather(*(till.cashier().pay_back(refund.id) for _ in range(10)))
    await till.work()
    assert len(till.btcpay.pulls) + len(till.stripe.refunds) == 1
    assert await till.credits() == 0


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
async def test_a_cashier_that_dies_anywhere_sends_it_once(till, processor):
    for steps in range(MOST_STEPS):
        invoice = await bought(till, processor)
        await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
        await till.work(lives=steps)
        await till.pass_by("10 minutes")
        await till.look()
        assert len(till.btcpay.pulls) + len(till.stripe.refunds) == steps + 1, steps
        assert (await refunds.of_invoice(till.db, invoice.id))[0].state == "sent"


@pytest.mark.parametrize("answer", [Script(503), Script(act="drop"), Script(401, {})])
async def test_it_waits_for_a_processor_that_is_down(till, answer):
    invoice = await bought(till)
    await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    till.btcpay.always(btcpay.KEY, answer)
    await till.work()
    assert (await refunds.of_invoice(till.db, invoice.id))[0].state == "asked"
    del till.btcpay.standing[btcpay.KEY]
    await till.pass_by("10 minutes")
    await till.look()
    assert (await refunds.of_invoice(till.db, invoice.id))[0].state == "sent"
    assert len(till.btcpay.pulls) == 1


async def test_what_the_processor_refuses_brings_the_credits_back_and_may_be_ordered_again(till):
    invoice = await bought(till, "stripe")
    await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    till.stripe.script(stripe.KEY, Script(402, {"error": {"message": "Insufficient funds"}}, path="/v1/refunds"))
    await till.work()
    failed = (await refunds.of_invoice(till.db, invoice.id))[0]
    assert failed.state == "failed" and "Insufficient funds" in failed.error
    assert await till.credits() == 100
    assert (await till.invoice(invoice.id)).trouble == "refund"
    await refunds.order(till.db, invoice.id, "whole", "once more", **BY)
    await till.work()
    assert [each.state for each in await refunds.of_invoice(till.db, invoice.id)] == ["failed", "sent"]
    assert (await till.invoice(invoice.id)).trouble == ""


async def test_the_surplus_goes_back_and_the_plan_stays(till):
    invoice = await bought(till, worth="15.00")
    assert (await refundable.owed(till.db, invoice)) == {"whole": 1500, "surplus": 501, "credits": 100}
    await refunds.order(till.db, invoice.id, "surplus", "too much came", **BY)
    await till.work()
    assert till.btcpay.pulls[0]["amount"] == "5.01"
    assert await till.credits() == 100
    await refunds.order(till.db, invoice.id, "whole", "and then all of it", **BY)
    await till.work()
    assert till.btcpay.pulls[1]["amount"] == "9.99"


async def test_a_surplus_that_grows_is_told_again_and_only_the_rest_of_it_goes_back(till):
    invoice = await bought(till, worth="15.00")
    await refunds.order(till.db, invoice.id, "surplus", "too much came", **BY)
    await till.work()
    assert (await till.invoice(invoice.id)).trouble == ""
    till.btcpay.pay(invoice.processor_ref, "2.00", confirmed=True)
    for _ in range(2):
        await till.cashier().receive(billing.Reconcile())
    found = await till.invoice(invoice.id)
    assert (found.trouble_words, await till.audited("invoice.over")) == (
        "2.00 USD more than asked came: give it back, or leave it.",
        2,
    )
    assert (await refundable.owed(till.db, found))["surplus"] == 200
    await refunds.order(till.db, invoice.id, "surplus", "and once more", **BY)
    await till.work()
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["5.01", "2.00"]


async def test_a_surplus_that_went_back_is_not_told_again_when_the_payment_holds(till):
    invoice = await bought(till, worth="15.00")
    await refunds.order(till.db, invoice.id, "surplus", "too much came", **BY)
    await till.work()
    await payments.doubt(till.db, await till.invoice(invoice.id), {}, actor="cashier")
    await till.cashier().receive(billing.Reconcile())
    assert ((await till.invoice(invoice.id)).trouble, await till.audited("invoice.over")) == ("", 1)
    assert await till.audited("invoice.holds") == 1


async def test_a_part_that_ran_out_goes_back_and_is_not_credited_when_the_rest_comes(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    await refunds.order(till.db, invoice.id, "whole", "too little, too late", **BY)
    await till.work()
    assert till.btcpay.pulls[0]["amount"] == "4.00"
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.pass_by("10 minutes")
    await till.look()
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble) == ("expired", "mismatch")
    assert await till.grants(invoice) == 0


async def test_what_cannot_be_given_back_is_refused(till):
    pending = await till.buy()
    with pytest.raises(WrongState):
        await refunds.order(till.db, pending.id, "whole", "why not", **BY)
    await payments.mark_paid(till.db, pending.id, "in cash", **BY)
    with pytest.raises(WrongState, match="by hand"):
        await refunds.order(till.db, pending.id, "whole", "why not", **BY)
    paid = await bought(till)
    with pytest.raises(WrongState, match="nothing to give back"):
        await refunds.order(till.db, paid.id, "surplus", "why not", **BY)
    assert await till.credits() == 200


async def test_marked_paid_by_hand_is_credited_once_and_audited(till):
    invoice = await till.buy()
    tries = [payments.mark_paid(till.db, invoice.id, "in cash", **BY) for _ in range(5)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, WrongState) for each in found) == 4
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.deliver(till.btcpay.events[-1])
    await till.work()
    assert await till.is_credited_once(invoice)
    assert await till.audited("invoice.marked_paid") == 1


async def test_a_canceled_invoice_is_closed_there_unless_it_was_paid_meanwhile(till):
    for processor in ("btcpay", "stripe"):
        invoice = await till.buy(processor)
        await billing.cancel(till.db, invoice)
        await till.work()
        assert (await till.invoice(invoice.id)).state in ("invalid", "expired", "canceled")
        paid = await till.buy(processor)
        await billing.cancel(till.db, paid)
        if processor == "btcpay":
            till.btcpay.pay(paid.processor_ref, confirmed=True)
            till.btcpay.script(btcpay.KEY, Script(422, [{"message": "Already settled"}], path="/status"))
        else:
            till.stripe.pay(paid.processor_ref)
        await till.work()
        assert await till.is_credited_once(paid)
        with pytest.raises(WrongState):
            await billing.cancel(till.db, await till.invoice(paid.id))


async def test_plans_that_are_not_sold_any_more_can_still_be_paid_for(till):
    invoice = await till.buy()
    await till.db.execute("update plan set active = false")
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    assert await till.is_credited_once(invoice)
    assert (await plans.get(till.db, invoice.plan.id)).active is False
