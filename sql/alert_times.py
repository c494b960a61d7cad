"""Quiet hours and the morning's digest: when this studio wants to be told, in a time zone of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import audit


@dataclass(frozen=True)
class Times:
    """``is_quiet``: the quiet hours are on at this moment. ``today``: the date in ``time_zone``."""

    quiet_from: time | None
    quiet_to: time | None
    digest_at: time | None
    time_zone: str
    mail_after_minutes: int
    is_quiet: bool
    is_morning: bool
    today: date
    changed_at: datetime | None


QUIET = """coalesce(case when quiet_from < quiet_to then {at} >= quiet_from and {at} < quiet_to
    else {at} >= quiet_from or {at} < quiet_to end, false)"""
# A digest that falls into the quiet hours comes at their end, be it on the next day.
GET = f"""
select quiet_from, quiet_to, digest_at, time_zone, mail_after_minutes, changed_at, clock::date as today,
    {QUIET.format(at="clock::time")} as is_quiet,
    coalesce(clock::time >= case when {QUIET.format(at="digest_at")} then quiet_to else digest_at end, false)
        and digest_on < clock::date as is_morning
from alert_times cross join lateral (select now() at time zone time_zone as clock) as t
"""


async def get(db: Db) -> Times:
    row = await db.fetchrow(GET)
    assert row is not None
    return Times(**row)


ZONE = "select exists (select from pg_timezone_names where name = $1)"
CHANGE = """
update alert_times set quiet_from = $1, quiet_to = $2, digest_at = $3, time_zone = $4, mail_after_minutes = $5, changed_at = now()
"""


async def change(
    db: Db,
    quiet: tuple[time, time] | None,
    digest_at: time | None,
    time_zone: str,
    mail_after_minutes: int,
    *,
    actor: str,
    reason: str = "",
    ip: str = "",
) -> None:
    """Have it so from the next look on. Raises Refused that names the field."""
    if quiet is not None and quiet[0] == quiet[1]:
        raise Refused("Quiet hours end at another time than they begin.", field="quiet_to")
    if not 1 <= mail_after_minutes <= 1440:
        raise Refused(f"From 1 to 1440 minutes, not {mail_after_minutes}.", field="mail_after_minutes")
    async with db.transaction() as tx:
        if not await tx.fetchval(ZONE, time_zone):
            raise Refused(f"There is no time zone {time_zone[:60]!r}; one is called Europe/Rome.", field="time_zone")
        before = _said(await get(tx))
        quiet_from, quiet_to = quiet or (None, None)
        await tx.execute(CHANGE, quiet_from, quiet_to, digest_at, time_zone, mail_after_minutes)
        await audit.record(
            tx, actor, "alert_times.change", "alerts", before, _said(await get(tx)), reason=reason, ip=ip
        )


def _said(times: Times) -> dict[str, object]:
    return {
        "quiet_from": _clock(times.quiet_from), "quiet_to": _clock(times.quiet_to), "digest_at": _clock(times.digest_at),
        "time_zone": times.time_zone, "mail_after_minutes": times.mail_after_minutes,
    }  # fmt: skip


def _clock(at: time | None) -> str | None:
    return None if at is None else at.isoformat("minutes")


SAID = "update alert_times set digest_on = $1 where digest_on < $1 returning true"


async def good_morning(db: Db, today: date) -> bool:
    """True for whoever says it today, in the transaction that does."""
    return bool(await db.fetchval(SAID, today))


@dataclass(frozen=True)
class Yesterday:
    """The numbers of the day before in ``time_zone``. ``revenue``: cents by currency, less what went back.

    ``faults``: the most frequent class, and how often; "" for none.
    """

    day: date
    delivered: int
    failed: int
    orders: int
    accounts: int
    paid: int
    revenue: dict[str, int]
    fault: str
    faults: int


YESTERDAY = """
with day as (
    select (clock::date - 1) as day, ((clock::date - 1)::timestamp at time zone time_zone) as since,
        (clock::date::timestamp at time zone time_zone) as until
    from alert_times cross join lateral (select now() at time zone time_zone as clock) as t
),
worst as (
    select fault, count(*) as n from attempt, day
    where fault is not null and finished_at >= since and finished_at < until group by fault order by n desc, fault limit 1
)
select day,
    (select count(*) from job where state = 'delivered' and finished_at >= since and finished_at < until)::int as delivered,
    (select count(*) from job where state = 'failed' and finished_at >= since and finished_at < until)::int as failed,
    (select count(*) from generation where created_at >= since and created_at < until)::int as orders,
    (select count(*) from account where created_at >= since and created_at < until)::int as accounts,
    (select count(*) from invoice where state = 'paid' and paid_at >= since and paid_at < until)::int as paid,
    coalesce((
        select jsonb_object_agg(currency, sum) from (
            select currency, sum(paid_cents - refunded_cents)::bigint as sum from takings_line
            where at >= since and at < until group by currency
        ) as s
    ), '{}') as revenue,
    coalesce((select fault from worst), '') as fault, coalesce((select n from worst), 0)::int as faults
from day
"""


async def yesterday(db: Db) -> Yesterday:
    row = await db.fetchrow(YESTERDAY)
    assert row is not None
    return Yesterday(**row)
