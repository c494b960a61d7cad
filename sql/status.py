"""Status: how the studio is doing, for everybody to read, so it says nothing of keys, people or amounts of work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from limner.runtime.database import Db
from limner.sql import alerts

State = Literal["well", "slow", "partly", "nothing", "unknown"]
Part = Literal["up", "down", "late", "off", "unknown"]

LONG_LINE = 120.0
"""Seconds that the first in line may wait, when nothing of the same person is being painted."""
LONG_WAIT = 60.0
"""Seconds between order and brush, in the middle of the last hour, above which it is slow."""
STUCK = 600.0
"""Seconds without a delivery, while somebody waits for as long, after which nothing is being painted."""
GOOD_SHARE = 0.9


@dataclass(frozen=True)
class Reading:
    """What the records say. Seconds, but for ``delivered`` and ``failed``, which count the last hour's pictures.

    ``delivered_ago``: since the last delivery, None for a week; ``line``: since the order of the first in line, 0 for
    none; ``wait``, ``median``: from order to brush, and to picture, in the middle of the latest; None without any.
    """

    now: datetime
    has_worker: bool
    takes_work: bool
    bot: Part
    payments_late: bool
    delivered_ago: float | None
    line: float
    delivered: int
    failed: int
    wait: float | None
    median: float | None
    causes: tuple[str, ...] = ()


# In any state: one that said goodbye a moment ago is being restarted, most likely.
NOW = """
with seen as (
    select role, paused, children from worker where seen_at > now() - make_interval(secs => $1)
),
latest as (
    select j.state, j.created_at, j.started_at, j.finished_at from job as j
    where j.finished_at > now() - interval '24 hours' and (j.state = 'delivered' or j.state = 'failed' and not exists (
        select from attempt as a where a.job_id = j.id and a.fault in ('moderation_input', 'moderation_output')
    ))
    order by j.finished_at desc limit 200
),
lately as (select * from latest where finished_at > now() - interval '1 hour')
select now() as now,
    exists (select from seen where role = 'worker') as has_worker,
    exists (select from seen where role = 'worker' and not paused) as takes_work,
    case
        when exists (select from seen where role = 'bot' and children @> '[{"name": "poller", "state": "no token"}]') then 'off'
        when exists (
            select from seen where role = 'bot' and children @> '[{"name": "poller", "state": "polling"}]'
        ) then 'up'
        when exists (
            select from seen where role = 'bot' and (children @> '[{"name": "poller", "state": "conflict"}]'
                or children @> '[{"name": "poller", "state": "deaf"}]')
        ) then 'down'
        when exists (select from seen where role = 'bot') then 'up'
        else 'down'
    end as bot,
    exists (
        select from message where mailbox = 'billing' and state = 0 and created_at < now() - interval '5 minutes'
    ) or exists (
        select from message where mailbox = 'billing' and state >= 2 and created_at < now() - interval '5 minutes'
    ) or exists (
        select from dead_letter where mailbox = 'billing' and died_at > now() - interval '1 hour'
    ) as payments_late,
    extract(epoch from now() - (
        select j.finished_at from job as j
        where j.state = 'delivered' and j.finished_at > now() - interval '7 days' order by j.finished_at desc limit 1
    ))::float8 as delivered_ago,
    coalesce(extract(epoch from now() - (
        select min(w.created_at) from (
            select j.account_id, j.created_at from job as j where j.state = 'queued' order by j.created_at limit 1000
        ) as w
        where not exists (select from job as r where r.state = 'running' and r.account_id = w.account_id)
    )), 0)::float8 as line,
    (select count(*) from lately where state = 'delivered')::int as delivered,
    (select count(*) from lately where state = 'failed')::int as failed,
    (
        select percentile_cont(0.5) within group (order by extract(epoch from started_at - created_at))
        from lately where state = 'delivered'
    )::float8 as wait,
    (
        select percentile_cont(0.5) within group (order by extract(epoch from finished_at - created_at))
        from latest where state = 'delivered'
    )::float8 as median
