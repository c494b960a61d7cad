"""What comes after all of it went back is told, shown to its buyer, and given back as well."""

from __future__ import annotations

import pytest

from limner.sql import payments, redemptions, refundable, refunds
from limner.sql.billing import Reconcile
from limner.sql.invoices import WrongState
from tests.payments.test_doubted_gifts import dora, given
from tests.payments.test_doubts import BY, in_doubt, revenue, said


async def bought(till, worth: str | None = None):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, worth, confirmed=True)
    await till.look()
    return await till.invoice(invoice.id)


async def ran_out(till):
    """A part of it came, and it ran out."""
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    return await till.invoice(invoice.id)


async def goes_back(till, invoice, kind: str = "whole") -> None:
    await refunds.order(till.db, invoice.id, kind, "a complaint", **BY)
    await till.work()
    assert (await refunds.of_invoice(till.db, invoice.id))[-1].state == "sent"


async def owed(till, invoice) -> tuple[int, int]:
    found = await refundable.owed(till.db, await till.invoice(invoice.id))
    return found["whole"], found["surplus"]


@pytest.mark.parametrize("by_night", [False, True])
async def test_what_comes_for_a_paid_invoice_is_told_shown_and_given_back(till, by_night):
    before, invoice = await revenue(till), await bought(till)
    await goes_back(till, invoice)
    assert await owed(till, invoice) == (0, 0)
    for times in (1, 2):
        till.btcpay.pay(invoice.processor_ref, "5.00", confirmed=True)
        for _ in range(2):
            await (till.cashier().receive(Reconcile()) if by_night else said(till))
        found = await till.invoice(invoice.id)
        assert (found.trouble, await till.audited("invoice.over")) == ("over", times)
        assert found.trouble_words.startswith("5.00 USD more than asked came")
        assert await owed(till, invoice) == (0, 500)
        bob = await till.site.browser(till.cast.bob)
        assert "5.00 USD more than asked arrived" in (await bob.get(f"/invoices/{invoice.id}")).text
        carol = await till.site.browser(till.cast.carol)
        asked = await carol.get(f"/admin/invoices/{invoice.id}/refunds")
        assert "5.00 USD: what came too much" in asked.text and "the plan stays" not in asked.text
        with pytest.raises(WrongState, match="nothing to give back"):
            await refunds.order(till.db, invoice.id, "whole", "all of it", **BY)
        await goes_back(till, invoice, "surplus")
        assert "more than asked arrived" not in (await bob.get(f"/invoices/{invoice.id}")).text
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["9.99", "5.00", "5.00"]
    assert ((await till.invoice(invoice.id)).trouble, await till.credits()) == ("", 0)
    assert await revenue(till) <= before


async def test_a_surplus_that_could_not_be_sent_is_asked_again_after_the_rest_went_back(till):
    invoice = await bought(till, "15.00")
    surplus = await refunds.take(till.db, (await refunds.order(till.db, invoice.id, "surplus", "too much", **BY)).id)
    whole = await refunds.take(till.db, (await refunds.order(till.db, invoice.id, "whole", "all of it", **BY)).id)
    assert (surplus.amount_cents, whole.amount_cents) == (501, 999)
    await refunds.sent(till.db, whole, "ref", None)
    await refunds.failed(till.db, surplus, "no")
    assert await owed(till, invoice) == (0, 501)
    await goes_back(till, invoice, "surplus")
    assert ((await till.invoice(invoice.id)).trouble, await owed(till, invoice)) == ("", (0, 0))


async def test_a_whole_that_could_not_be_sent_is_still_the_whole(till):
    invoice = await bought(till)
    whole = await refunds.take(till.db, (await refunds.order(till.db, invoice.id, "whole", "all of it", **BY)).id)
    till.btcpay.pay(invoice.processor_ref, "5.00", confirmed=True)
    await said(till)
    await refunds.failed(till.db, whole, "no")
    assert await owed(till, invoice) == (1499, 500)


async def test_a_second_part_of_what_ran_out_is_told_and_given_back_as_well(till):
    invoice = await ran_out(till)
    await goes_back(till, invoice)
    await till.pass_by("10 minutes")
    await till.look()
    assert ((await till.invoice(invoice.id)).trouble, await till.audited("invoice.partial")) == ("", 1)
    till.btcpay.pay(invoice.processor_ref, "3.00", confirmed=True)
    for _ in range(2):
        await said(till)
        await till.cashier().receive(Reconcile())
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.received_cents, await till.audited("invoice.partial")) == ("partial", 700, 2)
    assert found.trouble_words.startswith("3.00 of 9.99 USD came before it ran out")
    assert (await owed(till, invoice), await in_doubt(till)) == ((0, 300), {"USD": (300, 1)})
    await goes_back(till, invoice, "surplus")
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["4.00", "3.00"]
    assert ((await till.invoice(invoice.id)).trouble, await owed(till, invoice)) == ("", (0, 0))


async def test_a_second_part_of_what_was_left_is_told_with_the_first(till):
    invoice = await ran_out(till)
    await payments.dealt_with(till.db, invoice, "it stays", **BY)
    till.btcpay.pay(invoice.processor_ref, "3.00", confirmed=True)
    for _ in range(2):
        await said(till)
    found = await till.invoice(invoice.id)
    assert (found.trouble, await till.audited("invoice.partial")) == ("partial", 2)
    assert found.trouble_words.startswith("7.00 of 9.99 USD came before it ran out")
    assert await owed(till, invoice) == (700, 0)


