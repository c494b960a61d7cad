"""Glance: what the bot's dashboard shows: a month of days, how the pool does, and which processes live. Reading only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from limner.runtime.database import Db
from limner.sql import figures, health
from limner.sql.figures import Span, Takings, Work

DAYS = 30


@dataclass(frozen=True)
class Day:
    """``revenue``: cents by currency, refunds taken off; ``margin``: millionths of US dollars, as in ``figures.Totals``."""

    day: date
    delivered: int = 0
    failed: int = 0
    revenue: Mapping[str, int] = field(default_factory=dict)
    margin: int = 0


async def days(db: Db) -> list[Day]:
    """The last days of UTC, the eldest first; the last one is today. Days that are over are read as they were put down."""
    now: datetime = (await db.fetchval("select now()")).astimezone(UTC)
    end = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    span = Span(end - timedelta(days=DAYS), end, "day")
    work, takings = await figures.work(db, span), await figures.takings(db, span)
    return [_day(span.start + timedelta(days=n), work, takings) for n in range(DAYS)]


def _day(at: datetime, work: Sequence[Work], takings: Sequence[Takings]) -> Day:
    lines = [line for line in work if line.at == at]
    earned = sum(line.earned for line in lines if line.currency == "USD")
    return Day(
        at.date(),
        delivered=sum(line.delivered for line in lines),
        failed=sum(line.failed for line in lines),
        revenue={each.currency: each.revenue for each in takings if each.at == at},
        margin=earned - sum(line.cost for line in lines),
    )


def revenue(days: Iterable[Day]) -> dict[str, int]:
    """Cents by currency, the dollars first."""
    sums = Counter[str]()
    for each in days:
        sums.update(each.revenue)
    return dict(sorted(sums.items(), key=lambda of: (of[0] != "USD", of[0])))


def margin(days: Iterable[Day]) -> int:
    """US cents."""
    return round(sum(each.margin for each in days) / 10_000)


async def p95(db: Db) -> float | None:
    """Seconds from order to picture of 19 in 20 within the last 24 hours; None without any."""
    now: datetime = await db.fetchval("select now()")
    waits = await figures.waits(db, Span(now - timedelta(hours=24), now))
    return waits[0].p95 if waits else None


@dataclass(frozen=True)
class Keys:
    ready: int
    resting: int
    lost: int


KEYS = """
select count(*) filter (where state = 'active') as ready, count(*) filter (where state = 'cooldown') as resting,
    count(*) filter (where state in ('out_of_funds', 'manual_review', 'disabled')) as lost
from provider_key
"""


async def keys(db: Db) -> Keys:
    row = await db.fetchrow(KEYS)
    assert row is not None
    return Keys(**row)


FAULTS = """
select fault, count(*) as times from attempt
where fault is not null and finished_at > now() - interval '24 hours' group by fault order by 2 desc
"""


async def faults(db: Db) -> list[tuple[str, int]]:
    """How attempts of the last 24 hours failed, the most frequent first."""
    return [(row["fault"], row["times"]) for row in await db.fetch(FAULTS)]


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
    """A living process of ours. ``up``, ``silent``: seconds; ``about``: version, schema and memory (megabytes), as far as it
    says so."""

    id: str
    role: str
    host: str
    state: str
    paused: bool
    about: dict[str, Any]
    started_at: datetime
    up: float
    silent: float
    children: list[dict[str, Any]]
    polled_ago: float | None

    @property
    def ailing(self) -> list[str]:
        """The names of its children, at any depth, with which something is wrong."""
        return [str(child["name"]) for child in health.ailing(self.children)]


PROCESSES = """
select w.id::text, w.role, w.host, w.state, w.paused, w.about, w.started_at,
    extract(epoch from now() - w.started_at)::float8 as up, extract(epoch from now() - w.seen_at)::float8 as silent,
    w.children,
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