"""


async def read(db: Db, lease: float) -> Reading:
    """How it is now. Bounded whatever the tables hold; still, not for every visitor: see ``http/status.py``."""
    row = await db.fetchrow(NOW, float(lease))
    assert row is not None
    return Reading(**row, causes=tuple(alert.cause for alert in await alerts.still_open(db)))


@dataclass(frozen=True)
class Hour:
    """What ended in an hour that began at ``at``. What was refused for its content is not the studio's failure."""

    at: datetime
    delivered: int
    failed: int


HOURS = """
select date_trunc('hour', j.finished_at, 'UTC') as at,
    count(*) filter (where j.state = 'delivered')::int as delivered,
    count(*) filter (where j.state = 'failed' and not exists (
        select from attempt as a where a.job_id = j.id and a.fault in ('moderation_input', 'moderation_output')
    ))::int as failed
from job as j where j.finished_at >= $1 and j.finished_at < $2 and j.state in ('delivered', 'failed') group by 1
"""


async def hours(db: Db, since: datetime, until: datetime) -> list[Hour]:
    """The hours from ``since`` to before ``until`` in which anything ended."""
    return [Hour(**row) for row in await db.fetch(HOURS, since, until)]


def judge(reading: Reading) -> State:
    """One word for how it is."""
    found = reading
    ended = found.delivered + found.failed
    is_stuck = found.line > STUCK and (found.delivered_ago is None or found.delivered_ago > STUCK)
    if not found.takes_work or is_stuck or (found.failed >= 3 and not found.delivered):
        return "nothing"
    if (found.failed >= 2 and found.delivered < GOOD_SHARE * ended) or found.payments_late:
        return "partly"
    if found.line > LONG_LINE or (found.wait or 0) > LONG_WAIT:
        return "slow"
    return "well"


def parts(reading: Reading | None) -> dict[str, Part]:
    """What the studio is made of, as far as a visitor knows it. The site is up: somebody reads this."""
    if reading is None:
        return {"site": "up", "painting": "unknown", "payments": "unknown", "bot": "unknown"}
    return {
        "site": "up",
        "painting": "up" if reading.takes_work else "down",
        "payments": "late" if reading.payments_late else "up" if reading.has_worker else "down",
        "bot": reading.bot,
    }


def troubles(reading: Reading) -> list[str]:
    """The open alerts, and what else is seen, in words that an attacker or a competitor learns nothing from."""
    found = [words for cause in reading.causes if (words := _public(cause, judge(reading)))]
    if reading.failed >= 2 and reading.delivered < GOOD_SHARE * (reading.delivered + reading.failed):
        found.append("More pictures than usual cannot be painted. Nothing is charged for them.")
    if reading.payments_late:
        found.append("Payments are credited late. None is lost.")
    return list(dict.fromkeys(found))


HOUSEKEEPING = (
    *(
        "backup_overdue",
        "drill_overdue",
        "certificate",
        "clock_off",
        "schema_pending",
        "bot_conflict",
        "bot_deaf",
        "no_bot",
    ),
    *("mails_refused", "no_web", "retiring", "fund", "webhooks", "received", "invoice"),
)
"""What nobody who paints here notices."""


def _public(cause: str, state: State) -> str | None:
    """None: the state itself says it already, or nobody here notices it."""
    match cause.partition(" ")[0]:
        case kind if kind in HOUSEKEEPING:
            return None
        case "no_worker" if state == "nothing":
            return None
        case "queue_waits" if state in ("slow", "nothing"):
            return None
        case "no_worker":
            return "Nothing is painted at the moment. What was ordered waits, and is kept."
        case "queue_waits":
            return "Pictures wait longer than usual."
        case "failure_rate":
            return "More pictures than usual cannot be painted. Nothing is charged for them."
        case "mails_wait":
            return "Mails go out late. None is lost."
        case "key" if state == "well":
            return "One of our ways to paint is out of order. The others do its work."
        case "key" | "model":
            return "Some of our ways to paint are out of order."
        case _:
            return "We were told of a trouble behind the scenes and look into it."


def share(delivered: int, failed: int) -> int | None:
    """Percent delivered, in steps of five and never rounded up, so that it gives no numbers away; None: nothing ended."""
    ended = delivered + failed
    return delivered * 20 // ended * 5 if ended else None


def rounded(seconds: float) -> int:
    """Seconds as they are shown: whole ones, from a minute on in steps of five."""
    return max(1, round(seconds)) if seconds < 60 else round(seconds / 5) * 5
