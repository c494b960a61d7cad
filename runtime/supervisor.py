"""supervise(): start in order, restart the one that crashed, back off, give up on a crash storm, drain on SIGTERM."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc

from limner.runtime.database import is_outage
from limner.runtime.log import logger
from limner.runtime.mailbox import backoff

log = logger(__name__)

ABANDONED = 70
"""Exit code when a child ignored its cancellation (EX_SOFTWARE)."""


class CrashStorm(Exception):
    """Children crash faster than restarts can help: the process ends and its own supervisor decides."""


async def contained(work: Callable[[], Awaitable[None]]) -> Exception | None:
    """Run ``work``; a crash is returned, not raised, so that it cannot take its siblings along."""
    try:
        await work()
    except Exception as crash:  # noqa: BLE001 - this is the supervisor
        return crash
    return None


@dataclass
class Child:
    """One supervised task. ``drain`` asks it to end by itself; after ``patience`` seconds it is cancelled."""

    name: str
    run: Callable[[], Awaitable[None]]
    drain: Callable[[], None] | None = None
    patience: float = 0.0
    about: Callable[[], dict[str, Any]] = dict
    state: str = "new"
    restarts: int = 0
    last_error: str = ""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope, repr=False)
    done: anyio.Event = field(default_factory=anyio.Event, repr=False)


class Supervisor:
    """one_for_one over anyio: a task group cancels all siblings on one error, so each child gets its own wrapper."""

    def __init__(self, children: Sequence[Child], *, intensity: int = 8, period: float = 30.0) -> None:
        self.children = children
        self.intensity = intensity
        self.period = period
        self.stopping = anyio.Event()
        self._crashes: deque[float] = deque()

    def stop(self) -> None:
        self.stopping.set()

    def report(self) -> list[dict[str, Any]]:
        return [
            {"name": child.name, "state": child.state, "restarts": child.restarts, "last_error": child.last_error}
            | child.about()
            for child in self.children
        ]

    async def run(self) -> None:
        """Until ``stop``. Raises CrashStorm after more than ``intensity`` crashes in ``period`` seconds."""
        async with anyio.create_task_group() as group:
            for child in self.children:
                group.start_soon(self._keep_alive, child)
            await self.stopping.wait()
            await self._drain()
            for child in reversed(self.children):
                await self._end(child)

    async def _keep_alive(self, child: Child) -> None:
        try:
            with child.scope:
                while not self.stopping.is_set():
                    child.state = "running"
                    crash = await contained(child.run)
                    if crash is None:
                        break
                    await self._crashed(child, crash)
        finally:
            child.state = "stopped"
            child.done.set()

    async def _crashed(self, child: Child, crash: Exception) -> None:
        child.restarts += 1
        child.last_error = f"{type(crash).__name__}: {crash}"
        if is_outage(crash):  # an outage is a state to wait out, not a crash that counts
            child.state = "degraded"
            log.warning("child_waits", child=child.name, error=child.last_error)
        else:
            child.state = "crashed"
            log.error("child_crashed", child=child.name, restarts=child.restarts, exc_info=crash)
            self._count()
        with anyio.move_on_after(backoff(min(child.restarts, 6), first=0.1)):
            await self.stopping.wait()

    def _count(self) -> None:
        now = time.monotonic()
        self._crashes.append(now)
        while self._crashes and self._crashes[0] < now - self.period:
            self._crashes.popleft()
        if len(self._crashes) > self.intensity:
            raise CrashStorm(f"{len(self._crashes)} crashes in {self.period:.0f} s")

    async def _drain(self) -> None:
        """Ask all that can to end by themselves, and wait for them together."""
        draining = [child for child in self.children if child.drain is not None]
        for child in draining:
            if child.drain is not None:
                child.drain()
        with anyio.move_on_after(max((child.patience for child in draining), default=0)):
            for child in draining:
                await child.done.wait()

    async def _end(self, child: Child) -> None:
        child.scope.cancel()
        with anyio.move_on_after(5) as late:
            await child.done.wait()
        if late.cancelled_caught:
            log.error("child_abandoned", child=child.name)
            os._exit(ABANDONED)


async def stop_on_signal(stop: Callable[[], None]) -> None:
    """Call ``stop`` at SIGTERM or SIGINT; a second signal ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        asked = False
        async for number in signals:
            if asked:
                os._exit(128 + number)
            asked = True
            log.info("stopping", signal=signal.Signals(number).name)
            stop()


async def stop_when_orphaned(stop: Callable[[], None]) -> None:
    """Under supervisord: call ``stop`` when it has died, so that the next start finds no leftovers."""
    parent = os.getppid()
    while os.getppid() == parent:
        await anyio.sleep(1)
    log.warning("orphaned")
    stop()


async def supervise(supervisor: Supervisor) -> None:
    """Run it until a signal, or until supervisord is gone. Raises CrashStorm."""
    storm: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(stop_on_signal, supervisor.stop)
        if "SUPERVISOR_ENABLED" in os.environ:
            group.start_soon(stop_when_orphaned, supervisor.stop)
        storm = await contained(supervisor.run)
        group.cancel_scope.cancel()
    if storm is not None:
        raise CrashStorm(str(storm)) from storm
