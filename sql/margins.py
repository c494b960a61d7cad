"""Margins: what delivered pictures earned and what attempts cost, by day, plan, model, key or user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import figures
from limner.sql.figures import FIELDS, OF_DAY, Span

DIMENSIONS = ("day", "plan", "model", "key", "user")
SCOPES = {"day": "all", "plan": "plan", "model": "model", "key": "key"}
"""Which of the sums that were put down have a line for each (work_day)."""


@dataclass(frozen=True)
class Margin:
    """One line. Money in millionths: ``earned``, ``cost`` and ``possible`` of a US dollar, and by currency what plans earned
    that are priced in others. ``possible`` may have been billed to us, nobody knows.
    """

    name: str
    delivered: int
    attempts: int
    credits: int
    earned: int
    cost: int
    possible: int
    elsewhere: dict[str, int]

    @property
    def margin(self) -> int:
        """In US dollars: of what was earned in other currencies there is no rate."""
        return self.earned - self.cost


# By whom is not put down: it is added up anew.
OF_USERS = """(
select m.account_id::text as id, coalesce(m.currency, '') as currency, m.delivered, m.attempts, m.credits,
    coalesce(m.earned_micros, 0) as earned_micros, m.cost_micros, m.possible_micros
from margin_line as m
where m.finished_at >= $1 and m.finished_at < $2
union all
select e.account_id::text, coalesce(s.currency, ''), 0, 0, -e.credits,
    coalesce(-(e.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint, 0), 0, 0
from ledger_entry as e
join job as j on j.id = e.job_id
join generation as g on g.id = j.generation_id
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where e.kind = 'refund' and e.created_at >= $1 and e.created_at < $2
)"""
ID = """
case $3::text when 'day' then (at at time zone 'UTC')::date::text when 'plan' then nullif(plan_id, 0)::text
    when 'model' then model_id else nullif(key_id, 0)::text end as id
"""
OF_FIGURES = f"""(
select {ID}, w.* from (
    select {OF_DAY}, {FIELDS} from work_day where scope = $5 and day >= $6 and day < $7
    union all
    select at, {FIELDS} from work_line where at >= $1 and at < $8
    union all
    select at, {FIELDS} from work_line where at >= $9 and at < $2
) as w
)"""
SUMS = """
    sum(delivered)::int as delivered, sum(attempts)::int as attempts, sum(credits)::bigint as credits,
    sum(earned_micros)::bigint as earned, sum(cost_micros)::bigint as cost, sum(possible_micros)::bigint as possible
"""
LINES = f"""
summed as (select id, currency, {SUMS} from line group by id, currency),
told as (
    select id, sum(delivered)::int as delivered, sum(attempts)::int as attempts, sum(credits)::bigint as credits,
        coalesce(sum(earned) filter (where currency = 'USD'), 0)::bigint as earned, sum(cost)::bigint as cost,
        sum(possible)::bigint as possible,
        coalesce(jsonb_object_agg(currency, earned order by currency) filter (where currency <> 'USD' and earned <> 0), '{{}}')
            as elsewhere
    from summed group by id having bool_or(delivered <> 0 or attempts <> 0 or credits <> 0)
)
select coalesce(case $3::text
        when 'plan' then (select p.name from plan as p where p.id::text = t.id)
        when 'key' then (select k.label || ' ' || k.last_four from provider_key as k where k.id::text = t.id)
        when 'user' then (select a.email from account as a where a.id::text = t.id)
        else t.id
    end, '–') as name, t.delivered, t.attempts, t.credits, t.earned, t.cost, t.possible, t.elsewhere
from told as t
order by case when $3::text = 'day' then t.id end desc, t.earned - t.cost desc, 1 limit $4
"""
BY_USER = f"with line as {OF_USERS}, {LINES}"
BY = f"with line as {OF_FIGURES}, {LINES}"


async def by(db: Db, dimension: str, days: int = 30, count: int = 100) -> list[Margin]:
    """Lines of today and the ``days`` - 1 days before it, in UTC. Raises Refused for a dimension that there is not."""
    if dimension not in DIMENSIONS:
        raise Refused(f"Margins are by {', '.join(DIMENSIONS)}, not {dimension[:40]!r}.", field="by")
    span = await _span(db, days)
    asked = (span.start, span.end, dimension, count)
    if dimension == "user":
        return [Margin(**row) for row in await db.fetch(BY_USER, *asked)]
    first, last, _, before, after, _ = span.parts(await figures.put_down_until(db))
    return [Margin(**row) for row in await db.fetch(BY, *asked, SCOPES[dimension], first, last, before, after)]


async def _span(db: Db, days: int) -> Span:
    now: datetime = (await db.fetchval("select now()")).astimezone(UTC)
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return Span(tomorrow - timedelta(days=days), tomorrow)
