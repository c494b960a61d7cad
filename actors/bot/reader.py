"""The reader works through the inbox: in order, each update with effect once, and none that holds up the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import anyio
from aiogram.methods import TelegramMethod
from aiogram.types import Update

from limner.actors.bot import conversation
from limner.actors.bot.conversation import Answer
from limner.actors.bot.telegram import Telegram
from limner.runtime.config import Config
from limner.runtime.database import Database, Transaction, is_outage
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.log import following, logger, redact
from limner.runtime.mailbox import backoff
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
        self.telegram = telegram
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
        while not self.draining.is_set():
            self._woken = anyio.Event()
            await self.read_all()
            with anyio.move_on_after(TICK):
                await self._woken.wait()

    async def read_all(self) -> None:
        """Handle what waits. An update whose handling crashed is tried again at the next wake, twice."""
        skip: list[int] = []
        while not self.draining.is_set() and await self._read_one(skip):
            pass
        if skip:
            self.wake()

    async def _read_one(self, skip: list[int]) -> bool:
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
            with following(request_of(kept)):
                await self._say(answers)
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

    async def _say(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            await self._say_one(answer.method, answer.tries)

    async def _say_one(self, method: TelegramMethod[Any], tries: int) -> None:
        name = type(method).__name__
        for attempt in range(1, tries + 1):
            try:
                await self.telegram.send(method)
                return
            except Hopeless as why:
                if "not modified" not in str(why):
                    log.warning("answer_refused", method=name, why=str(why))
                return
            except Busy as later:
                log.warning("answer_waits" if attempt < tries else "answer_lost", method=name, error=str(later))
                if attempt < tries:
                    await anyio.sleep(min(later.after if later.after is not None else backoff(attempt), 60))
