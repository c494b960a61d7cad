"""Waiting for an order: one wake-up from the bus when it is over, and a slow look for what the bus did not tell."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

import anyio
from aiohttp import web

from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.sql.channels import GENERATION_ANSWERED, GENERATION_CHANGED, GENERATION_ENDED

LOOK_AGAIN = 5.0
"""Seconds between looks when nothing is told: a lost notification costs no more than that."""
LOOK_AFTER_CHANGE = 2.0
"""Seconds after a change that was not the end, as far as was told: workers of an older image do not tell ends."""
GRACE = 60.0
"""Seconds beyond the deadline of its pictures after which nobody waits for an order: the janitor ends it long before."""
REMEMBERED = 4096
"""Ends that are kept, since an order may be over before its own request begins to wait."""


class Watch:
    """What one request hears of its order."""

    def __init__(self, *, is_over: bool) -> None:
        self._end, self._change = anyio.Event(), anyio.Event()
        self.told: str | None = None
        """What it came to, for answers.heard, if that was told."""
        if is_over:
            self.wake()

    def stir(self) -> None:
        self._change.set()

    def wake(self) -> None:
        self._end.set()
        self._change.set()

    async def change(self, most: float = LOOK_AGAIN) -> bool:
        """Until something has changed, or ``most`` seconds. Returns whether it was told."""
        with anyio.move_on_after(most):
            await self._change.wait()
        told = self._change.is_set()
        if told and not self._end.is_set():
            self._change = anyio.Event()
        return told

    async def end(self) -> None:
        """Until it is over, or it is time to look whether it is."""
        if await self.change():
            with anyio.move_on_after(LOOK_AFTER_CHANGE):
                await self._end.wait()

    def doubt(self) -> None:
        """It was said to be over, and is not."""
        if self._end.is_set():
            self._end, self._change = anyio.Event(), anyio.Event()


class Waiting:
    """Who waits for which order; fed by the bus."""

    def __init__(self) -> None:
        self.is_closing = anyio.Event()
        self._watches: defaultdict[UUID, set[Watch]] = defaultdict(set)
        self._ended: dict[UUID, None] = {}

    async def listen(self, bus: Bus) -> None:
        await bus.on(GENERATION_ANSWERED, self._answers)
        await bus.on(GENERATION_ENDED, self._ends)
        await bus.on(GENERATION_CHANGED, self._changes)

    async def close(self, _: web.Application) -> None:
        self.is_closing.set()
        self._ends(None)

    @contextlib.contextmanager
    def watch(self, generation_id: UUID) -> Iterator[Watch]:
        watch = Watch(is_over=generation_id in self._ended)
        self._watches[generation_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[generation_id].discard(watch)
            if not self._watches[generation_id]:
                del self._watches[generation_id]

    def _answers(self, payload: str | None) -> None:
        if payload is not None:
            generation_id, _, told = payload.partition(" ")
            for watch in self._watches.get(UUID(generation_id), ()):
                watch.told = told

    def _ends(self, payload: str | None) -> None:
        """None: anything may be over."""
        if payload is None:
            for watches in self._watches.values():
                for watch in watches:
                    watch.wake()
            return
        generation_id = UUID(payload)
        self._ended[generation_id] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        for watch in self._watches.get(generation_id, ()):
            watch.wake()

    def _changes(self, payload: str | None) -> None:
        if payload is not None:
            for watch in self._watches.get(UUID(payload.rpartition(" ")[2]), ()):
                watch.stir()


class Patience:
    """How long a request waits for an order: beyond the deadline of its pictures, or until this process has to stop.

    ``most``: seconds after which the program that asked would give up by itself, and order again.
    """

    def __init__(self, waiting: Waiting, config: Config, most: float = math.inf) -> None:
        self._closing = waiting.is_closing
        self._drain: float | None = max(config.drain - 1, 0)
        self._until = anyio.current_time() + min(config.job_deadline + GRACE, most)

    @property
    def left(self) -> float:
        """Seconds."""
        if self._closing.is_set() and self._drain is not None:
            self._until, self._drain = min(self._until, anyio.current_time() + self._drain), None
        return self._until - anyio.current_time()


WAITING = web.AppKey("api_waiting", Waiting)
