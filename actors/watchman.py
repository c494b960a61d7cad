"""The Watchman sees troubles before users do: alerts, and the news that they are over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import anyio

from limner.actors.watch import morning, sight, telling, troubles
from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import TROUBLE, Database
from limner.runtime.errors import as_raised
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import alert_rules, alerts, worries
from limner.sql.channels import KEY_CHANGED

LONGEST = 60.0
"""Seconds for one look: every reader is given up after some, and the others still have theirs."""
SOON = 3.0
"""Seconds from a key's change to a look around: a storm of them is one look."""


@dataclass(frozen=True)
class LookAround(Message):
    """See what is wrong, tell what is new."""

    mailbox: ClassVar[str] = "watching"


class Watchman(Actor):
    """Looks around whenever the schedule says so."""

    mailbox = "watching"
    messages = (LookAround,)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Look around as well when a key has changed, at most every few seconds."""
        await self.bus.on(KEY_CHANGED, self._key_changed)
        try:
            with as_raised():
                async with anyio.create_task_group() as group:
                    group.start_soon(self._look_soon)
                    await super().run()
                    group.cancel_scope.cancel()
        finally:
            self.bus.off(KEY_CHANGED, self._key_changed)

    def _key_changed(self, payload: str | None) -> None:
        if payload is not None:
            self._changed.set()

    async def _look_soon(self) -> None:
        while True:
            await self._changed.wait()
            await anyio.sleep(SOON)
            self._changed = anyio.Event()
            try:
                await mailbox.send(self.db, LookAround(), key="soon")
            except TROUBLE:
                continue  # the schedule looks anyway

    async def receive(self, message: LookAround) -> None:
        await look(self.db, self.config)


async def look(db: Database, config: Config) -> None:
    """Compare what is wrong with the open alerts: begin, end, and queue what admins should be told of by now.

    Any number of processes may do it: one at a time does, the others find nothing new. It is one transaction with the notices
    in it, so whatever is killed on the way, nothing is told twice and nothing is lost.
    """
    async with db.transaction(limit=LONGEST) as tx:
        if not await alerts.is_alone(tx):
            return
        rules = await alert_rules.listing(tx)
        known = {alert.cause for alert in await alerts.still_open(tx)}
        seen = await sight.read(tx, config, rules, known)
        await alerts.see(tx, seen.troubles, seen.unread)
        put_aside = {troubles.of_key(key) for key in await worries.lost_keys(tx) if key.by_hand}
        await telling.tell_what_is_due(tx, config, put_aside)
        await telling.mail_what_telegram_does_not_take(tx, config)
        await morning.say_good_morning(tx, config)
