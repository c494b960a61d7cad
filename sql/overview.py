"""Overview: the numbers that admins look at first, for the web and for the bot alike. Reading only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import subscriptions


@dataclass(frozen=True)
class Numbers:
    """Money is in cents; ``oldest_waiting`` in seconds; "today" is the last 24 hours."""

    accounts: int
    active_subscriptions: int
    revenue_today: int
    revenue_month: int
    delivered_today: int
    failed_today: int
    waiting: int
    running: int
    oldest_waiting: float
    keys_active: int
    keys_resting: int
    keys_lost: int
    held: int


NUMBERS = f"""
select
    (select count(*) from account) as accounts,
    (select count(*) from subscription as s where {subscriptions.IS_OPEN}) as active_subscriptions,
    (select coalesce(sum(amount_cents), 0) from invoice where paid_at > now() - interval '24 hours')::bigint as revenue_today,
    (select coalesce(sum(amount_cents), 0) from invoice where paid_at > now() - interval '30 days')::bigint as revenue_month,
    (select count(*) from job where state = 'delivered' and finished_at > now() - interval '24 hours') as delivered_today,
    (select count(*) from job where state = 'failed' and finished_at > now() - interval '24 hours') as failed_today,
    (select count(*) from job where state = 'queued') as waiting,
    (select count(*) from job where state = 'running') as running,
    (select coalesce(extract(epoch from now() - min(created_at)), 0) from job where state = 'queued')::float as oldest_waiting,
    (select count(*) from provider_key where state = 'active') as keys_active,
    (select count(*) from provider_key where state = 'cooldown') as keys_resting,
    (select count(*) from provider_key where state in ('out_of_funds', 'manual_review', 'disabled')) as keys_lost,
    (select coalesce(sum(held), 0) from balance)::bigint as held
"""


async def numbers(db: Db) -> Numbers:
    row = await db.fetchrow(NUMBERS)
    assert row is not None
    return Numbers(**row)


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


FAULTS = """
select fault, count(*) as times from attempt
where fault is not null and finished_at > now() - interval '24 hours' group by fault order by 2 desc
"""


async def faults_today(db: Db) -> list[tuple[str, int]]:
    return [(row["fault"], row["times"]) for row in await db.fetch(FAULTS)]


@dataclass(frozen=True)
class AdminGeneration:
    id: UUID
    email: str
    prompt: str
    model_id: str
    state: str
    reason: str
    count: int
    delivered: int
    created_at: datetime
    seconds: float | None


GENERATIONS = """
select g.id, a.email, g.prompt, g.model_id, g.state, g.reason, g.count, g.created_at,
    (select count(*) from job as j where j.generation_id = g.id and j.state = 'delivered') as delivered,
    (select extract(epoch from max(j.finished_at) - g.created_at)::float from job as j where j.generation_id = g.id) as seconds
from generation as g join account as a on a.id = g.account_id
where ($1 = '' or g.state = $1) and ($2::timestamptz is null or (g.created_at, g.id) < ($2, $3))
order by g.created_at desc, g.id desc limit $4
"""


async def generations(
    db: Db, *, state: str = "", before: tuple[datetime, UUID] | None = None, count: int = 50
) -> list[AdminGeneration]:
    at, last = before or (None, None)
    return [AdminGeneration(**row) for row in await db.fetch(GENERATIONS, state, at, last, count)]


OF_ACCOUNT = """
select g.id, a.email, g.prompt, g.model_id, g.state, g.reason, g.count, g.created_at,
    (select count(*) from job as j where j.generation_id = g.id and j.state = 'delivered') as delivered,
    (select extract(epoch from max(j.finished_at) - g.created_at)::float from job as j where j.generation_id = g.id) as seconds
from generation as g join account as a on a.id = g.account_id
where g.account_id = $1 order by g.created_at desc, g.id desc limit $2
"""


async def generations_of(db: Db, account_id: UUID, count: int = 8) -> list[AdminGeneration]:
    """The last ones of one account."""
    return [AdminGeneration(**row) for row in await db.fetch(OF_ACCOUNT, account_id, count)]


ATTEMPTS = """
select a.job_id, a.number, k.label as key_label, k.last_four, a.model_id as model, a.fault, a.detail, a.started_at,
    a.finished_at, a.cost_micros, extract(epoch from coalesce(a.finished_at, now()) - a.started_at)::float as seconds
from attempt as a join provider_key as k on k.id = a.key_id join job as j on j.id = a.job_id
where j.generation_id = $1 order by a.job_id, a.number
"""


async def attempts(db: Db, generation_id: UUID) -> list[dict[str, Any]]:
    """Each try with each key, in order."""
    return [dict(row) for row in await db.fetch(ATTEMPTS, generation_id)]
