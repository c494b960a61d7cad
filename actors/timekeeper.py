"""The Timekeeper ends what has had its time: jobs that are overdue, or that nobody works on any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from limner.actors import resumption
from limner.actors.pool import Pool
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import errands, lost_jobs
from limner.sql.errands import Errand

log = logger(__name__)

BATCH = 100
"""Jobs that are looked for at a time."""
PATIENCE = 10.0
"""Seconds that a call over there may take."""


@dataclass(frozen=True)
class EndOverdueJobs(Message):
    """Fail and release the jobs that are overdue, or that nobody works on any more."""

    mailbox = "timekeeping"


class Timekeeper(Actor):
    """Has a mailbox of its own: no other chore may keep a job beyond its deadline."""

    mailbox = "timekeeping"
    messages = (EndOverdueJobs,)
    fetches_ahead = False

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, pool: Pool) -> None:
        super().__init__(db, bus, presence)
        self.pool = pool

    async def receive(self, message: EndOverdueJobs) -> None:
        await end_lost_jobs(self.db, self.pool)


async def end_lost_jobs(db: Database, pool: Pool) -> None:
    """All of them; then whoever still works for them over there is told."""
    ended = await lost_jobs.end(db, BATCH)
    found = len(ended)
    while found == BATCH:
        more = await lost_jobs.end(db, BATCH)
        found = len(more)
        ended += more
    if ended:
        log.warning("lost_jobs_ended", count=len(ended))
        await _call_off(pool, await errands.ended(db, ended))


async def _call_off(pool: Pool, left: Sequence[Errand]) -> None:
    async with anyio.create_task_group() as group:
        for errand in left:
            group.start_soon(resumption.cancel, errand, lambda lease: pool.access(lease, PATIENCE), "lost")
