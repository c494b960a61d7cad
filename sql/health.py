"""Health: every process that was there lately, what came round by the schedule, and what was given up. For the admin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime import upkeep
from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.sql import audit

WELL = ("new", "starting", "running", "polling", "waiting", "no token", "done", None)
"""What a child says of itself when nothing is wrong with it."""


@dataclass(frozen=True)
class Process:
    """``state``: "silent" when no heartbeat came within the lease. ``memory`` in megabytes, where it is reported."""

    id: UUID
    role: str
    host: str
    pid: int
    state: str
    paused: bool
    started_at: datetime
    seen_at: datetime
    version: str | None
    schema: int | None
    memory: int | None
    children: list[dict[str, Any]]

    @property
    def ailing(self) -> list[dict[str, Any]]:
        return ailing(self.children)

    @property
    def everybody(self) -> Iterator[dict[str, Any]]:
        yield from _flat(self.children)


def ailing(children: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those, at any depth, with which something is wrong."""
    return [child for child in _flat(children) if child.get("state") not in WELL]


def _flat(children: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for child in children:
        yield child
        yield from _flat(child.get("children", []))


PROCESSES = """
select id, role, host, pid, paused, started_at, seen_at, children, about ->> 'version' as version,
    (about ->> 'schema')::int as schema, (about ->> 'memory')::int as memory,
    case when state <> 'stopped' and seen_at <= now() - make_interval(secs => $1) then 'silent' else state end as state
from worker where seen_at > now() - interval '15 minutes'
order by (state = 'stopped' or seen_at <= now() - make_interval(secs => $1)), role, started_at
"""


async def processes(db: Db, lease: float) -> list[Process]:
    """Those that were seen within a quarter of an hour, the living first."""
    return [Process(**row) for row in await db.fetch(PROCESSES, float(lease))]


@dataclass(frozen=True)
class Round:
    """Something that comes round by the schedule."""

    name: str
    last_at: datetime


ROUNDS = "select name, last_at from schedule order by last_at desc, name"


async def rounds(db: Db) -> list[Round]:
    return [Round(**row) for row in await db.fetch(ROUNDS)]


@dataclass(frozen=True)
class Lease:
    """Who does what only one may do. ``holder``: the process, when it is known."""

    name: str
    holder: str | None
    is_held: bool


LEASES = """
select l.name, w.role || ' on ' || w.host || ', ' || w.pid as holder, l.expires_at > now() as is_held
from lease as l left join worker as w on w.id = l.owner order by l.name
"""


async def leases(db: Db) -> list[Lease]:
    return [Lease(**row) for row in await db.fetch(LEASES)]


@dataclass(frozen=True)
class Letter:
    """A dead letter: a message that was given up."""

    id: int
    mailbox: str
    kind: str
    attempts: int
    reason: str
    created_at: datetime
    died_at: datetime


LETTERS = """
select id, mailbox, kind, attempts, reason, created_at, died_at from dead_letter
where $1::timestamptz is null or (died_at, id) < ($1, $2) order by died_at desc, id desc limit $3
"""


async def letters(db: Db, before: tuple[datetime | None, int | None] = (None, None), count: int = 50) -> list[Letter]:
    """The newest ones, or those before one of them."""
    return [Letter(**row) for row in await db.fetch(LETTERS, *before, count)]


LETTER = "select mailbox, kind, reason from dead_letter where id = $1"


async def retry(db: Db, letter_id: int, reason: str, *, actor: str, ip: str = "") -> None:
    """Give a dead letter a new life. Raises NotFound, also for whoever comes second."""
    async with db.transaction() as tx:
        letter = await tx.fetchrow(LETTER, letter_id)
        if letter is None or not await upkeep.requeue(tx, letter_id):
            raise NotFound("There is no such message any more, or the same one waits already.")
        after = {"reason": reason}
        await audit.record(tx, actor, "letter.retry", f"{letter['kind']} {letter_id}", dict(letter), after, ip=ip)


OLDEST_IMAGE = "select min_image_head from schema_window"


async def oldest_image(db: Db) -> int:
    """The oldest newest-migration that an image may carry and still run here."""
    return int(await db.fetchval(OLDEST_IMAGE))
