"""Figures: what the charts and the dashboards show of money, pictures, pool and queue over time. Reading only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from limner.runtime.database import Db

Unit = Literal["hour", "day", "whole"]
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """From ``start`` to before ``end``, by hours or days of UTC, or as a whole (then ``at`` is ``start``)."""

    start: datetime
    end: datetime
    unit: Unit = "whole"

    def parts(self, until: date | None) -> tuple[object, ...]:
        """The days that are read from what was put down, and the edges before and behind them that are added up anew.

        ``until``: days before it are put down. By hours nothing is: those are added up anew.
        """
        first = _midnight_after(self.start)
        last = first if until is None or self.unit == "hour" else min(self.end, _midnight(until))
        last = _midnight(last.astimezone(UTC).date())
        if last <= first:
            return first.date(), first.date(), self.start, self.end, self.end, self.end
        return first.date(), last.date(), self.start, first, last, self.end


@dataclass(frozen=True)
class Choice:
    """Whose figures: of all, or of one plan, model or key."""

    plan: int | None = None
    model: str | None = None
    key: int | None = None

    @property
    def scope(self) -> str:
        """Which of the sums that were put down are meant: two of the three have none of their own."""
        named = [name for name, value in vars(self).items() if value is not None]
        return "all" if not named else named[0] if len(named) == 1 else "each"

    @property
    def is_of_two(self) -> bool:
        return sum(value is not None for value in vars(self).values()) == 2


ALL = Choice()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _midnight_after(moment: datetime) -> datetime:
    """The first midnight of UTC that is not before it."""
    day = _midnight(moment.astimezone(UTC).date())
    return day if day == moment else day + DAY


async def put_down_until(db: Db) -> date | None:
    """All days before this one are put down; None: not one. It may move on between two readings, which changes no figure."""
    until: date | None = await db.fetchval("select until from figure_mark")
    return until


BUCKET = "case $1::text when 'whole' then $2::timestamptz else date_trunc($1::text, line.at, 'UTC') end"
OF_DAY = "(day::timestamp at time zone 'UTC') as at"
CHOSEN = """
    ($9::bigint is null or plan_id = $9) and ($10::text is null or model_id = $10) and ($11::bigint is null or key_id = $11)
"""


@dataclass(frozen=True)
class Takings:
    """Money of one currency, in cents. ``paid``: less what fell into doubt then, and with what came out of it again."""

    at: datetime
    currency: str
    invoices: int
    paid: int
    refunds: int
    refunded: int

    @property
    def revenue(self) -> int:
        return self.paid - self.refunded


TAKINGS = f"""
with line as (
    select {OF_DAY}, plan_id, currency, invoices, paid_cents, refunds, refunded_cents
    from takings_day where day >= $3 and day < $4
    union all
    select at, plan_id, currency, invoices, paid_cents, refunds, refunded_cents from takings_line where at >= $5 and at < $6
    union all
    select at, plan_id, currency, invoices, paid_cents, refunds, refunded_cents from takings_line where at >= $7 and at < $8
)
select {BUCKET} as at, currency, sum(invoices)::int as invoices, sum(paid_cents)::bigint as paid,
    sum(refunds)::int as refunds, sum(refunded_cents)::bigint as refunded
from line where $9::bigint is null or plan_id = $9
group by 1, 2 order by 1, 2
"""


async def takings(db: Db, span: Span, plan: int | None = None) -> list[Takings]:
    """Invoices on the day they were paid, refunds on the day they were sent. Buckets in which nothing was are not there."""
    until = await put_down_until(db)
    return [Takings(**row) for row in await db.fetch(TAKINGS, span.unit, span.start, *span.parts(until), plan)]


@dataclass(frozen=True)
class Work:
    """Of one fault ("": none) and one currency ("": nothing was earned). Money in millionths: ``earned`` of the currency,
    ``cost`` and ``possible`` of US dollars; ``possible`` may have been billed to us on top, nobody knows."""

    at: datetime
    fault: str
    currency: str
    delivered: int
    failed: int
    attempts: int
    credits: int
    earned: int
    cost: int
    possible: int


FIELDS = (
    "plan_id, model_id, key_id, fault, currency, delivered, failed, attempts, credits, earned_micros, cost_micros, "
    "possible_micros"
)
WORK = f"""
with line as (
    select {OF_DAY}, {FIELDS} from work_day where scope = $12 and day >= $3 and day < $4
    union all
    select at, {FIELDS} from work_line where at >= $5 and at < $6
    union all
    select at, {FIELDS} from work_line where at >= $7 and at < $8
)
select {BUCKET} as at, fault, currency, sum(delivered)::int as delivered, sum(failed)::int as failed,
    sum(attempts)::int as attempts, sum(credits)::bigint as credits, sum(earned_micros)::bigint as earned,
    sum(cost_micros)::bigint as cost, sum(possible_micros)::bigint as possible
