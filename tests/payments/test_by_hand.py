"""What was marked paid by hand is credited once; what comes at the processor as well is told, and can be given back."""

from __future__ import annotations

import pytest

from limner.sql import payments, refundable, refunds
from limner.sql.billing import Reconcile
from limner.sql.invoices import WrongState
from tests.payments.test_doubts import BY, in_doubt, revenue, said


async def by_hand(till, processor: str = "btcpay"):
    """Paid in cash, and called off at the processor."""
    invoice = await till.buy(processor)
    await payments.mark_paid(till.db, invoice.id, "in cash", **BY)
    return await till.invoice(invoice.id)


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
async def test_its_checkout_is_closed_and_that_puts_nothing_in_doubt(till, processor):
    before, invoice = await revenue(till), await by_hand(till, processor)
    await till.work()
    if processor == "btcpay":
        assert till.there(invoice).status == "Invalid"
        await said(till)
    else:
        assert till.session(invoice).status == "expired"
    await till.cashier().check(invoice)
    assert ((await till.invoice(invoice.id)).trouble, await till.credits(), await in_doubt(till)) == ("", 100, {})
    assert await revenue(till) == before + 999


@pytest.mark.parametrize("by_night", [False, True])
async def test_what_comes_there_as_well_is_told_once_and_given_back(till, by_night):
    invoice = await by_hand(till)
    till.btcpay.pay(invoice.processor_ref, confirmed=True)  # a moment before it was called off
    await till.work()
    for _ in range(2):
        if by_night:
            await till.cashier().receive(Reconcile())
        else:
            await said(till)
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble) == ("paid", "over")
    assert found.trouble_words == (
        "It was marked paid by hand, and 9.99 USD came at btcpay as well: give it back, or leave it."
    )
    assert await till.audited("invoice.over") == 1 and await till.is_credited_once(invoice)
    assert await refundable.owed(till.db, found) == {"whole": 0, "surplus": 999, "credits": 100}
    with pytest.raises(WrongState, match="by hand"):
        await refunds.order(till.db, invoice.id, "whole", "twice", **BY)
    await refunds.order(till.db, invoice.id, "surplus", "it came twice", **BY)
    await till.work()
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["9.99"]
    assert ((await till.invoice(invoice.id)).trouble, await till.credits()) == ("", 100)
    await till.cashier().receive(Reconcile())
    assert (await till.invoice(invoice.id)).trouble == ""


async def test_a_part_that_had_come_is_a_part_of_the_price(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    await till.look()
    await payments.mark_paid(till.db, invoice.id, "the rest in cash", **BY)
    await till.work()
    assert await refundable.owed(till.db, await till.invoice(invoice.id)) == {"whole": 0, "surplus": 0, "credits": 100}
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await said(till)
    assert "5.99 USD came at btcpay as well" in (await till.invoice(invoice.id)).trouble_words


async def test_a_part_that_comes_too_late_is_told_too(till):
    invoice = await by_hand(till)
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    till.btcpay.expire(invoice.processor_ref)
    await till.work()
    await till.cashier().receive(Reconcile())
    assert "4.00 USD came at btcpay as well" in (await till.invoice(invoice.id)).trouble_words


async def test_what_was_seen_there_before_and_turns_out_invalid_is_in_doubt(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref)
    await till.look()
    await payments.mark_paid(till.db, invoice.id, "it is seen", **BY)
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits) == ("doubted", 100)


async def test_more_than_the_price_that_had_come_before_is_too_much(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "15.00")
    await till.look()
    await payments.mark_paid(till.db, invoice.id, "it is seen", **BY)
    await till.work()
    till.btcpay.confirm(invoice.processor_ref)
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.known_cents, await refundable.surplus(till.db, found), found.trouble) == (999, 501, "over")
    assert "5.01 USD came at btcpay as well" in found.trouble_words


async def given_back(till, invoice) -> None:
    await refunds.order(till.db, invoice.id, "surplus", "it came as well", **BY)
    await till.work()
    assert {each.state for each in await refunds.of_invoice(till.db, invoice.id)} == {"sent"}


@pytest.mark.parametrize("by_night", [False, True])
async def test_what_comes_a_second_time_is_told_a_second_time_and_given_back(till, by_night):
    invoice = await by_hand(till)
    bob = await till.site.browser(till.cast.bob)
    for times in (1, 2):
        till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
        till.btcpay.expire(invoice.processor_ref)
        for _ in range(2):
            if by_night:
                await till.cashier().receive(Reconcile())
            else:
                await said(till)
        found = await till.invoice(invoice.id)
        assert (found.trouble, await till.audited("invoice.over")) == ("over", times)
        assert " 4.00 USD came at btcpay as well" in found.trouble_words
        assert "4.00 USD more than asked arrived" in (await bob.get(f"/invoices/{invoice.id}")).text
        await given_back(till, invoice)
    assert "more than asked arrived" not in (await bob.get(f"/invoices/{invoice.id}")).text
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["4.00", "4.00"]
    await till.cashier().receive(Reconcile())
    assert ((await till.invoice(invoice.id)).trouble, await till.credits()) == ("", 100)
    with pytest.raises(WrongState, match="nothing to give back"):
        await refunds.order(till.db, invoice.id, "surplus", "a third time", **BY)


@pytest.mark.parametrize("age", ["1 hour", "50 hours"])
async def test_what_comes_after_we_had_it_closed_is_told_by_night_when_every_webhook_is_lost(till, age):
    invoice = await by_hand(till)
    await till.work()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    assert till.there(invoice).status == "Invalid"
    till.there(invoice).created -= 5 * 86400 if age == "50 hours" else 0
    await till.pass_by(age)
    for _ in range(2):
        await till.cashier().receive(Reconcile())
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.received_cents, await till.audited("invoice.over")) == ("over", 400, 1)


async def test_what_turns_out_invalid_is_in_doubt_by_night_too(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref)
    await till.look()
    await payments.mark_paid(till.db, invoice.id, "it is seen", **BY)
    till.btcpay.bounce(invoice.processor_ref)
    for _ in range(2):
        await till.cashier().receive(Reconcile())
    assert ((await till.invoice(invoice.id)).trouble, await till.audited("invoice.doubted")) == ("doubted", 1)


async def test_money_that_may_be_none_is_not_told_as_come_until_it_has(till):
    invoice = await by_hand(till)
    till.btcpay.pay(invoice.processor_ref)
    await till.work()
    till.there(invoice).status = "Invalid"  # never confirmed, in all the time that it is watched there
    await said(till)
    found = await till.invoice(invoice.id)
    assert found.trouble_words == (
        "It was marked paid by hand, and 9.99 USD was seen at btcpay, which calls it invalid: "
        "look there before you give it back."
    )
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await said(till)
    assert "9.99 USD came at btcpay as well" in (await till.invoice(invoice.id)).trouble_words
