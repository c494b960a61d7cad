"""Alerts: troubles that were seen, and when they ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from limner.runtime.database import Db


@dataclass(frozen=True)
class Alert:
    id: int
    cause: str
    words: str
    began_at: datetime
    ended_at: datetime | None
    seconds: float


BEGIN = """
insert into alert (cause, words) values ($1, $2) on conflict (cause) where ended_at is null do nothing returning id
"""


async def begin(db: Db, cause: str, words: str) -> bool:
    """True when this trouble is new."""
    return await db.fetchval(BEGIN, cause, words) is not None


END = """
update alert set ended_at = now() where ended_at is null and not cause = any($1::text[])
returning id, cause, words, began_at, ended_at, extract(epoch from now() - began_at)::float as seconds
"""


async def end_others(db: Db, causes: list[str]) -> list[Alert]:
    """Close every open alert whose cause is not seen any more; returns them."""
    return [Alert(**row) for row in await db.fetch(END, causes)]


OPEN = """
select id, cause, words, began_at, ended_at, extract(epoch from now() - began_at)::float as seconds
from alert where ended_at is null order by began_at
"""


async def still_open(db: Db) -> list[Alert]:
    return [Alert(**row) for row in await db.fetch(OPEN)]


UNTOLD = """
update alert set told_at = now() where told_at is null and ended_at is null
returning id, cause, words, began_at, ended_at, extract(epoch from now() - began_at)::float as seconds
"""


async def take_untold(db: Db) -> list[Alert]:
    """Open alerts that nobody was told of; the caller tells, in this transaction."""
    return [Alert(**row) for row in await db.fetch(UNTOLD)]


@dataclass(frozen=True)
class Reader:
    email: str
    locale: str


READERS = "select email, locale from account where role = 'admin' and banned_at is null order by created_at, id"


async def readers(db: Db) -> list[Reader]:
    """The admins, who are told by mail where nobody is paired with the bot."""
    return [Reader(**row) for row in await db.fetch(READERS)]


LOOKING = "select pg_try_advisory_xact_lock(hashtextextended('watchman', 0))"


async def is_alone(db: Db) -> bool:
    """True for one watchman at a time, until its transaction ends; two would end each other's alerts."""
    return bool(await db.fetchval(LOOKING))


# In any state: a worker that said goodbye a moment ago is being restarted, most likely.
WORKER_SEEN = "select exists (select from worker where role = 'worker' and seen_at > now() - make_interval(secs => $1))"


async def has_worker(db: Db, lease: float) -> bool:
    """True when a worker gave a sign of life within ``lease`` seconds."""
    return bool(await db.fetchval(WORKER_SEEN, float(lease)))


CONTESTED = """
select exists (
    select from worker
    where role = 'bot' and state <> 'stopped' and seen_at > now() - make_interval(secs => $1)
        and children @> '[{"name": "poller", "state": "conflict"}]'
)
"""


async def is_bot_contested(db: Db, lease: float) -> bool:
    """True when a living bot says that somebody else polls with its token."""
    return bool(await db.fetchval(CONTESTED, float(lease)))


@dataclass(frozen=True)
class LostKey:
    """A key that paints no more until somebody acts. ``by_hand``: an admin took it out."""

    id: int
    provider: str
    label: str
    last_four: str
    state: str
    why: str
    by_hand: bool


LOST_KEYS = """
select k.id, p.code as provider, k.label, k.last_four, k.state, k.why, k.by_hand
from provider_key as k join provider as p on p.id = k.provider_id
where k.state in ('out_of_funds', 'manual_review', 'disabled')
    and exists (select from key_event as v where v.key_id = k.id and v.state_after = k.state)
order by k.id
"""


async def lost_keys(db: Db) -> list[LostKey]:
    return [LostKey(**row) for row in await db.fetch(LOST_KEYS)]


LONGEST_WAIT = """
select coalesce(extract(epoch from now() - min(created_at)), 0)::float from job where state = 'queued'
"""


async def longest_wait(db: Db) -> float:
    """Seconds since the eldest picture was ordered of those that wait; 0 when none does."""
    return float(await db.fetchval(LONGEST_WAIT))
