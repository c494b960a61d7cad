"""Slots: so many messages at a time, each in a long-lived task that takes the next one without a new one being made."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.abc

from limner.runtime.mailbox import Claimed
from limner.runtime.presence import Presence


class Slots:
    """Works through what it is given. ``handle`` sees one message to its end and never raises but for cancellation."""

    def __init__(
        self,
        most: int,
        presence: Presence,
        handle: Callable[[Claimed], Awaitable[None]],
        *,
        freed: Callable[[], None],
        stopped: Callable[[Claimed], None],
    ) -> None:
        """``freed`` is called when one is done and nothing waits here, ``stopped`` with one that was let go of half-way."""
        self.most = most
        self.in_hand: dict[int, anyio.CancelScope | None] = {}
        """What is owned: the scope of what runs, None for what waits for a slot."""
        self.pace = 0.05
        """Seconds that a message takes, a moving average."""
        self._presence = presence
        self._handle = handle
        self._freed = freed
        self._stopped = stopped
        self._waiting: deque[Claimed] = deque()
        self._more = anyio.Event()
        self._open = 0
        self._idle = 0

    def put(self, items: Sequence[Claimed], group: anyio.abc.TaskGroup) -> None:
        """Take these in hand; open as many slots as there is work for."""
        for item in items:
            self.in_hand[item.fence.id] = None
        self._waiting.extend(items)
        self._more.set()
        for _ in range(min(self.most - self._open, len(self._waiting) - self._idle)):
            self._open += 1
            group.start_soon(self._work)

    def put_back(self) -> None:
        """Let go of what waits for a slot; what runs goes on."""
        for item in self._waiting:
            self.in_hand.pop(item.fence.id, None)
        self._waiting.clear()

    def stop(self, message_id: int) -> None:
        """Stop whoever works on this message, if somebody does."""
        scope = self.in_hand.pop(message_id, None)
        if scope is not None:
            scope.cancel()

    async def _work(self) -> None:
        try:
            while True:
                await self._wait_for_more()
                # One scope for many messages: a new one only after somebody was stopped.
                with self._presence.guard() as scope:
                    while self._waiting:
                        await self._take_one(scope)
        finally:
            self._open -= 1

    async def _wait_for_more(self) -> None:
        while not self._waiting:
            if self._more.is_set():
                self._more = anyio.Event()
            self._idle += 1
            try:
                await self._more.wait()
            finally:
                self._idle -= 1

    async def _take_one(self, scope: anyio.CancelScope) -> None:
        item = self._waiting.popleft()
        if item.fence.id not in self.in_hand:
            return  # taken back while it waited for a slot
        self.in_hand[item.fence.id] = scope
        began = time.monotonic()
        try:
            await self._handle(item)
        except BaseException:
            if scope.cancel_called:
                self._stopped(item)
            raise
        finally:
            self.in_hand.pop(item.fence.id, None)
            self.pace += (time.monotonic() - began - self.pace) * 0.1
            if not self._waiting:
                self._freed()
