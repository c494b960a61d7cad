"""Child: one supervised task, what becomes of it at its end, and what it reports."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from limner.runtime.database import is_outage
from limner.runtime.errors import as_raised

Restart = Literal["permanent", "transient", "temporary"]
"""When it comes again after its end: always; only after a crash; never."""


@dataclass(eq=False)
class Child:
    """One supervised task.

    ``drain`` asks it to end by itself; after ``patience`` seconds it is cancelled, after ``shutdown`` more abandoned:
    then the process ends with ABANDONED. ``started``, when given, returns once the child is up: the next one waits for it.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    drain: Callable[[], None] | None = None
    patience: float = 0.0
    about: Callable[[], dict[str, Any]] = dict
    """What else there is to report of it."""
    restart: Restart = "permanent"
    shutdown: float = 5.0
    started: Callable[[], Awaitable[object]] | None = None
    drained: Callable[[], Awaitable[object]] | None = None
    """What to wait for after ``drain``, when it is not the child's end."""
    state: str = field(default="new", init=False)
    """new, starting, running; degraded (waits out an outage), crashed, waiting (for a sibling); done, stopped."""
    restarts: int = field(default=0, init=False)
    last_error: str = field(default="", init=False)
    since: float = field(default_factory=time.time, init=False)
    """When it entered its state, in seconds since the epoch, by this machine's clock."""
    life: Life | None = field(default=None, init=False, repr=False)
    streak: int = field(default=0, init=False, repr=False)
    """Crashes since it last ran well: the backoff grows with it."""

    async def until_drained(self) -> None:
        """Return when it has followed ``drain``: at its end, or when ``drained`` says so."""
        if self.drained is not None:
            await self.drained()
        elif self.life is not None:
            await self.life.done.wait()

    def report(self) -> dict[str, Any]:
        """Its name, state, restarts, last_error and since, and what ``about`` says. Fit for JSON."""
        shown = {"name": self.name, "state": self.state, "since": round(self.since, 3)}
        return shown | {"restarts": self.restarts, "last_error": self.last_error} | self.about()

    def enter(self, state: str) -> None:
        self.state, self.since = state, time.time()


@dataclass(eq=False)
class Life:
    """A child from one start to its end."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    up: anyio.Event = field(default_factory=anyio.Event)
    done: anyio.Event = field(default_factory=anyio.Event)
    began: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Launch:
    """Children on their way up; the first of them has yet to say that it is."""

    left: list[Child]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


async def live_through(child: Child, life: Life) -> None:
    """One life of a child. It is up at once, or when it has ``started``; a crash in there is the child's."""

    async def rise() -> None:
        if child.started is not None:
            await child.started()
        child.enter("running")
        life.up.set()

    if child.started is None:
        await rise()
        await child.run()
        return
    with as_raised():
        async with anyio.create_task_group() as group:
            group.start_soon(rise)
            await child.run()
            group.cancel_scope.cancel()


def is_nothing_but_outage(crash: BaseException) -> bool:
    """Whether an outage alone is behind it, also when a task group wrapped it up."""
    if isinstance(crash, BaseExceptionGroup):
        return all(is_nothing_but_outage(each) for each in crash.exceptions)
    return is_outage(crash)
