"""supervise(): start in order, restart what crashed by a strategy, back off, give up on a crash storm, stop in reverse."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import anyio
import anyio.abc

from limner.runtime.child import Child, Launch, Life, Restart, is_nothing_but_outage, live_through
from limner.runtime.errors import as_raised
from limner.runtime.log import logger, redact
from limner.runtime.mailbox import backoff
from limner.runtime.signals import stop_on_signal, stop_when_orphaned

__all__ = ["ABANDONED", "Child", "CrashStorm", "Supervisor", "contained", "supervise"]

log = logger(__name__)

ABANDONED = 70
"""Exit code when a child ignored its cancellation (EX_SOFTWARE)."""

Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]
"""Who is started again with one that crashed: nobody else; those that were started after it; all."""


class CrashStorm(Exception):
    """Children crash faster than restarts can help: whoever supervises the supervisor decides."""


async def contained(work: Callable[[], Awaitable[None]]) -> Exception | None:
    """Run ``work``; a crash is returned, not raised, so that it cannot take its siblings along."""
    try:
        await work()
    except Exception as crash:  # noqa: BLE001 - this is the supervisor
        return crash
    return None


class Supervisor:
    """OTP's supervisor over anyio. A task group cancels all siblings on one error, so each child gets its own wrapper.

    More than ``intensity`` crashes in ``period`` seconds are a CrashStorm. An outage of the database never counts.
    """

    def __init__(
        self, children: Sequence[Child], *, strategy: Strategy = "one_for_one", intensity: int = 8, period: float = 30.0
    ) -> None:
        self.children = children
        self.strategy = strategy
        self.intensity = intensity
        self.period = period
        self.stopping = anyio.Event()
        self._is_draining = False
        self._news = anyio.Event()
        self._fallen: deque[tuple[Child, Exception | None]] = deque()
        self._crashes: deque[float] = deque()
        self._launches: set[Launch] = set()
        self._abandoned = False
        self._patience = anyio.CancelScope()
        self._storm: CrashStorm | None = None

    def stop(self) -> None:
        """Have ``run`` drain, stop all children and return."""
        self.stopping.set()
        self._news.set()

    def drain(self) -> None:
        """Ask all that can to end by themselves. From now on nobody is started again."""
        self._is_draining = True
        for child in self.children:
            if child.drain is not None:
                child.drain()

    async def drained(self) -> None:
        """Return when all that were asked to end have ended, or their patience has."""
        draining = [child for child in self.children if child.drain is not None]
        with anyio.move_on_after(max((child.patience for child in draining), default=0)):
            for child in draining:
                await child.until_drained()

    def report(self) -> list[dict[str, Any]]:
        """Every child's report, in the order of their start."""
        return [child.report() for child in self.children]

    def as_child(self, name: str, *, restart: Restart = "permanent") -> Child:
        """This one under another supervisor: its CrashStorm is one crash there, its children are part of the report."""
        return Child(
            name, self.run, drain=self.drain, patience=math.inf, about=lambda: {"children": self.report()},
            restart=restart, shutdown=math.inf, drained=self.drained,
        )  # fmt: skip

    async def run(self) -> None:
        """Until ``stop``. Cancelled, it stops its children in reverse order all the same. Raises CrashStorm."""
        self._forget()
        over = anyio.Event()
        with as_raised():
            async with anyio.create_task_group() as group:
                group.start_soon(self._govern, over)
                try:
                    await over.wait()
                finally:
                    self._patience.cancel()
        if self._storm is not None:
            raise self._storm

    async def _govern(self, over: anyio.Event) -> None:
        with anyio.CancelScope(shield=True):  # a cancellation would reach all children at once, in no order
            async with anyio.create_task_group() as group:
                with self._patience:
                    self._launch(group, list(self.children), 0)
                    self._storm = await self._watch(group)
                    self._land()
                    if self.stopping.is_set():  # after a storm it may be started again, and a drained child would not
                        self.drain()
                        await self.drained()
                await self._stop()
                group.cancel_scope.cancel()
        over.set()

    def _forget(self) -> None:
        """A supervisor that is started again begins anew; its children keep their count of restarts."""
        self._fallen.clear()
        self._crashes.clear()
        self._patience = anyio.CancelScope()
        self._storm = None
        for child in self.children:
            child.enter("new")

    # Starting, and living.

    def _launch(self, group: anyio.abc.TaskGroup, children: list[Child], pause: float) -> None:
        launch = Launch(children)
        self._launches.add(launch)
        group.start_soon(self._climb, group, launch, pause)

    async def _climb(self, group: anyio.abc.TaskGroup, launch: Launch, pause: float) -> None:
        with launch.scope:
            await anyio.sleep(pause)
            while launch.left:
                child = launch.left[0]
                child.life = life = Life()
                child.enter("running" if child.started is None else "starting")
                group.start_soon(self._live, child, life)
                await life.up.wait()
                del launch.left[0]
        self._launches.discard(launch)

    async def _live(self, child: Child, life: Life) -> None:
        crash: Exception | None = None
        try:
            with life.scope:
                crash = await contained(lambda: live_through(child, life))
        finally:
            life.done.set()
        if crash is not None:
            child.last_error = redact(f"{type(crash).__name__}: {crash}")[:300]  # it is shown on pages, too
        if not life.scope.cancel_called:
            self._fallen.append((child, crash))
            self._news.set()
        elif crash is not None:
            log.warning("child_stopped_badly", child=child.name, error=child.last_error)

    # Judging: one task sees every fall, one after another.

    async def _watch(self, group: anyio.abc.TaskGroup) -> CrashStorm | None:
        while not self.stopping.is_set() and not self._abandoned:
            await self._news.wait()
            self._news = anyio.Event()
            while self._fallen and not self.stopping.is_set() and not self._abandoned:
                child, crash = self._fallen.popleft()
                if not self._comes_again(child, crash):
                    self._let_be(group, child, crash)
                elif self._is_storm(child, crash):
                    return CrashStorm(f"{len(self._crashes)} crashes in {self.period:.0f} s, {child.name} the last")
                else:
                    await self._start_again(group, child)
        return None

    def _let_be(self, group: anyio.abc.TaskGroup, child: Child, crash: Exception | None) -> None:
        """It does not come again; who waited for it to be up goes on without it."""
        child.enter("done" if crash is None else "crashed")
        if crash is not None:
            log.error("child_crashed", child=child.name, error=child.last_error, exc_info=crash)
        if left := self._taken_over(child):
            self._launch(group, left, 0)

    def _comes_again(self, child: Child, crash: Exception | None) -> bool:
        if crash is None and child.restart == "permanent" and not self._is_draining:
            child.last_error = "it ended by itself"
            return True
        return crash is not None and child.restart != "temporary" and not self._is_draining

    def _is_storm(self, child: Child, crash: Exception | None) -> bool:
        """Count the fall. An outage is a state to wait out, not a crash that counts."""
        now = time.monotonic()
        has_been_well = child.life is not None and now - child.life.began > self.period
        child.streak = 1 if has_been_well else child.streak + 1
        child.restarts += 1
        if crash is not None and is_nothing_but_outage(crash):
            log.warning("child_waits", child=child.name, error=child.last_error)
            child.enter("degraded")
            return False
        child.enter("crashed")
        log.error("child_crashed", child=child.name, restarts=child.restarts, error=child.last_error, exc_info=crash)
        self._crashes.append(now)
        while self._crashes[0] < now - self.period:
            self._crashes.popleft()
        return len(self._crashes) > self.intensity

    async def _start_again(self, group: anyio.abc.TaskGroup, fallen: Child) -> None:
        cohort = self._cohort(fallen)
        for sibling in reversed(cohort):
            is_over = sibling.restart == "temporary" and sibling.state in ("done", "crashed")
            if sibling is not fallen and sibling.life is not None and not is_over:
                await self._end(sibling, "stopped" if sibling.restart == "temporary" else "waiting")
        again = [child for child in cohort if child is fallen or child.restart != "temporary" or child.state == "new"]
        self._launch(group, again, backoff(min(fallen.streak, 6), first=0.1))

    def _cohort(self, fallen: Child) -> list[Child]:
        """Who is started again with it, in order."""
        if self.strategy == "one_for_one":
            return [fallen, *self._taken_over(fallen)]
        self._land()
        first = 0 if self.strategy == "one_for_all" else self.children.index(fallen)
        return list(self.children[first:])

    def _taken_over(self, fallen: Child) -> list[Child]:
        """Those that waited for this one to be up."""
        for launch in self._launches:
            if launch.left[:1] == [fallen]:
                launch.scope.cancel()
                return launch.left[1:]
        return []

    # Stopping.

    def _land(self) -> None:
        """Stop what is on its way up: who is up stays so, who is not does not start."""
        for launch in self._launches:
            launch.scope.cancel()

    async def _stop(self) -> None:
        self._land()
        for child in reversed(self.children):
            await self._end(child, "stopped")
        if self._abandoned:
            os._exit(ABANDONED)

    async def _end(self, child: Child, state: str) -> None:
        life, child.life = child.life, None
        if life is not None:
            life.scope.cancel()
            with anyio.move_on_after(child.shutdown) as late:
                await life.done.wait()
            if late.cancelled_caught:
                log.error("child_abandoned", child=child.name, after=child.shutdown)
                self._abandoned = True
        for crash in (crash for fallen, crash in self._fallen if fallen is child and crash is not None):
            log.error("child_crashed", child=child.name, error=child.last_error, exc_info=crash)
        self._fallen = deque(fall for fall in self._fallen if fall[0] is not child)
        child.enter(state)


async def supervise(supervisor: Supervisor, ready: Callable[[], object] = lambda: None) -> None:
    """Run it until a signal, or until supervisord is gone. Raises CrashStorm.

    ``ready`` is called when a signal is heard: who reads that a process is ready may stop it.
    """
    async with anyio.create_task_group() as group:
        await group.start(stop_on_signal, supervisor.stop)
        ready()
        if "SUPERVISOR_ENABLED" in os.environ:
            group.start_soon(stop_when_orphaned, supervisor.stop)
        storm = await contained(supervisor.run)
        group.cancel_scope.cancel()
    if storm is not None:
        raise storm
