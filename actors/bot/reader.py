"""The reader works through the inbox: in order, each update with effect once, and none that holds up the rest."""

from __future__ import annotations

from collections import Counter

import anyio
from aiogram.types import Update
from anyio.abc import TaskGroup

from limner.actors.bot import conversation
from limner.actors.bot.sending import Answer
from limner.actors.bot.speaker import Speaker
from limner.actors.bot.telegram import Telegram
from limner.runtime.config import Config
from limner.runtime.database import Database, Transaction, is_outage
from limner.runtime.errors import as_raised
from limner.runtime.log import following, logger, redact
from limner.runtime.supervisor import contained
from limner.sql import telegram as books
from limner.sql.telegram import Kept

log = logger(__name__)

TICK = 2.0
"""Seconds between looks that nobody asked for: the other replica may have polled."""
TRIES = 3
PATIENCE = 9.0
"""Seconds that one update may take: less than a statement, and less than its transaction, which has to put it aside then."""


def request_of(kept: Kept) -> str:
    """What the log calls the request that an update is, in every try: telegram-12345."""
    return f"telegram-{kept.update_id}"


class Reader:
    """What an update causes is committed together with its mark as handled; the answer is sent after that."""

    def __init__(self, db: Database, telegram: Telegram, config: Config) -> None:
        self.db = db
        self.speaker = Speaker(telegram)
        self.config = config
        self.draining = anyio.Event()
        self.patience = PATIENCE
        self._woken = anyio.Event()
        self._crashes: Counter[int] = Counter()

    def wake(self) -> None:
        self._woken.set()

    def drain(self) -> None:
        """Finish the update in hand and leave the others to the successor."""
        self.draining.set()
        self.wake()

    async def run(self) -> None:
        with as_raised():
            async with anyio.create_task_group() as group:
                while not self.draining.is_set():
                    self._woken = anyio.Event()
                    await self._read_all(group)
                    with anyio.move_on_after(TICK):
                        await self._woken.wait()

    async def read_all(self) -> None:
        """Handle what waits, until every answer is gone. An update that crashed is tried again at the next wake, twice."""
        with as_raised():
            async with anyio.create_task_group() as group:
                await self._read_all(group)

    async def _read_all(self, group: TaskGroup) -> None:
        skip: list[int] = []
        while not self.draining.is_set() and await self._read_one(skip, group):
            pass
        if skip:
            self.wake()

    async def _read_one(self, skip: list[int], group: TaskGroup) -> bool:
        answers: list[Answer] = []
        async with self.db.transaction() as tx:
            kept = await books.next_update(tx, skip)
            if kept is None:
                return False
            with following(request_of(kept)):
                crash = await contained(lambda: self._handle(tx, kept, answers))
                if crash is None or self._is_poison(kept, crash):
                    await books.handled(tx, kept.update_id)
                else:
                    skip.append(kept.update_id)
        if crash is None:
            await self.speaker.say(group, answers, request_of(kept))
        return True

    async def _handle(self, tx: Transaction, kept: Kept, answers: list[Answer]) -> None:
        async with tx.transaction():  # a savepoint: a crash takes back its own half work and nothing else
            with anyio.fail_after(self.patience):
                update = Update.model_validate(kept.payload)
                answers += await conversation.answer(tx, update, self.config)

    def _is_poison(self, kept: Kept, crash: Exception) -> bool:
        """An update that takes too long crashes each time: it counts, though a time-out looks like an outage elsewhere."""
        if is_outage(crash) and not isinstance(crash, TimeoutError):
            raise crash
        self._crashes[kept.update_id] += 1
        tries = self._crashes[kept.update_id]
        log.error("update_crashed", update=kept.update_id, tries=tries, error=redact(repr(crash))[:300])
        if tries < TRIES:
            return False
        del self._crashes[kept.update_id]
        log.error("update_poisoned", update=kept.update_id)
        return True
