"""Terms: what somebody may order of a model right now, by a plan that is open and a catalogue that offers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from limner.runtime import amounts
from limner.runtime.database import Db
from limner.runtime.errors import Refused, TooMany
from limner.sql import models
from limner.sql.models import Model
from limner.sql.plans import Plan
from limner.sql.subscriptions import ENDED, IS_OPEN, LIVES, PAUSED, PLAN, NoSubscription

PLAN_FIELDS = [field.name for field in fields(Plan)]
MODEL_FIELDS = [field.name for field in fields(Model)]


@dataclass(frozen=True)
class Terms:
    plan: Plan
    model: Model


class PlanCapReached(TooMany):
    """The plan's own cap of a day or a month is in the way; ``after`` seconds it opens again."""

    def __init__(self, words: str, opens: datetime) -> None:
        after = max(1.0, (opens - datetime.now(UTC)).total_seconds())
        super().__init__(f"{words} It opens again on {opens:%-d %B at %H:%M} UTC.", after=after)


OFFER = f"""(
    select {IS_OPEN} as is_open, s.paused_at, to_jsonb(p) as plan, (
        select to_jsonb(m) from model as m join provider as p on p.id = m.provider_id
        where m.id = asked.model_id and {models.IS_OFFERED}
    ) as model
    from (select) as one
    left join subscription as s on s.account_id = asked.account_id and {LIVES}
    left join plan as p on p.id = {PLAN}
    offset 0
)"""
Offer = asyncpg.Record
"""A row of OFFER: not yet looked at."""
AGREED = f"""
select asked.place, t.*
from unnest((select $1::uuid[]), (select $2::text[])) with ordinality as asked (account_id, model_id, place)
cross join lateral {OFFER} as t
order by asked.place
"""


async def agreed(db: Db, account_id: UUID, name: str) -> Terms:
    """``name``: the model's id, at best. Raises what ``settled`` raises."""
    return await settled(db, await db.together(_rows, (account_id, name)), name)


async def settled(db: Db, offer: Offer, name: str) -> Terms:
    """What was offered to somebody, of a model. Raises NoSubscription, and Refused for one not on offer or not in the plan."""
    if offer["plan"] is None:
        raise NoSubscription
    if not offer["is_open"]:
        raise NoSubscription(PAUSED if offer["paused_at"] else ENDED)
    plan = Plan(*[offer["plan"][name] for name in PLAN_FIELDS])
    if offer["model"] is None:
        model: Model = await models.offered(db, name)
    else:
        model = models.from_row({field: offer["model"][field] for field in MODEL_FIELDS})
    if not plan.allows(model.id):
        raise Refused(f"Your plan does not include {model.name}.", field="model")
    return Terms(plan, model)


async def _rows(db: Db, asked: Sequence[tuple[UUID, str]]) -> Sequence[Offer]:
    return await db.fetch(AGREED, *zip(*asked, strict=True))


@contextmanager
def kept(plan: Plan, pictures: int, credits: int) -> Iterator[None]:
    """Around an order of so many pictures at so many credits each: the schema has the last word on the plan's terms.

    Raises PlanCapReached, and NoSubscription when the period ended meanwhile.
    """
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "reserve_needs_an_open_period":
            raise NoSubscription(ENDED) from error
        if error.constraint_name not in ("plan_day", "plan_month"):
            raise
        a_day = error.constraint_name == "plan_day"
        before = int(error.detail or 0) - pictures * credits
        most = plan.credits_per_day if a_day else plan.credits_per_month
        unit, allowed = "day" if a_day else "month", amounts.counted(most or 0, "credit")
        taken = f"{before} are spent or held, and this would take {pictures * credits}."
        words = f"Your plan allows {allowed} a {unit}: {taken}"
        raise PlanCapReached(words, opens(datetime.now(UTC), a_day=a_day)) from error


def opens(now: datetime, *, a_day: bool) -> datetime:
    """When the next day, or the next month, begins in UTC."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if a_day:
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
