"""The poller asks Telegram for updates, alone by a lease, and writes each into the inbox before it confirms it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import anyio
import asyncpg

from limner.actors.bot.telegram import TOKEN_REFUSED, Contested, Telegram, TokenRefused, report_refusal
from limner.runtime import lease
from limner.runtime.database import TROUBLE, Database
from limner.runtime.errors import Busy, as_raised
from limner.runtime.log import logger, redact
from limner.runtime.mailbox import backoff
from limner.runtime.presence import Presence
from limner.sql import telegram as books

log = logger(__name__)

LEASE = "telegram"
LONGEST = 12.0
"""Seconds after which the lease of one that died is over; another one polls within 15."""
LOOK = 0.5
"""Seconds between two tries for the lease."""
CALM = 30.0
"""Seconds without a 409 before a conflict is over: two pollers throw each other out by turns."""
DEAF = 90.0
"""Seconds without an answer after which it says so: two and a half long polls that were lost."""


class Poller:
    """Polls while it holds the lease; otherwise waits for it. ``stop`` ends the process when the token is refused."""

    def __init__(
        self, db: Database, presence: Presence, telegram: Telegram, *,
        wake: Callable[[], None], stop: Callable[[], None], calm: float = CALM, deaf: float = DEAF,
    ) -> None:  # fmt: skip
        self.db = db
        self.presence = presence
        self.telegram = telegram
        self.wake = wake
        self.stop = stop
        self.calm = calm
        self.deaf = deaf
        self.state = "waiting"
        self.last_ok: float | None = None
        self.exit_code = 0
        self._seconds = min(presence.lease * 0.8, LONGEST)
        self._held_at = -float("inf")
        self._contested_at = -float("inf")
        self._heard_at = -float("inf")
        self._last_trouble = ""
        self._introduced = False

    def report(self) -> dict[str, Any]:
        """Its state (waiting, polling, conflict, deaf) and when getUpdates last succeeded, in seconds since the epoch."""
        if self.state == "polling" and time.monotonic() - self._heard_at > self.deaf:
            return {"name": "poller", "state": "deaf", "last_ok": self.last_ok, "last_error": self._last_trouble}
        return {"name": "poller", "state": self.state, "last_ok": self.last_ok}

    async def run(self) -> None:
        try:
            while True:
                if await self._hold():
                    await self._poll_while_it_is_ours()
                self.state = "waiting"
                await anyio.sleep(LOOK)
        finally:
            with anyio.move_on_after(2, shield=True), contextlib.suppress(*TROUBLE):
                await lease.leave(self.db, LEASE, self.presence.id)

    async def _hold(self) -> bool:
        """Take the lease or renew it. In an outage: whether the last renewal still makes it surely ours."""
        seconds, began = self._seconds, time.monotonic()
        try:
            with anyio.fail_after(seconds / 5):
                is_ours = await lease.take(self.db, LEASE, self.presence.id, seconds)
        except TROUBLE as error:
            log.warning("lease_not_renewed", error=str(error) or type(error).__name__)
            return time.monotonic() - self._held_at < seconds * 2 / 3
        self._held_at = began if is_ours else -float("inf")
        return is_ours

    async def _poll_while_it_is_ours(self) -> None:
        self.state, self._heard_at = "polling", time.monotonic()
        with as_raised():
            async with anyio.create_task_group() as group:
                group.start_soon(self._renew, group.cancel_scope)
                await self._poll()

    async def _renew(self, polling: anyio.CancelScope) -> None:
        while await self._hold():
            await anyio.sleep(self._seconds / 5)
        log.warning("lease_lost")
        polling.cancel()

    async def _poll(self) -> None:
        offset, failures = None, 0
        while True:
            try:
                offset = await self._round(offset)
                failures = 0
            except TokenRefused as why:
                await self._give_up(why)
            except (Busy, *TROUBLE) as trouble:
                failures += 1
                await self._pause(trouble, failures)

    async def _round(self, offset: int | None) -> int | None:
        """Ask once, keep what came; returns the offset to ask with next.

        An offset is sent until it was confirmed, then forgotten: after an idle week Telegram numbers from anywhere.
        """
        if not self._introduced:
            log.info("bot_polls", name=await self.telegram.introduce())
            self._introduced = True
        updates = await self.telegram.updates(offset)
        self.last_ok, self._heard_at = time.time(), time.monotonic()
        self.state = "polling" if time.monotonic() - self._contested_at >= self.calm else "conflict"
        for update in updates:
            await self._keep(update)
        if updates:
            self.wake()
        return max(update["update_id"] for update in updates) + 1 if updates else None

    async def _keep(self, update: dict[str, Any]) -> None:
        try:
            await books.keep(self.db, update["update_id"], update)
        except (ValueError, asyncpg.DataError) as error:  # a NUL or half a character, which jsonb refuses
            log.error("update_unreadable", update=update["update_id"], error=type(error).__name__)

    async def _pause(self, trouble: Exception, failures: int) -> None:
        after = trouble.after if isinstance(trouble, Busy) else None
        if isinstance(trouble, Contested):
            self.state = "conflict"
            self._contested_at = time.monotonic()
        elif time.monotonic() - self._contested_at >= self.calm:
            self.state = "polling"
        self._last_trouble = redact(str(trouble) or type(trouble).__name__)
        log.warning("bot_pauses", state=self.state, error=self._last_trouble)
        await anyio.sleep(after if after is not None else backoff(failures, most=30))

    async def _give_up(self, why: TokenRefused) -> None:
        report_refusal(why)
        self.exit_code = TOKEN_REFUSED
        self.stop()
        await anyio.sleep_forever()
