"""The stop-watch ends what is being painted from outside: at its deadline, or when its owner asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import anyio

from limner.actors.providers.base import Fault
from limner.runtime.database import OUTAGE, Database
from limner.runtime.supervisor import contained
from limner.sql import jobs
from limner.sql.jobs import Job

BREATH = 2.0
"""Seconds between two looks whether the owner of a running job asked to stop."""


class Stop:
    """What ended one job from outside. An empty reason: nothing did."""

    reason = ""
    state = "failed"
    fault = Fault.TIMEOUT_UNKNOWN

    def __init__(self, deadline: float) -> None:
        self.scope = anyio.CancelScope(deadline=deadline)

    def cancel(self) -> None:
        """Its owner asked."""
        self.reason, self.state, self.fault = "canceled while it was painted", "canceled", Fault.CANCELLED
        self.scope.cancel()


class Stopwatch:
    """One for all that this worker paints: a task for each would cost a tenth of a millisecond."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._running: dict[UUID, Stop] = {}
        self._more = anyio.Event()

    async def run(self) -> None:
        """Ask for all of them, breath after breath."""
        while True:
            await self._more.wait()
            await anyio.sleep(BREATH)
            for job_id in await self._asked():
                if job_id in self._running:
                    self._running[job_id].cancel()
            if not self._running:
                self._more = anyio.Event()

    async def _asked(self) -> set[UUID]:
        try:
            return await jobs.asked_to_stop(self.db, list(self._running))
        except OUTAGE:
            return set()  # the next breath asks again

    async def over(self, job: Job, work: Callable[[], Awaitable[None]]) -> tuple[Stop, Exception | None]:
        """Until it is done or stopped: what stopped it, and what went wrong."""
        stop, trouble, is_done = Stop(anyio.current_time() + job.left), None, False
        self._running[job.id] = stop
        self._more.set()
        try:
            with stop.scope:
                trouble = await contained(work)
                is_done = trouble is None
        finally:
            if self._running.get(job.id) is stop:  # it may have come back meanwhile
                del self._running[job.id]
        if is_done:
            stop.reason = ""  # the wish came too late
        elif stop.scope.cancel_called and not stop.reason:
            stop.reason = "it took too long"
        return stop, trouble
