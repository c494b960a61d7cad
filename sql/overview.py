"""Overview: the numbers that admins look at first, for the web and for the bot alike. Reading only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import figures, subscriptions
from limner.sql.figures import Span, Takings, Totals, Work


@dataclass(frozen=True)
class Present:
    """How it is at this moment; ``oldest_waiting`` in seconds."""

    accounts: int
    active_subscriptions: int
    waiting: int
    running: int
    oldest_waiting: float


PRESENT = f"""
select (select count(*) from account) as accounts,
    (select count(*) from subscription as s where {subscriptions.IS_OPEN}) as active_subscriptions,
    count(*) filter (where state = 'queued') as waiting, count(*) filter (where state = 'running') as running,
    coalesce(extract(epoch from now() - min(created_at) filter (where state = 'queued')), 0)::float8 as oldest_waiting
from job where state in ('queued', 'running')
"""


async def present(db: Db) -> Present:
    """What there is of people, plans and pictures under way."""
    row = await db.fetchrow(PRESENT)
    assert row is not None
    return Present(**row)


@dataclass(frozen=True)
class Lately:
    """The last days of UTC, today included: by day, as a whole, today alone, and as long a time just as many days earlier."""

    days: Span
    work: Sequence[Work]
    takings: Sequence[Takings]
    whole: Totals
    today: Totals
    before: Totals


async def lately(db: Db, days: int) -> Lately:
    """What dashboards compare. Today is not over: the earlier time ends at the same time of day."""
    now: datetime = (await db.fetchval("select now()")).astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    span = Span(midnight - timedelta(days=days - 1), midnight + timedelta(days=1), "day")
    work, takings = await figures.work(db, span), await figures.takings(db, span)
    return Lately(
        days=span,
        work=work,
        takings=takings,
        whole=figures.summed(work, takings, await figures.waits(db, Span(span.start, now))),
        today=figures.summed(
            [line for line in work if line.at == midnight],
            [each for each in takings if each.at == midnight],
            await figures.waits(db, Span(midnight, now)),
        ),
        before=await figures.totals(db, span.start - timedelta(days=days), now - timedelta(days=days)),
    )


ATTEMPTS = """
select a.job_id, a.number, k.label as key_label, k.last_four, a.model_id as model, a.fault, a.detail, a.started_at,
    a.finished_at, a.cost_micros, extract(epoch from coalesce(a.finished_at, now()) - a.started_at)::float as seconds
from attempt as a join provider_key as k on k.id = a.key_id join job as j on j.id = a.job_id
where j.generation_id = $1 order by a.job_id, a.number
"""


async def attempts(db: Db, generation_id: UUID) -> list[dict[str, Any]]:
    """Each try with each key, in order."""
    return [dict(row) for row in await db.fetch(ATTEMPTS, generation_id)]