async def test_the_rest_that_comes_after_a_part_went_back_can_go_back_too(till):
    invoice = await ran_out(till)
    await goes_back(till, invoice)
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, await owed(till, invoice)) == ("expired", "mismatch", (0, 599))
    await goes_back(till, invoice, "surplus")
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, await till.credits()) == ("expired", "", 0)


async def test_what_went_back_before_it_was_marked_paid_is_no_part_of_the_price(till):
    invoice = await ran_out(till)
    await goes_back(till, invoice)
    till.btcpay.pay(invoice.processor_ref, "3.00", confirmed=True)
    await said(till)
    await payments.mark_paid(till.db, invoice.id, "the rest in cash", **BY)
    await till.work()
    found = await till.invoice(invoice.id)
    assert (found.known_cents, await owed(till, invoice)) == (300, (0, 0))
    till.btcpay.pay(invoice.processor_ref, "2.00", confirmed=True)
    await said(till)
    assert " 2.00 USD came at btcpay as well" in (await till.invoice(invoice.id)).trouble_words
    await goes_back(till, invoice, "surplus")
    assert await owed(till, invoice) == (0, 0)


async def test_what_grows_while_a_surplus_is_on_its_way_does_not_grow_the_surplus(till):
    invoice = await bought(till, "15.00")
    await refunds.order(till.db, invoice.id, "surplus", "too much", **BY)
    till.btcpay.pay(invoice.processor_ref, "2.00", confirmed=True)
    await till.work()
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["5.01"]
    await said(till)
    await goes_back(till, invoice, "surplus")
    assert [pull["amount"] for pull in till.btcpay.pulls] == ["5.01", "2.00"]


async def test_beside_a_doubt_stands_nothing_that_is_on_its_way_back(till):
    invoice = await bought(till, "15.00")
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    words = (await till.invoice(invoice.id)).trouble_words
    await payments.flag(till.db, invoice.id, "over", "5.01 USD came.", {}, actor="cashier")
    assert (await till.invoice(invoice.id)).trouble_words != words
    await refunds.order(till.db, invoice.id, "surplus", "too much", **BY)
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.trouble_words) == ("doubted", words)


async def test_a_buyer_is_told_of_no_more_than_somebody_was_told_of(till):
    invoice = await bought(till, "15.00")
    await goes_back(till, invoice, "surplus")
    till.btcpay.pay(invoice.processor_ref, "0.30", confirmed=True)
    await said(till)
    bob = await till.site.browser(till.cast.bob)
    assert ((await till.invoice(invoice.id)).received_cents, await till.audited("invoice.over")) == (1530, 1)
    assert "more than asked arrived" not in (await bob.get(f"/invoices/{invoice.id}")).text


async def test_what_comes_for_an_invoice_too_old_for_the_list_is_told_by_night(till):
    invoice = await bought(till)
    till.there(invoice).created -= 5 * 86400
    till.btcpay.pay(invoice.processor_ref, "5.00", confirmed=True)
    await till.cashier().receive(Reconcile())
    assert (await till.invoice(invoice.id)).trouble == "over"


async def shown(till, invoice) -> str:
    """What its buyer reads."""
    bob = await till.site.browser(till.cast.bob)
    return (await bob.get(f"/invoices/{invoice.id}")).text


async def shown_when_all_went_back(till, invoice, before: str) -> str:
    """``before``: what is read until then."""
    assert before in await shown(till, invoice)
    await goes_back(till, invoice)
    return await shown(till, invoice)


async def test_its_buyer_is_not_told_that_a_plan_is_active_for_which_all_went_back(till):
    page = await shown_when_all_went_back(till, await bought(till), "Monthly is active")
    assert "It was paid, and all of it went back" in page and "9.99 USD went back" in page
    assert "is active" not in page and "is credited" not in page and "Open the studio" not in page


async def test_its_buyer_is_told_that_it_is_active_when_nothing_could_go_back(till):
    invoice = await bought(till)
    whole = await refunds.take(till.db, (await refunds.order(till.db, invoice.id, "whole", "all of it", **BY)).id)
    await refunds.failed(till.db, whole, "no")
    assert "Monthly is active" in await shown(till, invoice)


@pytest.mark.parametrize("is_used", [False, True])
async def test_no_gift_is_shown_for_which_all_went_back(till, is_used):
    invoice, secret = await given(till)
    assert secret in await shown(till, invoice)
    if is_used:
        await redemptions.redeem(till.db, await dora(till), secret)
    await goes_back(till, invoice)
    page = await shown(till, invoice)
    assert "It was paid, and all of it went back" in page and "Here is your gift" not in page and secret not in page
    assert ("The gift was used before that" in page, "Nobody can use the gift" in page) == (is_used, not is_used)


async def test_who_paid_a_part_that_went_back_is_promised_nothing_for_the_rest(till):
    invoice = await ran_out(till)
    page = await shown_when_all_went_back(till, invoice, "give it back or credit it")
    assert "All that had arrived went back" in page and "What comes for it now is not credited." in page
    assert "credit it" not in page and "more arrived" not in page
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await said(till)
    assert "5.99 USD more arrived. We were told" in await shown(till, invoice)
    await payments.mark_paid(till.db, invoice.id, "the rest in cash", **BY)
    page = await shown(till, invoice)
    assert "Monthly is active" in page and "All that had arrived" not in page


async def test_what_came_too_much_for_a_gift_is_shown_to_its_buyer(till):
    invoice, _ = await given(till)
    till.btcpay.pay(invoice.processor_ref, "5.00", confirmed=True)
    await said(till)
    page = await shown(till, invoice)
    assert "Here is your gift" in page and "5.00 USD more than asked arrived" in page
