"""Messages that come round: each tick is sent once, whoever leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from limner.runtime import lease, mailbox
from limner.runtime.database import TROUBLE, Database
from limner.runtime.log import logger
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence

log = logger(__name__)


@dataclass(frozen=True)
class Every:
    """Send ``message`` every ``seconds``. Missed ticks are made up for by one."""

    name: str
    seconds: float
    message: Message


# The conditional update decides, not the leadership: a second leader by mistake finds the tick taken.
TICK = """
insert into schedule (name, last_at) values ($1, now())
on conflict (name) do update set last_at = now()
where schedule.last_at <= now() - make_interval(secs => $2)
returning true
"""


class Schedule:
    """Sends what is due while it holds the lease of that name."""

    def __init__(self, db: Database, presence: Presence, entries: Sequence[Every]) -> None:
        self.db = db
        self.presence = presence
        self.entries = entries

    async def run(self) -> None:
        pause = min(entry.seconds for entry in self.entries)
        try:
            while True:
                try:
                    if await lease.take(self.db, "schedule", self.presence.id, max(self.presence.lease, pause * 2)):
                        await self.send_due()
                except TROUBLE as error:
                    log.warning("schedule_waits", error=str(error) or type(error).__name__)
                await anyio.sleep(pause)
        finally:
            with anyio.move_on_after(2, shield=True):
                await lease.leave(self.db, "schedule", self.presence.id)

    async def send_due(self) -> int:
        """Send each entry whose time has come; returns how many were sent."""
        sent = 0
        for entry in self.entries:
            async with self.db.transaction() as tx:
                if await tx.fetchval(TICK, entry.name, entry.seconds * 0.9):
                    await mailbox.send(tx, entry.message, key=f"schedule {entry.name}")
                    sent += 1
        return sent