from line where {CHOSEN}
group by 1, 2, 3 order by 1, 2, 3
"""


async def work(db: Db, span: Span, choice: Choice = ALL) -> list[Work]:
    """Pictures and attempts at the moment they ended. Buckets in which nothing was are not there."""
    return [Work(**row) for row in await db.fetch(WORK, *await _arguments(db, span, choice))]


async def _arguments(db: Db, span: Span, choice: Choice) -> tuple[object, ...]:
    parts = span.parts(await put_down_until(db))
    return span.unit, span.start, *parts, choice.plan, choice.model, choice.key, choice.scope


@dataclass(frozen=True)
class Wait:
    """Seconds from order to picture: of half of them, and of 95 in a hundred, at the most."""

    at: datetime
    pictures: int
    p50: float
    p95: float


RAW_WAITS = f"""(
    select at, wait_ms from work_line where at >= $5 and at < $6 and wait_ms is not null and {CHOSEN}
    union all
    select at, wait_ms from work_line where at >= $7 and at < $8 and wait_ms is not null and {CHOSEN}
)"""
RANKED = f"""(
select {BUCKET} as at, count(*)::int as pictures, percentile_disc(0.5) within group (order by wait_ms) as p50_ms,
    percentile_disc(0.95) within group (order by wait_ms) as p95_ms
from line group by 1
)"""
WAITS = f"""
with line as (
    select {OF_DAY}, w.wait_ms from work_day as d cross join lateral unnest(d.waits) as w (wait_ms)
    where scope = $12 and day >= $3 and day < $4 and {CHOSEN}
    union all
    {RAW_WAITS}
),
ranked as {RANKED}
select at, pictures, p50_ms / 1000.0::float8 as p50, p95_ms / 1000.0::float8 as p95 from ranked order by at
"""
# A day lies wholly on one side: it was put down, or is counted anew.
WAITS_BY_DAY = f"""
with line as {RAW_WAITS},
ranked as (
    {RANKED}
    union all
    select {OF_DAY}, pictures, p50_ms, p95_ms from wait_day where scope = $12 and day >= $3 and day < $4 and {CHOSEN}
)
select at, pictures, p50_ms / 1000.0::float8 as p50, p95_ms / 1000.0::float8 as p95 from ranked order by at
"""


async def waits(db: Db, span: Span, choice: Choice = ALL) -> list[Wait]:
    """Of delivered pictures, at the moment they were delivered. Buckets without one are not there."""
    statement = WAITS_BY_DAY if span.unit == "day" and not choice.is_of_two else WAITS
    return [Wait(**row) for row in await db.fetch(statement, *await _arguments(db, span, choice))]


@dataclass(frozen=True)
class Totals:
    """What came of a time as a whole. Money in cents: ``revenue`` by currency, refunds taken off; ``margin`` in US dollars:
    what delivered pictures earned of plans priced in them, less what attempts cost. ``faults``: attempts, most first."""

    delivered: int = 0
    failed: int = 0
    attempts: int = 0
    revenue: dict[str, int] = field(default_factory=dict)
    earned: int = 0
    cost: int = 0
    p50: float | None = None
    p95: float | None = None
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def margin(self) -> int:
        return self.earned - self.cost


async def totals(db: Db, start: datetime, end: datetime) -> Totals:
    """All of it in three questions; any moments will do."""
    span = Span(start, end)
    return summed(await work(db, span), await takings(db, span), await waits(db, span))


def summed(lines: Sequence[Work], money: Iterable[Takings], waited: Sequence[Wait]) -> Totals:
    """What they come to together. ``waited``: of the time as a whole, since halves of halves cannot be added up."""
    revenue = Counter[str]()
    for each in money:
        revenue[each.currency] += each.revenue
    return Totals(
        delivered=sum(line.delivered for line in lines),
        failed=sum(line.failed for line in lines),
        attempts=sum(line.attempts for line in lines),
        revenue=dict(revenue),
        earned=_cents(line.earned for line in lines if line.currency == "USD"),
        cost=_cents(line.cost for line in lines),
        p50=waited[0].p50 if waited else None,
        p95=waited[0].p95 if waited else None,
        faults=_faults(lines),
    )


def _cents(micros: Iterable[int]) -> int:
    """Millionths as cents, half a cent up."""
    return (sum(micros) + 5_000) // 10_000


def _faults(lines: Iterable[Work]) -> dict[str, int]:
    counted = dict[str, int]()
    for line in lines:
        if line.fault and line.attempts:
            counted[line.fault] = counted.get(line.fault, 0) + line.attempts
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))


@dataclass(frozen=True)
class Option:
    """Something to choose by."""

    id: int | str
    name: str


OPTIONS = """
select 'plan' as kind, id::text as id, name, sort::bigint as place from plan
union all
select 'model', m.id, m.name, m.sort from model as m
union all
select 'key', k.id::text, p.code || ': ' || k.label || case when k.last_four <> '' then ' …' || k.last_four else '' end, k.id
from provider_key as k join provider as p on p.id = k.provider_id
order by kind, place, id
"""


async def options(db: Db) -> tuple[list[Option], list[Option], list[Option]]:
    """The plans, models and keys that figures can be narrowed down to, also those that are not on offer any more."""
    rows = await db.fetch(OPTIONS)
    plans = [Option(int(row["id"]), row["name"]) for row in rows if row["kind"] == "plan"]
    models = [Option(row["id"], row["name"]) for row in rows if row["kind"] == "model"]
    keys = [Option(int(row["id"]), row["name"]) for row in rows if row["kind"] == "key"]
    return plans, models, keys
