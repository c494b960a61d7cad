"""Group commit: messages that one process sends at the same time share a statement and a commit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import asyncpg

from limner.runtime.database import Database
from limner.runtime.errors import Busy

LARGEST = 1000
"""Messages in one statement."""

SENT = "message_sent"
"""Wakes mailboxes. Payload: "<mailbox>", or "<mailbox> <seconds>" when something will come due that soon."""

SEND = """
insert into message (mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, state, ready_at, deadline)
values ($1, $2, $3, $4, $5, $6, $7, $8, case when $9::float8 > 0 then 2 else 0 end,
    now() + make_interval(secs => $9), now() + make_interval(secs => $10))
on conflict (mailbox, key) where key is not null do nothing
returning id
"""

# Alone, a message brings its wake-up along: V0007 has the procedure. It commits, so it must not stand in a transaction.
SEND_ONE = "call message_send(null, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"

# One jsonb costs both sides less than ten arrays.
_ITEM = """
jsonb_to_recordset($1) as t (
    mailbox text, kind text, payload jsonb, key text, partition text, partition_limit smallint, priority smallint,
    max_attempts smallint, delay double precision, deadline double precision
)
"""
_VALUES = """
mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts,
    case when delay > 0 then 2 else 0 end, now() + make_interval(secs => delay), now() + make_interval(secs => deadline)
"""
SEND_MANY = f"""
insert into message (mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, state, ready_at, deadline)
select {_VALUES} from {_ITEM} returning id
"""  # noqa: S608 - all of it stands above
# The ids are drawn first: "on conflict do nothing" does not say which of the rows it was about.
SEND_MANY_KEYED = f"""
with item as materialized (
    select nextval(pg_get_serial_sequence('message', 'id')) as id, t.* from {_ITEM}
),
put as (
    insert into message (
        id, mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, state, ready_at, deadline
    )
    overriding system value
    select id, {_VALUES} from item order by id
    on conflict (mailbox, key) where key is not null do nothing
    returning id
)
select put.id from item left join put on put.id = item.id order by item.id
"""  # noqa: S608
_NAMES = (
    "mailbox", "kind", "payload", "key", "partition", "partition_limit", "priority", "max_attempts", "delay", "deadline",
)  # fmt: skip
_KEY = _NAMES.index("key")

Row = tuple[Any, ...]
"""The arguments of SEND."""


@dataclass(slots=True, eq=False)
class _Letter:
    row: Row
    told: str | None
    wake: anyio.Event | None = None
    id: int | None = None
    error: Exception | None = None
    taken: bool = False
    sent: bool = False


class Post:
    """Who finds nothing on its way takes everything that waits along; the others wait for their own commit.

    A second statement beside the first would make both batches smaller: measured, one carries more.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._waiting: deque[_Letter] = deque()
        self._is_on_its_way = False
        self._is_crowded = False

    async def send(self, row: Row, told: str | None) -> int | None:
        """Durable when it returns the id, or None when the key was taken; then ``told`` goes out on SENT.

        One bad row fails alone.
        """
        letter = _Letter(row, told)
        self._waiting.append(letter)
        while not letter.sent:
            if not letter.taken and not self._is_on_its_way:
                await self._lead()
            else:
                await self._wait(letter)
        if letter.error is not None:
            raise letter.error
        return letter.id

    async def _wait(self, letter: _Letter) -> None:
        letter.wake = anyio.Event()
        try:
            await letter.wake.wait()
        except BaseException:
            if not letter.taken:  # not on its way yet: it never will be
                self._waiting.remove(letter)
                self._hand_over()
            raise

    async def _lead(self) -> None:
        self._is_on_its_way = True
        try:
            with anyio.CancelScope(shield=True):  # others' messages are on the way: this is bounded by the time-outs
                if self._is_crowded:  # those whose messages were carried just now have more to send, it may be
                    await anyio.lowlevel.checkpoint()
                await self._carry(self._take())
        finally:
            self._is_on_its_way = False
            self._hand_over()

    def _take(self) -> list[_Letter]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), LARGEST))]
        self._is_crowded = len(batch) > 1
        for letter in batch:
            letter.taken = True
        return batch

    def _hand_over(self) -> None:
        """Whoever waits longest leads next."""
        if self._waiting and not self._is_on_its_way:
            _wake(self._waiting[0])

    async def _carry(self, batch: list[_Letter]) -> None:
        try:
            if len(batch) == 1:
                await self._send_one(batch[0])
            else:
                await self._send_many(batch)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError) as error:
            if len(batch) == 1:
                batch[0].error = error
            else:
                for letter in batch:
                    await self._carry([letter])
        except BaseException as error:  # an end from outside too: without an error, None would say "the key was taken"
            for letter in batch:
                letter.error = error if isinstance(error, Exception) else Busy("nobody knows whether it was sent")
            raise
        finally:
            for letter in batch:
                letter.sent = True
                _wake(letter)

    async def _send_one(self, letter: _Letter) -> None:
        told = letter.told if letter.told is not None and self.db.may_carry(SENT, letter.told) else None
        letter.id = await self.db.fetchval(SEND_ONE, *letter.row, SENT, told)
        if told is None and letter.told is not None and letter.id is not None:
            self.db.tell(SENT, letter.told)

    async def _send_many(self, batch: list[_Letter]) -> None:
        is_keyed = any(letter.row[_KEY] is not None for letter in batch)
        items = [dict(zip(_NAMES, letter.row, strict=True)) for letter in batch]
        ids = await self.db.fetch(SEND_MANY_KEYED if is_keyed else SEND_MANY, items)
        for letter, found in zip(batch, ids, strict=True):
            letter.id = found["id"]
            if letter.told is not None and letter.id is not None:
                self.db.tell(SENT, letter.told)


def _wake(letter: _Letter) -> None:
    if letter.wake is not None:
        letter.wake.set()
