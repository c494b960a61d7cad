"""Group commit: messages that one process sends at the same time share a statement and a commit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import anyio
import asyncpg

from limner.runtime.database import Database
from limner.runtime.errors import Busy

LANES = 2
"""Statements on their way at once: one caller alone pays nothing for the others, sixteen share eight to one."""
LARGEST = 1000

SEND = """
insert into message (mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, state, ready_at, deadline)
values ($1, $2, $3, $4, $5, $6, $7, $8, case when $9::float8 > 0 then 2 else 0 end,
    now() + make_interval(secs => $9), now() + make_interval(secs => $10))
on conflict (mailbox, key) where key is not null do nothing
returning id
"""

# The ids are drawn first: "on conflict do nothing" does not say which of the rows it was about.
SEND_MANY = """
with item as materialized (
    select nextval(pg_get_serial_sequence('message', 'id')) as id, t.*
    from unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::smallint[], $7::smallint[], $8::smallint[],
        $9::float8[], $10::float8[]) with ordinality
        as t (mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, delay, deadline, place)
),
put as (
    insert into message (
        id, mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, state, ready_at, deadline
    )
    overriding system value
    select id, mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts,
        case when delay > 0 then 2 else 0 end, now() + make_interval(secs => delay), now() + make_interval(secs => deadline)
    from item order by place
    on conflict (mailbox, key) where key is not null do nothing
    returning id
)
select put.id from item left join put on put.id = item.id order by item.place
"""

Row = tuple[Any, ...]
"""The arguments of SEND."""


@dataclass
class _Letter:
    row: Row
    wake: anyio.Event = field(default_factory=anyio.Event)
    id: int | None = None
    error: Exception | None = None
    taken: bool = False
    sent: bool = False


class Post:
    """Who finds a lane free takes everything that waits along; the others wait for their own commit."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._waiting: deque[_Letter] = deque()
        self._lanes = 0

    async def send(self, row: Row) -> int | None:
        """Durable when it returns the id, or None when the key was taken. One bad row fails alone."""
        letter = _Letter(row)
        self._waiting.append(letter)
        while not letter.sent:
            if not letter.taken and self._lanes < LANES:
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
        self._lanes += 1
        try:
            with anyio.CancelScope(shield=True):  # others' messages are on the way: this is bounded by the time-outs
                await self._carry(self._take())
        finally:
            self._lanes -= 1
            self._hand_over()

    def _take(self) -> list[_Letter]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), LARGEST))]
        for letter in batch:
            letter.taken = True
        return batch

    def _hand_over(self) -> None:
        """Whoever waits longest leads next."""
        if self._waiting and self._lanes < LANES:
            self._waiting[0].wake.set()

    async def _carry(self, batch: list[_Letter]) -> None:
        try:
            if len(batch) == 1:
                batch[0].id = await self.db.fetchval(SEND, *batch[0].row)
            else:
                ids = await self.db.fetch(
                    SEND_MANY, *(list(column) for column in zip(*(each.row for each in batch), strict=True))
                )
                for letter, found in zip(batch, ids, strict=True):
                    letter.id = found["id"]
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
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
                letter.wake.set()
