"""Durable messages on Postgres: send, claim, acknowledge, retry, bury.

A message is a row. It belongs to nobody, or to a worker whose heartbeat is fresh. Every write names the
fence (id, owner, attempt), so what a lost or revived worker still writes changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from limner.runtime.database import Database, Db, affected
from limner.runtime.errors import FenceLost
from limner.runtime.message import Fence as Fence
from limner.runtime.message import Message as Message
from limner.runtime.post import SEND, Post
from limner.runtime.post import SENT as SENT  # the name that wakes mailboxes

CANCELED = "message_canceled"
"""A message in hand was taken back. Payload: "<mailbox> <message id>"."""
PROGRESSED = "message_progressed"
"""A message in hand has got further. Payload: "<mailbox> <message id>"."""


@dataclass(frozen=True)
class Claimed:
    """A message in hand, not yet revived: what the actor needs to run, retry or bury it."""

    fence: Fence
    kind: str
    payload: dict[str, Any]
    max_attempts: int
    pos: int
    priority: int
    seconds_left: float | None


class Mark(NamedTuple):
    """What waits with this priority waits above this position. It says nothing about what matters less, or (humbly) more."""

    priority: int
    pos: int


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
    """Send in the caller's transaction; the actors are woken after its commit. Given the pool: in the group commit.

    ``key``: unique while the message is alive; a second one with the same key is not sent and None is returned.
    ``partition``: of a fair message, and of no other; taken in turns inside a priority, at most ``partition_limit`` in hand.
    ``delay``, ``deadline``: seconds. A message that is not done by its deadline becomes a dead letter.
    """
    options = (key, partition, partition_limit, priority, max_attempts, float(delay), deadline)
    row = (*_address(message, bool(partition)), *options)
    if isinstance(db, Database):
        return await _post(db).send(row, _told(message.mailbox, delay))
    sent: int | None = await db.fetchval(SEND, *row)
    if sent is not None:
        _tell(db, message.mailbox, delay)
    return sent


def _told(mailbox: str, delay: float) -> str | None:
    """What goes out on SENT; None when it comes due so late that anybody's next look finds it."""
    if delay <= 0:
        return mailbox
    return f"{mailbox} {delay:.2f}" if delay < 60 else None


def _tell(db: Db, mailbox: str, delay: float) -> None:
    if (told := _told(mailbox, delay)) is not None:
        db.tell(SENT, told)


async def send_many(db: Database, messages: Sequence[Message], *, max_attempts: int = 5) -> None:
    """Send many at once, without keys, in one transaction: by COPY, as fast as Postgres can write."""
    rows = [(*_address(message, False), max_attempts) for message in messages]
    async with db.pool.acquire() as connection:
        await connection.copy_records_to_table(
            "message", records=rows, columns=["mailbox", "kind", "payload", "max_attempts"], timeout=60
        )
    for name in {message.mailbox for message in messages}:
        db.tell(SENT, name)


def _address(message: Message, has_partition: bool) -> tuple[str, str, dict[str, Any]]:
    if has_partition and not message.fair:
        raise ValueError(f"{type(message).__name__} is not a fair message: its mailbox knows no partitions")
    if message.fair and not has_partition:
        raise ValueError(f"{type(message).__name__} is a fair message: it needs a partition")
    return message.mailbox, type(message).__name__, message.payload()


def _post(db: Database) -> Post:
    if db.post is None:
        db.post = Post(db)
    return db.post  # type: ignore[no-any-return]


# Nothing below the low-water mark is looked at: there stand only dead rows, which a long transaction elsewhere keeps
# from being removed. "id = any (...)", here and elsewhere, and "is true" lest it becomes a join: in a plan that was made
# while the table was empty, and is kept, a join reads the whole table.
CLAIM = """
update message as m set state = 1, owner = $2, attempts = m.attempts + 1, claimed_at = now()
where m.id = any (array (
    select id from message
    where mailbox = $1 and state = 0 and partition = '' and pos > $4 and priority >= $5
    order by priority desc, pos limit $3
    for update skip locked
))
returning m.id, m.kind, m.payload, m.attempts, m.max_attempts, m.pos, m.priority,
    extract(epoch from m.deadline - now())::float8 as seconds_left
"""
# One look in eight begins with what is least important, so that it does not starve.
LEAST = """and priority = (select min(priority) from message where mailbox = $1 and state = 0 and partition = '')
    order by priority"""
CLAIM_HUMBLY = CLAIM.replace("priority >= $5", "priority <= $5").replace("order by priority desc", LEAST)
UTMOST = 32767
# The acknowledgements of the last batch and the next batch can share a statement and a commit.
ACK_AND_CLAIM = CLAIM.replace("update", """with done as (
    delete from message as m
    where m.id = any ($6::bigint[]) and m.owner = $2
        and ((m.id, m.attempts) in (select * from unnest($6::bigint[], $7::smallint[]))) is true
)
update""", 1)  # fmt: skip
ACK_AND_CLAIM_HUMBLY = ACK_AND_CLAIM.replace(CLAIM.strip(), CLAIM_HUMBLY.strip())
CLAIM_SUSPECT = """
update message as m set state = 1, owner = $2, attempts = m.attempts + 1, claimed_at = now()
where m.id = any (array (
    select id from message where mailbox = $1 and state = 3 and not exists (
        select from message as m where m.state = 1 and m.mailbox = $1 and m.owner = $2 and m.deaths >= 2
    )
    order by ready_at limit 1 for update skip locked
))
returning m.id, m.kind, m.payload, m.attempts, m.max_attempts, m.pos, m.priority,
    extract(epoch from m.deadline - now())::float8 as seconds_left
"""
# V0007 has message_claim, V0036 what is around it.
WIDTH = 8
"""Columns of a message that was claimed."""
CLAIM_FAIRLY = "select * from message_take($1, $2, $3, $4)"
ACK_MANY = """
delete from message as m
where m.id = any ($2::bigint[]) and m.owner = $1
    and ((m.id, m.attempts) in (select * from unnest($2::bigint[], $3::smallint[]))) is true
"""


