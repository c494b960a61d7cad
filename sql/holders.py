"""Holders: subscriptions as admins look through them, by who has them, plan, state and day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import lists
from limner.sql.subscriptions import IS_OPEN, PLAN, RUNS

STATES = ("active", "paused", "ending", "pending_activation", "past_due", "expired", "canceled")
"""active: its owner may order now; ending: runs, and will not be renewed."""


@dataclass(frozen=True)
class Held:
    """``state``: paused and ending, too. ``next_plan``: another one that comes after this."""

    id: UUID
    account_id: UUID
    email: str
    plan: str
    next_plan: str | None
    state: str
    cycles: int
    cycle_credits: int
    period_start: datetime | None
    period_end: datetime | None
    created_at: datetime


STATE = f"""
case when s.state = 'active' and not ({RUNS}) then 'expired' when s.state = 'active' and s.paused_at is not null then 'paused'
    when s.state = 'active' and s.canceled_at is not null then 'ending' else s.state end
"""
LIST = f"""
with page as (
    select s.id, s.account_id, {PLAN} as plan_id, s.next_plan_id, {STATE} as state, s.cycles, s.cycle_credits, s.period_start,
        s.period_end, s.created_at
    from subscription as s
    where ($1 = '' or s.account_id in (select a.id from account as a where a.email_key like lower($1)))
        and ($2::uuid is null or s.account_id = $2 or s.id = $2)
        and case $3 when '' then true when 'active' then {IS_OPEN} else {STATE} = $3 end
        and ($4 = '' or {PLAN} = (select p.id from plan as p where p.code = $4))
        and ($5::timestamptz is null or s.created_at >= $5) and ($6::timestamptz is null or s.created_at < $6)
        and ($7::timestamptz is null or (s.created_at, s.id) < ($7, $8::uuid))
    order by s.created_at desc, s.id desc limit $9
)
select page.id, page.account_id, a.email, p.name as plan, n.name as next_plan, page.state, page.cycles, page.cycle_credits,
    page.period_start, page.period_end, page.created_at
from page join account as a on a.id = page.account_id join plan as p on p.id = page.plan_id
left join plan as n on n.id = page.next_plan_id and n.id <> p.id
order by page.created_at desc, page.id desc
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``id``: of an account or of a subscription."""

    text: str = ""
    id: UUID | None = None
    state: str = ""
    plan: str = ""
    since: datetime | None = None
    until: datetime | None = None


Place = tuple[datetime | None, UUID | None]


async def listing(db: Db, sought: Sought, before: Place = (None, None), count: int = 50) -> list[Held]:
    """Newest first."""
    asked = (lists.part(sought.text), sought.id, sought.state, sought.plan, sought.since, sought.until)
    return [Held(**row) for row in await lists.read(db, LIST, *asked, *before, count)]


@dataclass(frozen=True)
class Bill:
    """An invoice for a subscription; ``since`` and ``until``: for which time its money counts, once it is paid."""

    id: UUID
    plan: str
    purpose: str
    state: str
    amount_cents: int
    currency: str
    created_at: datetime
    paid_at: datetime | None
    since: datetime | None
    until: datetime | None


# What is not paid yet belongs to the one that is not over.
BILLS = """
select i.id, p.name as plan, i.purpose, i.state, i.amount_cents, i.currency, i.created_at, i.paid_at,
    case when i.state = 'paid' then (i.details ->> 'from')::timestamptz end as since,
    case when i.state = 'paid' then (i.details ->> 'until')::timestamptz end as until
from subscription as s join invoice as i on i.account_id = s.account_id join plan as p on p.id = i.plan_id
where s.id = $1 and (i.subscription_id = s.id or i.subscription_id is null and i.state in ('pending', 'processing')
    and s.state in ('pending_activation', 'active', 'past_due'))
order by i.created_at desc, i.id limit 50
"""


async def bills(db: Db, subscription_id: UUID) -> list[Bill]:
    """The newest first."""
    return [Bill(**row) for row in await db.fetch(BILLS, subscription_id)]


ACTS = "select created_at, actor, action, before, after from audit where subject = $1 order by id desc limit 50"


async def acts(db: Db, subscription_id: UUID) -> list[dict[str, Any]]:
    """Its pauses, gifts of days, changes of plan and ends, the newest first."""
    return [dict(row) for row in await db.fetch(ACTS, str(subscription_id))]
