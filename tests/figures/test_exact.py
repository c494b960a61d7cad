"""Whatever was put down and whatever was not: the figures are those of the rows, to the last one."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import timedelta
from typing import Any

import pytest

from limner.runtime.opening import open_database
from limner.sql import closings, figures
from limner.sql.figures import Choice, Span
from tests.figures.history import History, counted, ranked

FULL = os.environ.get("FAULT_FULL") == "1"
SEED = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))

pytestmark = pytest.mark.timeout(600 if FULL else 120)


def summed(rows: list[Any]) -> dict[tuple[Any, ...], dict[str, int]]:
    """Rows as the history counts them: by bucket, fault and currency, without the zeros."""
    found = {}
    for row in rows:
        fields = dict(vars(row))
        where = (fields.pop("at"), fields.pop("fault", ""), fields.pop("currency"))
        found[where] = {name: number for name, number in fields.items() if number}
    return found


def spans(history: History, dice: random.Random) -> list[Span]:
    """Whole days, and moments anywhere; nothing is asked of the future."""
    midnight = history.today - timedelta(days=dice.randrange(history.days + 1))
    somewhere = history.today - timedelta(seconds=dice.randrange(history.days * 86_400))
    end = history.now + timedelta(days=1)
    unit = dice.choice(("hour", "day", "whole"))
    later = somewhere + timedelta(seconds=dice.randrange(4 * 86_400))
    return [Span(midnight, end, unit), Span(somewhere, end, "whole"), Span(somewhere, later, "day")]


async def agrees(db: Any, history: History, dice: random.Random) -> None:
    """Compare for a few spans and choices."""
    choices = [
        Choice(),
        Choice(plan=dice.choice(history.shops).plan),
        Choice(model=dice.choice(history.models), key=dice.choice(history.keys)),
        Choice(key=dice.choice([*history.keys, 0])),
        Choice(dice.choice(history.shops).plan, dice.choice(history.models), dice.choice(history.keys)),
    ]
    for span in spans(history, dice):
        for choice in choices:
            assert summed(await figures.work(db, span, choice)) == counted(history.work, span, choice), (
                SEED,
                span,
                choice,
            )
            waits = {each.at: (each.pictures, each.p50, each.p95) for each in await figures.waits(db, span, choice)}
            assert waits == ranked(history.work, span, choice), (SEED, span, choice)
        for plan in (None, choices[1].plan):
            takings = summed(await figures.takings(db, span, plan))
            assert takings == counted(history.takings, span, Choice(plan=plan)), (SEED, span, plan)


@pytest.mark.parametrize(
    "zone", ["UTC", "Pacific/Auckland"] if not FULL else ["UTC", "Pacific/Auckland", "Asia/Kolkata"]
)
async def test_figures_are_those_of_the_rows_however_many_days_are_put_down(dsn, db, zone):
    name = await db.fetchval("select current_database()")
    await db.execute(f"alter database {name} set timezone to '{zone}'")
    dice = random.Random(SEED)
    async with open_database(dsn, role="test", pool=4) as elsewhere:
        history = History(elsewhere, SEED)
        await history.begin()
        await history.live(500 if FULL else 60)
        await agrees(elsewhere, history, dice)
        while await closings.close(elsewhere, 2):
            await agrees(elsewhere, history, dice)
        before = await elsewhere.fetch("select * from work_day order by 1, 2, 3, 4, 5, 6, 7")
        assert len({row["day"] for row in before}) >= history.days - 2, "hardly anything was put down"
        assert await closings.close(elsewhere) == 0
        assert await elsewhere.fetch("select * from work_day order by 1, 2, 3, 4, 5, 6, 7") == before
        history.is_late, history.now = True, await elsewhere.fetchval("select now()")
        await history.live(30)
        await agrees(elsewhere, history, dice)


async def test_the_refund_of_an_old_invoice_is_booked_on_the_day_it_is_sent(db):
    history = History(db, SEED)
    await history.begin()
    long_ago = history.today - timedelta(days=40)
    invoice = await db.fetchval(
        "insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at) "
        "values ($1, $2, 'sandbox', 999, 'USD', 1, 'paid', $3, $3) returning id",
        history.shops[0].account, history.shops[0].plan, long_ago,
    )  # fmt: skip
    assert await closings.close(db) in (39, 40), "the last one only when it has been over for five minutes"
    await db.execute(
        "insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at) "
        "values ($1, 'whole', 999, 'USD', '', 'carol', 'sent', now())", invoice,
    )  # fmt: skip
    days = await figures.takings(db, Span(long_ago, history.now + timedelta(days=1), "day"))
    assert [(each.at, each.revenue) for each in days] == [(long_ago, 999), (history.today, -999)]


async def test_a_new_price_leaves_the_margins_of_days_that_are_over_as_they_were(db):
    history = History(db, SEED)
    await history.begin()
    yesterday = history.today - timedelta(hours=26)
    await history.paint(yesterday)
    await closings.close(db)
    span = Span(history.today - timedelta(days=9), history.now + timedelta(seconds=1))
    before = await figures.work(db, span)
    await db.execute("update plan set price_cents = price_cents * 2")
    assert await figures.work(db, span) == before


async def test_a_day_is_open_while_a_transaction_is_that_may_still_write_in_it(db):
    async with db.transaction() as slow:
        began = (await slow.fetchval("select now()")).replace(tzinfo=None)
        async with db.transaction() as quick:
            assert await quick.fetchval("select now()") is not None
        assert await db.fetchval(closings.COMPLETE) <= began - timedelta(minutes=5)
    assert await db.fetchval(closings.COMPLETE) > began - timedelta(minutes=5)


async def test_many_who_close_days_at_once_put_each_down_once(db):
    history = History(db, SEED)
    await history.begin()
    await history.live(30)
    closed = await asyncio.gather(*(closings.close(db) for _ in range(4)))
    until = await figures.put_down_until(db)
    first = await db.fetchval(closings.FIRST)
    assert until is not None and sum(closed) == (until - first.date()).days
    await agrees(db, history, random.Random(SEED))


SLOW = """
create function dawdle() returns trigger language plpgsql as 'begin perform pg_sleep(11); return null; end';
create trigger dawdles before insert on work_day for each statement execute function dawdle();
"""


async def test_a_day_that_takes_longer_than_a_statement_may_is_put_down_all_the_same(db):
    """Eleven seconds: a second more than what ends every other statement."""
    history = History(db, SEED)
    await history.begin()
    await history.live(30)
    async with db.pool.acquire() as connection:
        await connection.execute(SLOW)
    assert await closings.close(db, 1) == 1
    await db.execute("drop trigger dawdles on work_day")
    await agrees(db, history, random.Random(SEED))


async def test_when_it_takes_long_the_other_days_come_the_next_time(db):
    """Who has upgraded has months of them, and the samples of each minute wait behind."""
    history = History(db, SEED)
    await history.begin()
    await history.live(30)
    assert await closings.close(db, seconds=0) == 1
    assert await closings.close(db) > 1
