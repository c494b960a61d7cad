"""Durable messages on Postgres: send, claim, acknowledge, retry, bury.

A message is a row. It belongs to nobody, or to a worker whose heartbeat is fresh. Every write names the
fence (id, owner, attempt), so what a lost or revived worker still writes changes nothing.
"""

from __future__ import annotations

import dataclasses
import random
import typing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.errors import FenceLost

SENT = "message_sent"
"""The channel that wakes mailboxes; its payload is the mailbox's name."""


@dataclass(frozen=True)
class Fence:
    """Proof of ownership: this message, by this worker, at this attempt."""

    id: int
    owner: UUID
    attempt: int


@dataclass(frozen=True)
class Message:
    """Base of all messages: frozen dataclasses, named in the imperative, that live in one mailbox."""

    mailbox: ClassVar[str]
    fence: Fence = dataclasses.field(init=False, repr=False, compare=False, default=Fence(0, UUID(int=0), 0))

    def payload(self) -> dict[str, Any]:
        fields = (field.name for field in dataclasses.fields(self) if field.name != "fence")
        return {name: _plain(getattr(self, name)) for name in fields}

    @classmethod
    def revive(cls, payload: dict[str, Any], fence: Fence) -> Self:
        hints = typing.get_type_hints(cls)
        message = cls(**{name: UUID(value) if hints.get(name) is UUID else value for name, value in payload.items()})
        object.__setattr__(message, "fence", fence)
        return message


@dataclass(frozen=True)
class Claimed:
    """A message in hand, not yet revived: what the actor needs to run, retry or bury it."""

    fence: Fence
    kind: str
    payload: dict[str, Any]
    max_attempts: int
    ready_at: datetime


SEND = """
insert into message (mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, ready_at, deadline)
values ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9), now() + make_interval(secs => $10))
on conflict (mailbox, key) where key is not null do nothing
returning id
"""


async def send(
    db: Db,
    message: Message,
    *,
    key: str | None = None,
    partition: str = "",
    partition_limit: int | None = None,
    priority: int = 0,
    delay: float = 0,
    deadline: float | None = None,
    max_attempts: int = 5,
) -> int | None:
    """Send in the caller's transaction; the actors are woken after its commit.

    ``key``: unique while the message is alive; a second one with the same key is not sent and None is returned.
    ``partition``: taken in turns inside a priority, at most ``partition_limit`` running. ``delay``, ``deadline``: seconds.
    """
    sent = await db.fetchval(
        SEND,
        message.mailbox,
        type(message).__name__,
        message.payload(),
        key,
        partition,
        partition_limit,
        priority,
        max_attempts,
        float(delay),
        deadline,
    )
    if sent is not None:
        db.tell(SENT, message.mailbox)
    return sent  # type: ignore[no-any-return]


CLAIM = "select * from message_claim($1, $2, $3)"


async def claim(db: Db, mailbox: str, owner: UUID, count: int) -> list[Claimed]:
    """Take up to ``count`` messages, fair by partition. The attempt is counted here, so that a kill counts too."""
    rows = await db.fetch(CLAIM, mailbox, owner, count)
    return [
        Claimed(
            Fence(row["id"], owner, row["attempts"]), row["kind"], row["payload"], row["max_attempts"], row["ready_at"]
        )
        for row in sorted(rows, key=lambda row: row["id"])
    ]


HOLD = "select 1 from message where id = $1 and owner = $2 and attempts = $3 for update"


async def hold(db: Db, fence: Fence) -> None:
    """Lock the message until the transaction ends. Raises FenceLost when it is not ours any more."""
    if await db.fetchval(HOLD, fence.id, fence.owner, fence.attempt) is None:
        raise FenceLost(f"message {fence.id} is not ours any more")


ACK = "delete from message where id = $1 and owner = $2 and attempts = $3"


async def ack(db: Db, fence: Fence) -> None:
    """The message is done, at the commit of the caller's transaction. Raises FenceLost."""
    if not affected(await db.execute(ACK, fence.id, fence.owner, fence.attempt)):
        raise FenceLost(f"message {fence.id} is not ours any more")


RETRY = """
update message set owner = null, claimed_at = null, last_error = $5, ready_at = now() + make_interval(secs => $4),
    attempts = case when $6 then attempts else greatest(attempts - 1, 0) end
where id = $1 and owner = $2 and attempts = $3
"""


