"""Glance: the numbers of the bot's dashboard that the web's overview does not have, and two weeks of days for its chart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from limner.runtime.database import Db

DAYS = 14
"""On the chart."""


@dataclass(frozen=True)
class Money:
    """Of the last 24 hours, 7 and 30 days: what came in, in cents; what pictures earned beyond their cost, in millionths."""

    revenue_day: int
    revenue_week: int
    revenue_month: int
    margin_day: int
    margin_week: int
    margin_month: int


MONEY = """
select i.*, m.* from (
    select
        coalesce(sum(amount_cents) filter (where paid_at > now() - interval '24 hours'), 0)::bigint as revenue_day,
        coalesce(sum(amount_cents) filter (where paid_at > now() - interval '7 days'), 0)::bigint as revenue_week,
        coalesce(sum(amount_cents), 0)::bigint as revenue_month
    from invoice where paid_at > now() - interval '30 days'
) as i cross join (
    select
        coalesce(sum(earned) filter (where finished_at > now() - interval '24 hours'), 0)::bigint as margin_day,
        coalesce(sum(earned) filter (where finished_at > now() - interval '7 days'), 0)::bigint as margin_week,
        coalesce(sum(earned), 0)::bigint as margin_month
    from (
        select finished_at, coalesce(earned_micros, 0) - cost_micros as earned from margin_line
        where finished_at > now() - interval '30 days'
    ) as line
) as m
"""


async def money(db: Db) -> Money:
    row = await db.fetchrow(MONEY)
    assert row is not None
    return Money(**row)


@dataclass(frozen=True)
class Pace:
    """``p95``: seconds from order to picture of 19 in 20 within a day, None without any; ``free`` of ``slots``: pictures
    that the pool could paint at once, more than now."""

    p95: float | None
    slots: int
    free: int


PACE = """
select
    (
        select percentile_cont(0.95) within group (order by extract(epoch from finished_at - created_at))
        from job where state = 'delivered' and finished_at > now() - interval '24 hours'
    )::float8 as p95,
    coalesce(sum(k.concurrency), 0)::int as slots,
    coalesce(sum(greatest(k.concurrency - u.n, 0)), 0)::int as free
from provider_key as k
join provider as p on p.id = k.provider_id and p.active
cross join lateral (
    select count(*) as n from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > now()
) as u
where k.state = 'active'
"""


async def pace(db: Db) -> Pace:
    row = await db.fetchrow(PACE)
    assert row is not None
    return Pace(**row)


@dataclass(frozen=True)
class Day:
    """``revenue`` in cents."""

    day: date
    delivered: int
    failed: int
    revenue: int


DAY_BY_DAY = """
with day as (select (now() at time zone 'utc')::date - n as day from generate_series(0, $1::int - 1) as n),
ended as (
    select (finished_at at time zone 'utc')::date as day, count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'failed') as failed
    from job where state in ('delivered', 'failed') and finished_at > now() - make_interval(days => $1::int) group by 1
),
paid as (
    select (paid_at at time zone 'utc')::date as day, sum(amount_cents)::bigint as revenue
    from invoice where paid_at > now() - make_interval(days => $1::int) group by 1
)
select d.day, coalesce(e.delivered, 0)::int as delivered, coalesce(e.failed, 0)::int as failed,
    coalesce(p.revenue, 0)::bigint as revenue
from day as d left join ended as e using (day) left join paid as p using (day) order by d.day
"""


async def days(db: Db) -> list[Day]:
    """The last days of UTC, the eldest first; the last one is today."""
    return [Day(**row) for row in await db.fetch(DAY_BY_DAY, DAYS)]


# The fullest of what living processes keep things in. A release that does not report it has no such column.
DISK = """
select min((to_jsonb(w) -> 'machine' ->> 'free')::float8) from worker as w
where w.state <> 'stopped' and w.seen_at > now() - make_interval(secs => $1)
"""


async def disk_free(db: Db, lease: float) -> float | None:
    """Percent that are free where it is fullest; None when no process says."""
    return await db.fetchval(DISK, float(lease))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Process:
    """A living process of ours. ``up``, ``silent``: seconds; ``ailing``: the names of its children that do not work;
    ``about``: version, schema and memory (megabytes), as far as it says so."""

    id: str
    role: str
    host: str
    state: str
    paused: bool
    about: dict[str, Any]
    started_at: datetime
    up: float
    silent: float
    ailing: list[str]
    polled_ago: float | None


PROCESSES = """
select w.id::text, w.role, w.host, w.state, w.paused, w.about, w.started_at,
    extract(epoch from now() - w.started_at)::float8 as up, extract(epoch from now() - w.seen_at)::float8 as silent,
    array(
        select c ->> 'name' from jsonb_array_elements(w.children) as c
        where c ->> 'state' in ('crashed', 'degraded', 'conflict')
    ) as ailing,
    (
        select extract(epoch from now())::float8 - (c ->> 'last_ok')::float8 from jsonb_array_elements(w.children) as c
        where c ->> 'name' = 'poller' and c ->> 'last_ok' is not null
    ) as polled_ago
from worker as w where w.state <> 'stopped' and w.seen_at > now() - make_interval(secs => $1)
order by w.role, w.started_at, w.id
"""


async def processes(db: Db, lease: float) -> list[Process]:
    """Those that gave a sign of life within ``lease`` seconds."""
    return [Process(**row) for row in await db.fetch(PROCESSES, float(lease))]
