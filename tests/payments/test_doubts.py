"""Revenue is settled money: what a processor takes back its word about is no revenue until it holds or goes back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from limner.sql import billing, doubts, figures, payments, refunds
from limner.sql.figures import Span
from limner.sql.invoices import WrongState

BY = {"actor": "carol@example.com"}


async def revenue(till) -> int:
    now = await till.db.fetchval("select now()")
    taken = await figures.takings(till.db, Span(now - timedelta(days=3), now + timedelta(seconds=1)))
    return sum(each.revenue for each in taken if each.currency == "USD")


async def in_doubt(till) -> dict[str, tuple[int, int]]:
    return {each.currency: (each.cents, each.payments) for each in await doubts.now(till.db)}


async def bought(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    return invoice


async def doubted(till):
    invoice = await bought(till)
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    return invoice


async def said(till) -> None:
    await till.deliver(till.btcpay.events[-1])
    await till.work()


async def test_what_turns_out_invalid_is_no_revenue_and_is_shown_apart(till):
    before = await revenue(till)
    await doubted(till)
    assert await revenue(till) == before
    assert await in_doubt(till) == {"USD": (999, 1)}


async def test_when_it_holds_after_all_it_counts_once(till):
    before, invoice = await revenue(till), await doubted(till)
    for _ in range(2):
        till.btcpay.mark(invoice.processor_ref, "Settled")
        await said(till)
        assert await revenue(till) == before + 999
        assert await in_doubt(till) == {}


async def test_an_admin_who_says_that_it_holds_is_believed_whatever_the_night_says(till):
    before, invoice = await revenue(till), await doubted(till)
    await payments.mark_paid(till.db, invoice.id, "the bank has it", **BY)
    for _ in range(2):
        await till.cashier().receive(billing.Reconcile())
    assert (await revenue(till), await in_doubt(till)) == (before + 999, {})
    assert (await till.invoice(invoice.id)).trouble == ""
    with pytest.raises(WrongState, match="marked paid again"):
        await payments.mark_paid(till.db, invoice.id, "once more", **BY)


async def test_what_is_spent_already_can_be_said_to_hold_too(till):
    invoice = await bought(till)
    await till.db.execute(
        "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', -100, '')", till.cast.bob.id
    )
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    assert (await till.invoice(invoice.id)).frozen_credits == 0
    await payments.mark_paid(till.db, invoice.id, "the bank has it", **BY)
    assert await in_doubt(till) == {}


async def test_what_is_left_as_it_is_stays_out_of_the_revenue_and_in_nobodys_way(till):
    before, invoice = await revenue(till), await doubted(till)
    await payments.dealt_with(till.db, await till.invoice(invoice.id), "it is lost", **BY)
    assert (await revenue(till), await in_doubt(till)) == (before, {})


async def test_what_goes_back_is_taken_off_once(till):
    before, invoice = await revenue(till), await doubted(till)
    await refunds.order(till.db, invoice.id, "whole", "it was doubtful", **BY)
    assert await revenue(till) == before, "it is on its way, and was no revenue before"
    till.there(invoice).payments[0]["status"] = "Settled"
    await till.work()
    assert [each.state for each in await refunds.of_invoice(till.db, invoice.id)] == ["sent"]
    assert (await revenue(till), await in_doubt(till)) == (before, {})


async def test_a_day_that_is_over_stays_as_it_was(till):
    """Paid the day before yesterday, put down, and doubted today: today has it."""
    from limner.sql import closings

    invoice = await bought(till)
    await till.pass_by("48 hours")
    await closings.close(till.db)
    till.btcpay.bounce(invoice.processor_ref)
    await till.cashier().check(await till.invoice(invoice.id))
    now = await till.db.fetchval("select now()")
    days = await figures.takings(till.db, Span(now - timedelta(days=4), now + timedelta(days=1), "day"))
    assert [each.revenue for each in days] == [999, -999]
    assert await revenue(till) == 0


async def test_what_is_paid_here_and_not_there_is_in_doubt_until_the_night_in_which_it_is(till):
    before, invoice = await revenue(till), await till.buy()
    await till.db.execute("update invoice set state = 'paid', paid_at = now() where id = $1", invoice.id)
    for _ in range(2):
        await till.cashier().receive(billing.Reconcile())
        assert (await revenue(till), await in_doubt(till)) == (before, {"USD": (999, 1)})
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.cashier().receive(billing.Reconcile())
    assert (await revenue(till), await in_doubt(till)) == (before + 999, {})


async def test_what_turns_invalid_a_second_time_is_frozen_a_second_time(till):
    before, invoice = await revenue(till), await doubted(till)
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await said(till)
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits, await till.credits()) == ("doubted", 100, 0)
    assert await revenue(till) == before


async def test_money_for_what_was_not_paid_is_in_doubt_and_was_never_revenue(till):
    before, invoice = await revenue(till), await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    assert (await revenue(till), await in_doubt(till)) == (before, {"USD": (400, 1)})


async def test_the_pages_say_what_is_in_doubt(till):
    invoice = await doubted(till)
    carol = await till.site.browser(till.cast.carol)
    assert "9.99 USD in doubt" in (await carol.get("/admin")).text
    assert (
        "9.99 USD of one payment is in doubt now, and not counted." in (await carol.get("/admin/charts/revenue")).text
    )
    page = (await carol.get(f"/admin/invoices/{invoice.id}")).text
    assert "stays out of the revenue" in page and "It holds" in page