async def claim(
    db: Db, mailbox: str, owner: UUID, count: int, *, done: Sequence[Fence] = (), above: Mark | None = None,
    humbly: bool = False,
) -> list[Claimed]:  # fmt: skip
    """Acknowledge ``done`` and take up to ``count`` messages, by priority and age; only those ``above`` the mark.

    The attempt is counted here, so that a kill counts too. A fence in ``done`` that is lost changes nothing.
    """
    level, pos = above or (UTMOST if humbly else -UTMOST, 0)
    if not done:
        statement = CLAIM_HUMBLY if humbly else CLAIM
        return _claimed(await db.fetch(statement, mailbox, owner, count, pos, level), owner)
    statement = ACK_AND_CLAIM_HUMBLY if humbly else ACK_AND_CLAIM
    ids, attempts = [fence.id for fence in done], [fence.attempt for fence in done]
    return _claimed(await db.fetch(statement, mailbox, owner, count, pos, level, ids, attempts), owner)


async def claim_suspect(db: Db, mailbox: str, owner: UUID) -> list[Claimed]:
    """Take one message with which two workers died, unless this worker has such a one in hand."""
    return _claimed(await db.fetch(CLAIM_SUSPECT, mailbox, owner), owner)


async def claim_fairly(db: Db, mailbox: str, owner: UUID, count: int, *, humbly: bool = False) -> list[Claimed]:
    """Take up to ``count`` fair messages: partitions by turns, inside their limits."""
    return (await take_turns(db, mailbox, owner, count, humbly=humbly))[0]


async def take_turns(
    db: Db, mailbox: str, owner: UUID, count: int, *, humbly: bool = False
) -> tuple[list[Claimed], bool]:
    """``claim_fairly``, and whether none is left that waits: for its partition's turn, or because ``count`` were enough."""
    return as_taken(await db.fetch(CLAIM_FAIRLY, mailbox, owner, count, humbly), owner)


def as_taken(rows: Sequence[Any], owner: UUID) -> tuple[list[Claimed], bool]:
    """What message_take returned: messages in the first columns, and in the next, of the row without an id, whether more wait."""
    (has_more,) = [row[WIDTH] for row in rows if row[0] is None]
    return _claimed([row[:WIDTH] for row in rows if row[0] is not None], owner), not has_more


async def ack_many(db: Db, owner: UUID, done: Sequence[Fence]) -> None:
    """Acknowledge a batch. A fence that is lost changes nothing."""
    await db.execute(ACK_MANY, owner, [fence.id for fence in done], [fence.attempt for fence in done])


def _claimed(rows: Sequence[Any], owner: UUID) -> list[Claimed]:
    claimed = [
        Claimed(Fence(id, owner, attempts), kind, payload, most, pos, priority, left)
        for id, kind, payload, attempts, most, pos, priority, left in rows
    ]
    claimed.sort(key=_in_order)
    return claimed


def _in_order(item: Claimed) -> tuple[int, int]:
    return -item.priority, item.pos


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
    state = case when $4::float8 > 0 then 2 when deaths >= 2 and partition = '' then 3 else 0 end, pos = nextval('message_pos'),
    attempts = case when $6 then attempts else greatest(attempts - 1, 0) end
where id = $1 and owner = $2 and attempts = $3
returning mailbox
"""


async def retry(db: Db, fence: Fence, *, after: float, error: str, blame: bool = True) -> None:
    """Put the message back for ``after`` seconds. Without ``blame`` the attempt does not count. Raises FenceLost."""
    mailbox = await db.fetchval(RETRY, fence.id, fence.owner, fence.attempt, float(after), error[:500], blame)
    if mailbox is None:
        raise FenceLost(f"message {fence.id} is not ours any more")
    _tell(db, mailbox, after)


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


CANCEL = "delete from message where mailbox = $1 and key = $2 returning id, state"


async def cancel(db: Db, mailbox: str, key: str) -> bool:
    """Take a message back. Whoever works on it loses its fence, and is stopped. False when there is none."""
    row = await db.fetchrow(CANCEL, mailbox, key)
    if row is not None and row["state"] == 1:
        db.tell(CANCELED, f"{mailbox} {row['id']}")
    return row is not None


REPORT = "update message set progress = $4 where id = $1 and owner = $2 and attempts = $3 returning mailbox"


async def report(db: Db, fence: Fence, progress: dict[str, Any]) -> None:
    """Say how far it is: kept in the row, and told to whoever listens. Raises FenceLost."""
    mailbox = await db.fetchval(REPORT, fence.id, fence.owner, fence.attempt, progress)
    if mailbox is None:
        raise FenceLost(f"message {fence.id} is not ours any more")
    db.tell(PROGRESSED, f"{mailbox} {fence.id}")


def backoff(attempt: int, *, first: float = 1.0, most: float = 300.0) -> float:
    """Seconds to wait after the n-th failure: doubling, with jitter of a quarter either way."""
    return min(first * 2.0 ** (attempt - 1), most) * random.uniform(0.75, 1.25)  # noqa: S311
