"""One look for all mailboxes of a process: what came due, what is overdue, what waits though no notification came."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Protocol

import anyio

from limner.runtime import upkeep
from limner.runtime.database import TROUBLE, Database
from limner.runtime.log import logger
from limner.runtime.upkeep import Look

log = logger(__name__)

BUSY = 1.0
"""Seconds between looks while anybody has something in hand."""


class Watcher(Protocol):
    """Who wants to know what is in its mailbox."""

    @property
    def mailbox(self) -> str: ...
    @property
    def pause(self) -> float:
        """Seconds between looks when nobody of this process has anything to do: the net under every lost notification."""

    @property
    def is_busy(self) -> bool: ...
    def found(self, look: Look) -> None: ...
    def told(self) -> bool:
        """Something was committed to its mailbox. Returns whether it takes it at once."""


class Lookout:
    """Looks for every watcher in one statement; earlier when something is expected."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._watchers: set[Watcher] = set()
        self._due = math.inf
        self._sooner = anyio.Event()
        self._turn = anyio.Lock()

    @contextlib.contextmanager
    def watching(self, watcher: Watcher) -> Iterator[None]:
        self._watchers.add(watcher)
        self.expect(0)
        try:
            yield
        finally:
            self._watchers.discard(watcher)

    def tell(self, mailbox: str) -> bool:
        """Something was committed to this mailbox. Returns whether somebody of this process takes it at once."""
        return any(each.told() for each in self._watchers if each.mailbox == mailbox)

    def expect(self, seconds: float) -> None:
        """Something comes due then: look at that moment, not only at the next pause."""
        due = time.monotonic() + seconds
        if due < self._due:
            self._due = due
            self._sooner.set()

    async def run(self) -> None:
        """Every watcher runs it: one looks for all, and when it ends the next takes over."""
        async with self._turn:
            while True:
                self._sooner = anyio.Event()
                with anyio.move_on_after(max(self._due - time.monotonic(), 0)):
                    await self._sooner.wait()
                if time.monotonic() >= self._due:
                    await self._look()

    async def _look(self) -> None:
        """What is expected while the look is on its way counts for the next."""
        watchers = list(self._watchers)
        self._due = math.inf
        try:
            looks = await upkeep.look(self.db, sorted({each.mailbox for each in watchers}))
        except TROUBLE as error:
            log.warning("mailboxes_out_of_reach", error=str(error) or type(error).__name__)
            self.expect(BUSY)
            return
        for watcher in watchers:
            watcher.found(looks[watcher.mailbox])
        for look in looks.values():
            if look.next_in is not None:
                self.expect(max(look.next_in, 0.0) + 0.005)
        self.expect(min(BUSY if each.is_busy else each.pause for each in watchers))
