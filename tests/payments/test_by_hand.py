"""What was marked paid by hand is credited once; what comes at the processor as well is told, and can be given back."""

from __future__ import annotations

import pytest

from limner.sql import payments, refunds
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
    assert await refunds.owed(till.db, found) == {"whole": 0, "surplus": 999, "credits": 100}
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
    assert await refunds.owed(till.db, await till.invoice(invoice.id)) == {"whole": 0, "surplus": 0, "credits": 100}
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


@pytest.mark.parametrize("by_night", [False, True])
@pytest.mark.parametrize("is_called_off", [False, True])
@pytest.mark.parametrize("how", ["bounce", "give_up"])
async def test_what_was_seen_there_and_turns_out_invalid_is_no_money_to_give_back(till, by_night, is_called_off, how):
    invoice = await by_hand(till)
    till.btcpay.pay(invoice.processor_ref)  # nobody had seen it when it was marked
    if is_called_off:
        await till.work()
    getattr(till.btcpay, how)(invoice.processor_ref)
    if by_night:
        await till.cashier().receive(Reconcile())
    else:
        await said(till)
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, found.frozen_credits) == ("paid", "", 0)
    assert (await refunds.owed(till.db, found))["surplus"] == 0


@pytest.mark.parametrize("by_night", [False, True])
async def test_what_comes_for_a_checkout_that_is_only_marked_invalid_is_told(till, by_night):
    invoice = await by_hand(till)
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    till.btcpay.mark(invoice.processor_ref, "Invalid")
    if by_night:
        await till.cashier().receive(Reconcile())
    else:
        await said(till)
    assert "9.99 USD came at btcpay as well" in (await till.invoice(invoice.id)).trouble_words


async def test_what_was_seen_there_before_and_turns_out_invalid_is_in_doubt(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref)
    await till.look()
    await payments.mark_paid(till.db, invoice.id, "it is seen", **BY)
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits) == ("doubted", 100)
