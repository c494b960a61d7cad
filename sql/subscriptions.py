"""Subscriptions: who has which plan, and until when. Access ends exactly at the end of the period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import plans
from limner.sql.plans import Plan


class NoSubscription(Refused):
    """Painting needs a plan."""

    status = 402

    def __init__(self, words: str = "Painting needs a plan. Choose one, and you can begin at once.") -> None:
        super().__init__(words, code="no_subscription")


ENDED = "Your plan has ended. Renew it, and you can go on at once."


@dataclass(frozen=True)
class Subscription:
    id: UUID
    state: str
    plan: Plan
    period_end: datetime | None
    cycle_credits: int
    is_open: bool
    days_left: int | None


ALIVE = """
select id, state, plan_id, period_end, cycle_credits, state = 'active' and period_end > now() as is_open,
    ceil(extract(epoch from period_end - now()) / 86400)::int as days_left
from subscription where account_id = $1 and state in ('pending_activation', 'active', 'past_due')
"""


async def alive(db: Db, account_id: UUID) -> Subscription | None:
    """The subscription that is not over, with its plan."""
    row = await db.fetchrow(ALIVE, account_id)
    if row is None:
        return None
    fields = dict(row)
    return Subscription(plan=await plans.get(db, fields.pop("plan_id")), **fields)


async def open_one(db: Db, account_id: UUID) -> Subscription:
    """The subscription that lets somebody paint right now. Raises NoSubscription."""
    found = await alive(db, account_id)
    if found is None:
        raise NoSubscription
    if not found.is_open:
        raise NoSubscription(ENDED)
    return found


PREPARE = """
insert into subscription (account_id, plan_id) values ($1, $2)
on conflict (account_id) where state in ('pending_activation', 'active', 'past_due') do update set
    plan_id = case when subscription.state = 'pending_activation' then excluded.plan_id else subscription.plan_id end
returning id
"""


async def prepare(db: Db, account_id: UUID, plan_id: int) -> UUID:
    """The subscription that a payment will activate or extend."""
    return await db.fetchval(PREPARE, account_id, plan_id)  # type: ignore[no-any-return]


LOCK = (
    "select account_id, state = 'active' and period_end > now() as is_open from subscription where id = $1 for update"
)

# Months are counted from the anchor, so that a purchase on the 31st ends on the 31st wherever there is one.
BEGIN = """
update subscription set state = 'active', plan_id = $2, anchored_at = now(), cycles = 1, period_start = now(),
    period_end = now() + interval '1 month', cycle_credits = $3
where id = $1 returning period_end
"""
EXTEND = """
update subscription set cycles = cycles + 1, period_end = anchored_at + make_interval(months => cycles + 1),
    plan_id = $2, cycle_credits = $3
where id = $1 returning period_end
"""


async def renew(db: Db, subscription_id: UUID, plan_id: int, credits: int) -> tuple[bool, datetime]:
    """One more paid month: from the old end when it is open, from now when it is not.

    Returns whether it was open before, and the new end.
    """
    row = await db.fetchrow(LOCK, subscription_id)
    assert row is not None
    statement = EXTEND if row["is_open"] else BEGIN
    return row["is_open"], await db.fetchval(statement, subscription_id, plan_id, credits)


# Months are counted from the new end then.
ADD_DAYS = """
update subscription set period_end = period_end + make_interval(hours => 24 * $2),
    anchored_at = period_end + make_interval(hours => 24 * $2), cycles = 0
where account_id = $1 and state = 'active' and period_end > now() returning period_end
"""


async def add_days(db: Db, account_id: UUID, days: int) -> datetime | None:
    """The open period lasts longer. Returns its new end, or None when there is none."""
    return await db.fetchval(ADD_DAYS, account_id, days)  # type: ignore[no-any-return]


# A month that is paid meanwhile begins when the days are over.
BEGIN_DAYS = """
update subscription set state = 'active', plan_id = $2, period_start = now(), cycles = 0, cycle_credits = $4,
    period_end = now() + make_interval(hours => 24 * $3), anchored_at = now() + make_interval(hours => 24 * $3)
where id = $1 returning period_end
"""


async def begin_days(db: Db, account_id: UUID, plan_id: int, days: int, credits: int) -> datetime:
    """A period of some days for somebody who has none. Returns its end."""
    subscription_id = await prepare(db, account_id, plan_id)
    return await db.fetchval(BEGIN_DAYS, subscription_id, plan_id, days, credits)  # type: ignore[no-any-return]


EXPIRE = """
update subscription set state = 'expired' where state in ('active', 'past_due') and period_end <= now()
returning id, account_id
"""


async def expire_ended(db: Db) -> list[tuple[UUID, UUID]]:
    """Close what has ended; access ended before, by the clock. Returns (subscription, account) of each."""
    return [(row["id"], row["account_id"]) for row in await db.fetch(EXPIRE)]
