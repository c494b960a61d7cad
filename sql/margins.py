"""Margins: what delivered pictures earned and what attempts cost, by day, plan, model, key or user."""

from __future__ import annotations

from dataclasses import dataclass

from limner.runtime.database import Db
from limner.runtime.errors import Refused

DIMENSIONS = ("day", "plan", "model", "key", "user")


@dataclass(frozen=True)
class Margin:
    """One line. Money is in millionths of a US dollar; ``possible`` may have been billed to us, nobody knows."""

    name: str
    delivered: int
    attempts: int
    credits: int
    earned: int
    cost: int
    possible: int

    @property
    def margin(self) -> int:
        return self.earned - self.cost


BY = """
with line as (
    select m.*, case $1::text when 'day' then m.day::text when 'plan' then m.plan_id::text when 'model' then m.model_id
        when 'key' then m.key_id::text else m.account_id::text end as id
    from margin_line as m where m.finished_at > now() - make_interval(days => $2)
),
summed as (
    select id, sum(delivered) as delivered, sum(attempts) as attempts, sum(credits)::bigint as credits,
        coalesce(sum(earned_micros), 0)::bigint as earned, sum(cost_micros)::bigint as cost,
        sum(possible_micros)::bigint as possible
    from line group by id
)
select coalesce(case $1::text
        when 'plan' then (select p.name from plan as p where p.id::text = s.id)
        when 'key' then (select k.label || ' ' || k.last_four from provider_key as k where k.id::text = s.id)
        when 'user' then (select a.email from account as a where a.id::text = s.id)
        else s.id
    end, '–') as name, s.delivered, s.attempts, s.credits, s.earned, s.cost, s.possible
from summed as s
order by case when $1::text = 'day' then s.id end desc, s.earned - s.cost desc, 1 limit $3
"""


async def by(db: Db, dimension: str, days: int = 30, count: int = 100) -> list[Margin]:
    """Lines of the last ``days``. Raises Refused for a dimension that there is not."""
    if dimension not in DIMENSIONS:
        raise Refused(f"Margins are by {', '.join(DIMENSIONS)}, not {dimension[:40]!r}.", field="by")
    return [Margin(**row) for row in await db.fetch(BY, dimension, days, count)]
