"""The Steward looks after the ends of periods: it warns, asks for the next cycle, changes plans, and closes what is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import billing, renewals

MOST = 500
"""Of each kind in one round; the next one goes on."""


@dataclass(frozen=True)
class CloseEndedPeriods(Message):
    """Close what has ended, and do what is due before an end."""

    mailbox = "stewardship"


class Steward(Actor):
    """Access ends by the clock, whether or not this runs. Each thing is done in a transaction of its own, and only once."""

    mailbox = "stewardship"
    messages = (CloseEndedPeriods,)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config) -> None:
        super().__init__(db, bus, presence)
        self.ways = billing.processors(config)

    async def receive(self, message: CloseEndedPeriods) -> None:
        await self._all(renewals.turn)
        await self._all(renewals.end)
        await self._all(lambda db: renewals.invoice_next(db, self.ways))
        await self._all(renewals.remind)

    async def _all(self, one: Callable[[Database], Awaitable[bool]]) -> None:
        for _ in range(MOST):
            if not await one(self.db):
                break
