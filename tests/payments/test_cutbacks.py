"""Money back for a month: the month that runs ends at once, what is paid ahead begins, and a surplus ends nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from limner.sql import audit, generations, pauses, refunds, renewals, subscriptions
from limner.sql.generations import Order
from limner.sql.models import Size
from limner.sql.periods import months_after
from limner.sql.subscriptions import NoSubscription
from tests.codes.conftest import sound
from tests.payments.test_refunds import BY, bought

A_BOAT = {"model_id": "demo", "size": Size(512, 512), "count": 1}


async def passed(till, days):
    """As if so many days of the subscription had gone by."""
    await till.db.execute(
        "update subscription set period_start = period_start - $1::interval, period_end = period_end - $1::interval, "
        "anchored_at = anchored_at - $1::interval", timedelta(days=days),
    )  # fmt: skip
    rows = await till.db.fetch("select id, details from invoice where details ? 'until'")
    for row in rows:
        moved = {name: _earlier(row["details"][name], days) for name in ("from", "until")}
        await till.db.execute("update invoice set details = details || $2 where id = $1", row["id"], moved)


def _earlier(moment, days):
    return (datetime.fromisoformat(moment) - timedelta(days=days)).isoformat()


async def held(till):
    return await subscriptions.latest(till.db, till.cast.bob.id)


async def test_the_month_that_runs_ends_at_once_and_nothing_more_is_ordered(till):
    invoice = await bought(till)
    await passed(till, 10)
    refund = await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    found = await held(till)
    assert (found.is_open, found.runs) == (False, False)
    assert timedelta(days=17) < refund.period_taken < timedelta(days=22)
    with pytest.raises(NoSubscription):
        await generations.order(till.db, Order(till.cast.bob.id, "a boat", **A_BOAT), deadline=60)
    entry = next(each for each in await audit.listing(till.db) if each.action == "invoice.refund")
    assert entry.after["plan"] == "ends now"
    assert await renewals.end(till.db)
    assert (await held(till)).state == "expired"
    assert await till.credits() == 0
    await sound(till.db)


async def test_a_picture_that_was_ordered_before_is_painted(till):
    invoice = await bought(till)
    await generations.order(till.db, Order(till.cast.bob.id, "a boat", **A_BOAT), deadline=60)
    await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    assert await till.db.fetchval("select state from job") == "queued"
    await sound(till.db)


async def test_a_month_that_is_paid_ahead_begins_then(till):
    first, _ = await bought(till), await bought(till)
    await passed(till, 10)
    refund = await refunds.order(till.db, first.id, "whole", "one too many", **BY)
    found = await held(till)
    assert found.is_open
    assert found.period_end == months_after(refund.created_at, 1)
    assert await till.credits() == 100
    await sound(till.db)


async def test_a_month_that_is_still_to_come_is_taken_from_the_end(till):
    first = await bought(till)
    end = (await held(till)).period_end
    second = await bought(till)
    await passed(till, 10)
    await refunds.order(till.db, second.id, "whole", "one too many", **BY)
    found = await held(till)
    assert (found.is_open, found.period_end) == (True, end - timedelta(days=10))
    await refunds.order(till.db, first.id, "whole", "that one, too", **BY)
    assert not (await held(till)).is_open


async def test_a_month_that_is_over_ends_nothing(till):
    first, _ = await bought(till), await bought(till)
    await passed(till, 40)
    before = await held(till)
    refund = await refunds.order(till.db, first.id, "whole", "late", **BY)
    assert refund.period_taken is None
    assert (await held(till)).period_end == before.period_end


async def test_a_surplus_ends_nothing(till):
    invoice = await bought(till, worth=1500)
    refund = await refunds.order(till.db, invoice.id, "surplus", "too much", **BY)
    assert refund.period_taken is None
    assert (await held(till)).is_open
    assert await till.credits() == 100


async def test_a_paused_plan_ends_too(till):
    invoice = await bought(till)
    await pauses.pause(till.db, till.cast.bob.id, "x", actor="test")
    await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    assert await renewals.end(till.db), "the steward closes it"
    assert (await held(till)).state == "expired"


@pytest.mark.parametrize("is_closed", [False, True])
async def test_the_days_come_again_when_the_money_could_not_go_back(till, is_closed):
    invoice = await bought(till)
    await passed(till, 10)
    left = (await held(till)).period_end - (await held(till)).now
    refund = await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    if is_closed:
        await renewals.end(till.db)
    await refunds.failed(till.db, refund, "no funds")
    found = await held(till)
    assert found.is_open
    assert abs(found.period_end - found.now - left) < timedelta(minutes=5)
    assert await till.credits() == 100
    await sound(till.db)
