"""Subscriptions: what a payment, a wish, a pause and the clock make of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.sql import changes, generations, invoices, ledger, pauses, plans, subscriptions
from limner.sql.changes import CannotChange
from limner.sql.generations import Order
from limner.sql.models import Size
from limner.sql.periods import months_after
from limner.sql.subscriptions import NoSubscription

SELL = """
insert into plan (code, name, price_cents, credits_per_cycle, sort) values
    ('small', 'Small', 499, 40, 1), ('large', 'Large', 2999, 400, 3)
"""
CLOCK = """
update subscription set anchored_at = anchored_at + $2, period_start = period_start + $2, period_end = period_end + $2,
    changes_at = changes_at + $2, paused_at = paused_at + $2 where account_id = $1
"""


@pytest.fixture(autouse=True)
async def sold(db):
    """Small, Monthly (999 cents, 100 credits) and Large are on sale."""
    await db.execute(SELL)


async def pay(db, account, code: str = "monthly", **about) -> invoices.Invoice:
    """Buy a cycle and have it settled."""
    invoice = await invoices.create(db, account.id, await plans.by_code(db, code), "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    return await invoices.get(db, invoice.id)


async def change(db, account, code: str) -> invoices.Invoice | None:
    return await changes.begin(db, account.id, await plans.by_code(db, code), ("sandbox",), actor="test")


async def let_pass(db, account, **span: float) -> None:
    """Time goes by for this person."""
    await db.execute(CLOCK, account.id, -timedelta(**span))


async def held(db, account) -> subscriptions.Subscription:
    found = await subscriptions.alive(db, account.id)
    assert found is not None
    return found


async def paint(db, account, count: int = 1) -> None:
    asked = Order(account.id, "a red boat", count=count, model_id="demo", size=Size(512, 512))
    await generations.order(db, asked, deadline=60)


async def credits(db, account) -> int:
    return (await ledger.balance(db, account.id)).available


async def test_a_plan_waits_for_its_payment_and_begins_with_it(db, cast):
    await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    assert (await held(db, cast.bob)).state == "pending_activation"
    with pytest.raises(NoSubscription):
        await paint(db, cast.bob)
    await pay(db, cast.bob)
    bob = await held(db, cast.bob)
    assert (bob.state, bob.is_open, await credits(db, cast.bob)) == ("active", True, 100)
    assert bob.period.end == months_after(bob.period.start, 1)
    await paint(db, cast.bob)


async def test_access_ends_with_the_period_though_nobody_closes_it(db, cast):
    await paint(db, cast.alice)
    await db.execute("update subscription set period_end = now()")
    with pytest.raises(NoSubscription, match="has ended"):
        await paint(db, cast.alice)
    assert not (await held(db, cast.alice)).is_open


@pytest.mark.parametrize("state", ["pending_activation", "past_due", "expired", "canceled"])
async def test_no_other_state_gives_access(db, cast, state):
    await db.execute("update subscription set state = $1", state)
    with pytest.raises(NoSubscription):
        await paint(db, cast.alice)
    with pytest.raises(NoSubscription):
        await subscriptions.open_one(db, cast.alice.id)


async def test_renewing_early_adds_a_month_at_the_old_end(db, cast):
    before = await held(db, cast.alice)
    paid = [await pay(db, cast.alice) for _ in range(3)]
    after = await held(db, cast.alice)
    assert after.period.end == months_after(before.period.anchor, 4)
    assert after.period.start == before.period.start
    assert await credits(db, cast.alice) == 400
    spans = [(each.details["from"], each.details["until"]) for each in paid]
    assert spans[0][0] == before.period.end.isoformat()
    assert [until for _, until in spans[:-1]] == [since for since, _ in spans[1:]]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
async def test_the_day_of_the_anchor_comes_back_after_february_in_any_session(db, cast, dsn, zone):
    """Bought on the 31st of January late in the evening, renewed early all year round."""
    name = await db.fetchval("select current_database()")
    await db.execute(f"alter database \"{name}\" set timezone to '{zone}'")
    anchor = datetime(2039, 1, 31, 23, 15, tzinfo=UTC)
    begin = "update subscription set anchored_at = $1, period_start = $1, cycles = 1, period_end = $2"
    await db.execute(begin, anchor, months_after(anchor, 1))
    ends = []
    async with open_database(dsn, role="test", pool=2) as there:
        assert await there.fetchval("show timezone") == zone
        for _ in range(12):
            await pay(there, cast.alice)
            ends.append((await held(there, cast.alice)).period.end)
    assert [end.day for end in ends] == [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29]
    assert {end.timetz() for end in ends} == {anchor.timetz()}


async def test_who_comes_back_late_begins_anew_and_what_was_left_is_gone(db, cast):
    await let_pass(db, cast.alice, days=40)
    await pay(db, cast.alice)
    after = await held(db, cast.alice)
    assert after.period.end == months_after(after.period.start, 1)
    assert after.now - after.period.start < timedelta(minutes=1)
    assert await credits(db, cast.alice) == 100


async def test_who_paid_before_the_end_and_is_confirmed_after_it_keeps_what_was_left(db, cast):
    invoice = await invoices.create(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox")
    await let_pass(db, cast.alice, days=40)
    await db.execute("update invoice set created_at = created_at - interval '40 days'")
    await invoices.settle(db, invoice.id, actor="test")
    after = await held(db, cast.alice)
    assert after.period.end == months_after(after.period.start, 1)
    assert await credits(db, cast.alice) == 200


async def test_a_dearer_plan_costs_what_is_left_of_the_difference_and_comes_with_the_payment(db, cast):
    await let_pass(db, cast.alice, days=10)
    before = await held(db, cast.alice)
    left = before.period.left(before.now)
    invoice = await change(db, cast.alice, "large")
    assert invoice and (invoice.purpose, invoice.state) == ("change", "pending")
    assert invoice.amount_cents == int(2000 * left) and invoice.credits == int(300 * left)
    assert (await held(db, cast.alice)).plan.code == "monthly"
    await invoices.settle(db, invoice.id, actor="test")
    after = await held(db, cast.alice)
    assert after.plan.code == "large"
    assert after.period == before.period
    assert await credits(db, cast.alice) == 100 + invoice.credits
    assert after.cycle_credits == 100 + invoice.credits


async def test_months_that_are_paid_ahead_are_part_of_the_difference(db, cast):
    for _ in range(2):
        await pay(db, cast.alice)
    invoice = await change(db, cast.alice, "large")
    assert invoice and 2 * 2000 < invoice.amount_cents <= 3 * 2000


async def test_an_open_change_is_found_again_and_another_one_waits_for_it(db, cast):
    first, again = await change(db, cast.alice, "large"), await change(db, cast.alice, "large")
    assert first and again and first.id == again.id
    await db.execute("insert into plan (code, name, price_cents, credits_per_cycle) values ('huge', 'Huge', 9999, 999)")
    with pytest.raises(CannotChange, match="open invoice"):
        await change(db, cast.alice, "huge")
    assert await db.fetchval("select count(*) from invoice") == 1


async def test_a_dearer_plan_without_more_pictures_still_has_an_invoice(db, cast):
    await db.execute("update plan set credits_per_cycle = 100 where code = 'large'")
    invoice = await change(db, cast.alice, "large")
    assert invoice and invoice.credits == 1


async def test_what_is_left_of_a_period_is_worth_nothing_just_before_its_end(db, cast):
    await db.execute("update subscription set anchored_at = now() + interval '5 seconds', cycles = 0")
    await db.execute("update subscription set period_end = anchored_at")
    with pytest.raises(CannotChange, match="as good as over"):
        await change(db, cast.alice, "large")


async def test_a_change_that_is_paid_after_the_end_becomes_time_of_the_new_plan(db, cast):
    invoice = await change(db, cast.alice, "large")
    assert invoice
    await let_pass(db, cast.alice, days=40)
    await invoices.settle(db, invoice.id, actor="test")
    after = await held(db, cast.alice)
    assert (after.plan.code, after.is_open) == ("large", True)
    share = (after.period.end - after.period.start) / (months_after(after.period.start, 1) - after.period.start)
    assert share == pytest.approx(invoice.amount_cents / 2999, rel=1e-6)


async def test_what_was_paid_for_the_old_plan_meanwhile_stays_of_the_old_plan(db, cast):
    invoice, before = await change(db, cast.alice, "large"), await held(db, cast.alice)
    await pay(db, cast.alice)
    assert invoice
    await invoices.settle(db, invoice.id, actor="test")
    now = await held(db, cast.alice)
    assert (now.plan.code, now.next_plan and now.next_plan.code, now.changes_at) == (
        "large",
        "monthly",
        before.period.end,
    )


async def test_a_cheaper_plan_comes_with_the_next_cycle(db, cast):
    assert await change(db, cast.alice, "small") is None
    now = await held(db, cast.alice)
    assert (now.plan.code, now.renews_as.code, now.changes_at) == ("monthly", "small", None)
    await pay(db, cast.alice, "small")
    paid = await held(db, cast.alice)
    assert (paid.plan.code, paid.changes_at) == ("monthly", now.period.end)
    assert paid.period.end == months_after(now.period.anchor, 2)
    await let_pass(db, cast.alice, days=32)  # by the clock alone
    later = await held(db, cast.alice)
    assert (later.plan.code, later.next_plan, later.is_open) == ("small", None, True)


async def test_a_wish_for_a_cheaper_plan_can_be_taken_back_until_it_is_paid(db, cast):
    await change(db, cast.alice, "small")
    await change(db, cast.alice, "monthly")
    assert (await held(db, cast.alice)).next_plan is None
    await pay(db, cast.alice, "small")
    for code in ("monthly", "large"):
        with pytest.raises(CannotChange, match="Small is paid for already"):
            await change(db, cast.alice, code)


async def test_two_different_plans_that_are_paid_ahead_become_the_dearer_one(db, cast):
    await pay(db, cast.alice, "small")
    end = (await held(db, cast.alice)).changes_at
    await pay(db, cast.alice, "large")
    now = await held(db, cast.alice)
    assert (now.next_plan and now.next_plan.code, now.changes_at) == ("large", end)
    assert now.period.end == months_after(now.period.anchor, 3)


async def test_who_cancels_keeps_what_is_paid_and_may_take_it_back(db, cast):
    before = await held(db, cast.alice)
    for _ in range(2):
        await changes.cancel(db, cast.alice.id, actor="alice@example.com")
    now = await held(db, cast.alice)
    assert now.canceled_at is not None
    assert (now.is_open, now.period) == (True, before.period)
    await paint(db, cast.alice)
    await changes.take_back(db, cast.alice.id, actor="alice@example.com")
    assert (await held(db, cast.alice)).canceled_at is None
    told = [
        row["action"]
        for row in await db.fetch("select action from audit where action like 'subscription.%' order by id")
    ]
    assert told == ["subscription.cancel", "subscription.take_back"]


async def test_a_payment_after_all_takes_the_cancellation_back(db, cast):
    await changes.cancel(db, cast.alice.id, actor="alice@example.com")
    await pay(db, cast.alice)
    assert (await held(db, cast.alice)).canceled_at is None


@pytest.mark.parametrize("act", [changes.cancel, changes.take_back])
async def test_who_has_no_plan_has_nothing_to_cancel(db, cast, act):
    with pytest.raises(NoSubscription):
        await act(db, cast.bob.id, actor="bob@example.com")
    await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    with pytest.raises(NoSubscription, match="as soon as its invoice is paid"):
        await act(db, cast.bob.id, actor="bob@example.com")


async def test_a_pause_keeps_the_rest_of_the_period_for_later(db, cast):
    before = await held(db, cast.alice)
    await pauses.pause(db, cast.alice.id, "on a journey", actor="carol@example.com")
    with pytest.raises(NoSubscription, match="paused"):
        await paint(db, cast.alice)
    await let_pass(db, cast.alice, days=50)
    paused = await held(db, cast.alice)
    assert paused.runs and not paused.is_open and paused.days_left == before.days_left
    await pauses.resume(db, cast.alice.id, "back again", actor="carol@example.com")
    after = await held(db, cast.alice)
    assert after.is_open and after.paused_at is None
    assert abs(after.period.end - before.period.end) < timedelta(minutes=1)
    await paint(db, cast.alice)
    reasons = "select array_agg(after ->> 'reason' order by id) from audit where action like 'subscription.%'"
    assert await db.fetchval(reasons) == ["on a journey", "back again"]


async def test_after_a_pause_months_count_from_the_new_end(db, cast):
    await pauses.pause(db, cast.alice.id, "x", actor="test")
    await db.execute("update subscription set paused_at = paused_at - interval '3 days'")
    await pauses.resume(db, cast.alice.id, "y", actor="test")
    end = (await held(db, cast.alice)).period.end
    await pay(db, cast.alice)
    assert (await held(db, cast.alice)).period.end == months_after(end, 1)


async def test_what_is_paid_during_a_pause_is_kept_with_the_rest(db, cast):
    await pauses.pause(db, cast.alice.id, "x", actor="test")
    before = await held(db, cast.alice)
    await let_pass(db, cast.alice, days=60)
    await pay(db, cast.alice)
    await pauses.resume(db, cast.alice.id, "y", actor="test")
    after = await held(db, cast.alice)
    assert after.period.end - before.period.end >= timedelta(days=27, hours=23)
    assert await credits(db, cast.alice) == 200


async def test_only_what_runs_is_paused_and_only_what_is_paused_resumes(db, cast):
    with pytest.raises(NoSubscription):
        await pauses.pause(db, cast.bob.id, "x", actor="test")
    with pytest.raises(CannotChange, match="not paused"):
        await pauses.resume(db, cast.alice.id, "x", actor="test")
    await pauses.pause(db, cast.alice.id, "x", actor="test")
    with pytest.raises(CannotChange, match="already"):
        await pauses.pause(db, cast.alice.id, "x", actor="test")
    with pytest.raises(Refused):
        await change(db, cast.alice, "large")


async def test_days_for_nothing_move_the_end_and_a_paid_change_with_it(db, cast):
    await pay(db, cast.alice, "small")
    before = await held(db, cast.alice)
    await pauses.extend(db, cast.alice.id, 5, "we were down", actor="carol@example.com")
    after = await held(db, cast.alice)
    assert after.period.end - before.period.end == timedelta(days=5)
    assert after.changes_at and before.changes_at and after.changes_at - before.changes_at == timedelta(days=5)


async def test_thirty_payments_and_changes_at_once_lose_nothing(db, cast):
    """However they interleave: each paid cycle is there, and each credit."""
    start = await held(db, cast.alice)
    bought = [
        await invoices.make(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox", key=f"test {number}")
        for number in range(10)
    ]

    async def settle(invoice) -> None:
        await invoices.settle(db, invoice.id, actor="test")

    async with anyio.create_task_group() as group:
        for invoice in bought * 3:
            group.start_soon(settle, invoice)
    after = await held(db, cast.alice)
    assert after.period.end == months_after(start.period.anchor, 11)
    assert await credits(db, cast.alice) == 1100
    spans = sorted((each["from"], each["until"]) for each in [
        row["details"] for row in await db.fetch("select details from invoice where state = 'paid'")
    ])  # fmt: skip
    assert [until for _, until in spans[:-1]] == [since for since, _ in spans[1:]]
