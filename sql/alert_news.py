"""Alert news: of which alerts admins should be told by now, what was told, and which of them are to be quiet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import alerts, audit
from limner.sql.alerts import COLUMNS, HOUR, Alert

MOST_SNOOZED = 72
"""Hours."""
MORNING = "08:00"
"""When the morning is where neither the digest nor the end of the quiet hours lies in one."""
IN_THE_MORNING = "between '04:00' and '12:00'"


# Told of its beginning, its coming back or its lasting: once within the hour. Told of its end: at once. By a rule that is
# on, and what sleeps of its end alone.
DUE = f"""
select {COLUMNS} from (
    select a.*, a.told_at is null or a.told_at <= now() - {HOUR} as is_time, r.again_hours,
        coalesce(a.snoozed_until > now(), false) as sleeps
    from alert as a left join alert_rule as r on r.code = a.rule
    where a.rule <> '' and coalesce(r.is_on, true) and (a.ended_at is null or a.ended_at > now() - interval '3 days')
) as a
where a.is_held and (a.ended_at is not null or not a.sleeps)
    or a.ended_at is not null and (a.told = 'open' or a.told = '' or a.is_time and a.returns > a.told_returns)
    or a.ended_at is null and a.is_time and not a.sleeps
        and (a.told <> 'open' or a.returns > a.told_returns or a.told_at <= now() - make_interval(hours => a.again_hours))
order by a.id
"""


async def due(db: Db) -> list[Alert]:
    """Those that somebody should be told of by now; what is held comes each time, unless it sleeps."""
    return [Alert(**row) for row in await db.fetch(DUE)]


class Lately(NamedTuple):
    """What was told by a rule within the hour; what was told together is one message. ``seconds``: since the newest."""

    messages: int
    seconds: float


TOLD_LATELY = f"""
select rule, count(distinct told_at)::int as messages, extract(epoch from now() - max(told_at))::float8 as seconds
from alert where told_at > now() - {HOUR} group by rule
"""


async def told_lately(db: Db) -> dict[str, Lately]:
    """By the code of the rule."""
    return {row["rule"]: Lately(row["messages"], row["seconds"]) for row in await db.fetch(TOLD_LATELY)}


TELL = """
update alert set told = case when ended_at is null then 'open' else 'over' end, told_returns = returns, is_held = false,
    messages = messages + 1, told_at = case when ended_at is null or told <> 'open' then now() else told_at end
where id = any($1::bigint[])
"""


async def told(db: Db, found: Collection[Alert]) -> None:
    """What stands in them is on its way, by this transaction."""
    await db.execute(TELL, [alert.id for alert in found])


async def hold(db: Db, found: Collection[Alert]) -> None:
    """Keep them for the end of the quiet hours."""
    await db.execute("update alert set is_held = true where id = any($1::bigint[])", [alert.id for alert in found])


SNOOZE = """
update alert set snoozed_until = now() + make_interval(secs => $2), snoozed_by = $3 where id = $1 and ended_at is null
returning snoozed_until
"""


async def snooze(db: Db, alert_id: int, hours: int, reason: str, *, actor: str, ip: str = "") -> None:
    """Say nothing of it for so long, but for its end. 0: wake it up. Raises NotFound, and Refused for one that is over."""
    if not 0 <= hours <= MOST_SNOOZED:
        raise Refused(f"An alert sleeps for 1 to {MOST_SNOOZED} hours, not {hours}.", field="hours")
    await _sleep(db, alert_id, hours * 3600.0, reason, actor, ip)


# The morning is when the digest comes, or the quiet hours end, where that is in one; the small hours still belong to the day
# before.
UNTIL_MORNING = f"""
with morning as (
    select time_zone, now() at time zone time_zone as clock, case when digest_at {IN_THE_MORNING} then digest_at
        when quiet_to {IN_THE_MORNING} then quiet_to else '{MORNING}' end as at
    from alert_times
),
next as (select time_zone, (clock - interval '4 hours')::date + at + interval '1 day' as at from morning)
select extract(epoch from (at at time zone time_zone) - now())::float8 from next
"""


async def snooze_until_morning(db: Db, alert_id: int, reason: str, *, actor: str) -> None:
    """Say nothing of it until tomorrow morning in the studio's time zone, but for its end. Raises as ``snooze`` does."""
    async with db.transaction() as tx:  # of one moment
        await _sleep(tx, alert_id, await tx.fetchval(UNTIL_MORNING), reason, actor, "")


async def _sleep(db: Db, alert_id: int, seconds: float, reason: str, actor: str, ip: str) -> None:
    async with db.transaction() as tx:
        alert = await alerts.get(tx, alert_id)
        until = await tx.fetchval(SNOOZE, alert_id, seconds, actor)
        if until is None:
            raise Refused("It is over: there is nothing to be quiet about.", field="hours")
        before = {"until": alert.snoozed_until and alert.snoozed_until.isoformat()}
        after = {"until": until.isoformat(), "reason": reason}
        await audit.record(tx, actor, "alert.snooze", f"alert {alert_id}: {alert.cause}", before, after, ip=ip)


@dataclass(frozen=True)
class Reader:
    email: str
    locale: str


READERS = "select email, locale from account where role = 'admin' and banned_at is null order by created_at, id"


async def readers(db: Db) -> list[Reader]:
    """The admins, who are told by mail where nobody is paired with the bot."""
    return [Reader(**row) for row in await db.fetch(READERS)]
