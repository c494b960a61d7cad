"""Closings: the figures of a day that is over, put down once, so that charts need not count everything again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import anyio

from limner.runtime.database import Database
from limner.runtime.mailbox import Message

MOST = 60
"""Days that are put down in one go: after that others come to their turn."""
ENOUGH = 60.0
"""Seconds after which they do, too: samples wait in the same mailbox."""
LONGEST = 600.0
"""Seconds that one day may take: a busy one is read and sorted as a whole."""


@dataclass(frozen=True)
class CloseDays(Message):
    """Put down the figures of the days that are over."""

    mailbox = "chronicling"


# A row bears the time at which its transaction began. A day is complete when every transaction that began in it has ended;
# one that has just begun may not be seen here yet, which the minutes allow for.
COMPLETE = """
select (least(now(), min(xact_start)) - interval '5 minutes') at time zone 'UTC' from pg_stat_activity
where datname = current_database()
"""

FIRST = """
select coalesce(least(
    (select min(finished_at) from job where finished_at is not null),
    (select min(finished_at) from attempt where finished_at is not null),
    (select min(paid_at) from invoice where state = 'paid')
), now()) at time zone 'UTC'
"""


async def close(db: Database, most: int = MOST, seconds: float = ENOUGH) -> int:
    """Put down the days that are over and are not yet, the eldest first, each in a transaction. Returns how many.

    After so many days, or so many seconds, it is enough for this time.
    """
    before = (await db.fetchval(COMPLETE)).date()
    closed, until = 0, anyio.current_time() + seconds
    while await _close_next(db, before):
        closed += 1
        if closed >= most or anyio.current_time() >= until:
            break
    return closed


PATIENT = "select set_config('statement_timeout', $1, true)"


async def _close_next(db: Database, before: date) -> bool:
    """One day, unless it is ``before`` already. Any number of processes may do it: they stand in a line."""
    async with db.transaction(limit=LONGEST) as tx:
        await tx.execute(PATIENT, f"{LONGEST:.0f}s")
        await tx.execute("select pg_advisory_xact_lock(hashtextextended('closing days', 0))")
        day = await tx.fetchval("select until from figure_mark") or (await tx.fetchval(FIRST)).date()
        if day >= before:
            return False
        await tx.execute(TAKINGS, day)
        await tx.execute(WORK, day)
        await tx.execute(WAITS, day)
        await tx.execute(MARK, day)
        return True


TAKINGS = """
insert into takings_day (day, plan_id, currency, invoices, paid_cents, refunds, refunded_cents)
select $1::date, plan_id, currency, sum(invoices), sum(paid_cents), sum(refunds), sum(refunded_cents)
from takings_line
where at >= $1::date::timestamp at time zone 'UTC' and at < ($1::date + 1)::timestamp at time zone 'UTC'
group by plan_id, currency
"""

SCOPE = """
case grouping(plan_id, model_id, key_id)
    when 0 then 'each' when 3 then 'plan' when 5 then 'model' when 6 then 'key' else 'all' end as scope,
$1::date, coalesce(plan_id, 0), coalesce(model_id, ''), coalesce(key_id, 0)
"""
OF_THE_DAY = """
from work_line
where at >= $1::date::timestamp at time zone 'UTC' and at < ($1::date + 1)::timestamp at time zone 'UTC'
"""

WORK = f"""
insert into work_day (
    scope, day, plan_id, model_id, key_id, fault, currency, delivered, failed, attempts, credits, earned_micros, cost_micros,
    possible_micros, waits
)
select {SCOPE}, fault, currency, sum(delivered), sum(failed), sum(attempts), sum(credits), sum(earned_micros),
    sum(cost_micros), sum(possible_micros),
    coalesce(array_agg(wait_ms order by wait_ms) filter (where wait_ms is not null), '{{}}')
{OF_THE_DAY}
group by grouping sets (
    (plan_id, model_id, key_id, fault, currency), (plan_id, fault, currency), (model_id, fault, currency),
    (key_id, fault, currency), (fault, currency)
)
"""

WAITS = f"""
insert into wait_day (scope, day, plan_id, model_id, key_id, pictures, p50_ms, p95_ms)
select {SCOPE}, count(*), percentile_disc(0.5) within group (order by wait_ms),
    percentile_disc(0.95) within group (order by wait_ms)
{OF_THE_DAY} and wait_ms is not null
group by grouping sets ((plan_id, model_id, key_id), (plan_id), (model_id), (key_id), ())
having count(*) > 0
"""

MARK = """
insert into figure_mark (until) values ($1::date + 1) on conflict (is_only) do update set until = excluded.until
"""