async def retry(db: Db, fence: Fence, *, after: float, error: str, blame: bool = True) -> None:
    """Put the message back for ``after`` seconds. Without ``blame`` the attempt does not count. Raises FenceLost."""
    if not affected(await db.execute(RETRY, fence.id, fence.owner, fence.attempt, float(after), error[:500], blame)):
        raise FenceLost(f"message {fence.id} is not ours any more")


BURY = """
with dead as (
    delete from message where id = $1 and owner = $2 and attempts = $3 returning *
)
insert into dead_letter (id, mailbox, kind, partition, key, attempts, reason, payload, created_at)
select id, mailbox, kind, partition, key, attempts, $4, payload, created_at from dead
"""


async def bury(db: Db, fence: Fence, reason: str) -> None:
    """Move the message to the dead letters, with its reason. Raises FenceLost."""
    if not affected(await db.execute(BURY, fence.id, fence.owner, fence.attempt, reason[:500])):
        raise FenceLost(f"message {fence.id} is not ours any more")


REQUEUE = """
with alive as (
    delete from dead_letter where id = $1 returning *
)
insert into message (mailbox, kind, partition, key, payload)
select mailbox, kind, partition, key, payload from alive
on conflict (mailbox, key) where key is not null do nothing
returning mailbox
"""


async def requeue(db: Db, dead_id: int) -> bool:
    """Give a dead letter a new life, with fresh attempts. False when there is no such dead letter."""
    mailbox = await db.fetchval(REQUEUE, dead_id)
    if mailbox is not None:
        db.tell(SENT, mailbox)
    return mailbox is not None


GIVE_BACK = """
update message set owner = null, claimed_at = null, attempts = greatest(attempts - 1, 0)
where owner = $1 and mailbox = $2 and not id = any($3::bigint[])
"""


async def give_back(db: Db, mailbox: str, owner: UUID, *, keep: list[int]) -> int:
    """Free what this worker owns but does not work on: after an outage, and when it drains. It costs no attempt."""
    freed = affected(await db.execute(GIVE_BACK, owner, mailbox, keep))
    if freed:
        db.tell(SENT, mailbox)
    return freed


RESCUE = """
with lost as (
    select id, attempts >= max_attempts as is_poison from message
    where owner is not null and not exists (
        select from worker
        where worker.id = message.owner and worker.state <> 'stopped'
            and worker.seen_at > now() - make_interval(secs => $1)
    )
    for update skip locked
),
freed as (
    update message as m set owner = null, claimed_at = null, ready_at = now(), last_error = 'its worker died'
    from lost where m.id = lost.id and not lost.is_poison
    returning m.mailbox
),
dead as (
    delete from message as m using lost where m.id = lost.id and lost.is_poison returning m.*
),
buried as (
    insert into dead_letter (id, mailbox, kind, partition, key, attempts, reason, payload, created_at)
    select id, mailbox, kind, partition, key, attempts, 'its worker died every time', payload, created_at from dead
)
select mailbox from freed union all select mailbox from dead
"""


async def rescue(db: Db, lease: float) -> int:
    """Free the messages of workers without a heartbeat for ``lease`` seconds; returns how many.

    The attempt stays counted, so a message that kills every worker that touches it becomes a dead letter.
    """
    rows = await db.fetch(RESCUE, float(lease))
    for mailbox in {row["mailbox"] for row in rows}:
        db.tell(SENT, mailbox)
    return len(rows)


NEXT_READY = """
select extract(epoch from min(ready_at) - clock_timestamp()) from message where mailbox = $1 and owner is null
"""


async def next_ready(db: Db, mailbox: str) -> float | None:
    """Seconds until the next waiting message is ready (negative: it is), or None when none waits."""
    seconds = await db.fetchval(NEXT_READY, mailbox)
    return None if seconds is None else float(seconds)


def backoff(attempt: int, *, first: float = 1.0, most: float = 300.0) -> float:
    """Seconds to wait after the n-th failure: doubling, with jitter of a quarter either way."""
    return min(first * 2.0 ** (attempt - 1), most) * random.uniform(0.75, 1.25)  # noqa: S311


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
