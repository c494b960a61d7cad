"""Terms: what somebody may order of a model right now, by a plan that is open and a catalogue that offers it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import models
from limner.sql.models import Model
from limner.sql.plans import Plan
from limner.sql.subscriptions import ENDED, IS_OPEN, LIVES, PAUSED, PLAN, NoSubscription


@dataclass(frozen=True)
class Terms:
    plan: Plan
    model: Model


AGREED = f"""
select {IS_OPEN} as is_open, s.paused_at, to_jsonb(p) as plan, (
    select to_jsonb(m) from model as m join provider as p on p.id = m.provider_id where m.id = $2 and {models.IS_OFFERED}
) as model
from (select) as one
left join subscription as s on s.account_id = $1 and {LIVES}
left join plan as p on p.id = {PLAN}
"""


async def agreed(db: Db, account_id: UUID, name: str) -> Terms:
    """``name``: the model's id, at best. Raises NoSubscription, and Refused for a model not on offer or not in the plan."""
    row = await db.fetchrow(AGREED, account_id, name)
    assert row is not None
    if row["plan"] is None:
        raise NoSubscription
    if not row["is_open"]:
        raise NoSubscription(PAUSED if row["paused_at"] else ENDED)
    plan = Plan(**{field.name: row["plan"][field.name] for field in fields(Plan)})
    if row["model"] is None:
        model = await models.offered(db, name)
    else:
        model = models.from_row({field.name: row["model"][field.name] for field in fields(Model)})
    if not plan.allows(model.id):
        raise Refused(f"Your plan does not include {model.name}.", field="model")
    return Terms(plan, model)
