"""Calls that come while one is on its way go out together with the next: one statement and one commit for all of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
import asyncpg
from anyio.lowlevel import cancel_shielded_checkpoint

from limner.runtime.errors import Busy

ROUNDS = 1
"""Rounds of the event loop that the first one waits for company."""
RECENTLY = 0.02
"""Seconds. Who is the first one after a longer time would wait alone."""

T = TypeVar("T")
R = TypeVar("R")

ONES_OWN = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.TransactionRollbackError)
"""What one bad item, or a deadlock, does to all that go out together: then each goes alone."""


@dataclass(slots=True, eq=False)
class _Errand(Generic[T, R]):
    item: T
    wake: anyio.Event | None = None
    answer: R | None = None
    error: Exception | None = None
    is_taken: bool = False
    is_over: bool = False


class Together(Generic[T, R]):
    """Who finds nothing on its way takes along everybody who waits, ``most`` at a time. The group commit of Post, for others."""

    def __init__(self, carry: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int = 64) -> None:
        """``carry`` gives an answer for each item, in their order. It is not cancelled, so it must end by itself."""
        self._carry = carry
        self._most = most
        self._waiting: deque[_Errand[T, R]] = deque()
        self._is_on_its_way = False
        self._left_at = 0.0

    async def do(self, item: T) -> R:
        """The answer for this item. Raises what ``carry`` raises."""
        errand: _Errand[T, R] = _Errand(item)
        self._waiting.append(errand)
        while not errand.is_over:
            if not errand.is_taken and not self._is_on_its_way:
                await self._lead()
            else:
                await self._wait(errand)
        if errand.error is not None:
            raise errand.error
        return errand.answer  # type: ignore[return-value]

    async def _wait(self, errand: _Errand[T, R]) -> None:
        errand.wake = anyio.Event()
        try:
            await errand.wake.wait()
        except BaseException:
            if not errand.is_taken:  # not on its way yet: it never will be
                self._waiting.remove(errand)
                self._hand_over()
            raise

    async def _lead(self) -> None:
        self._is_on_its_way = True
        try:
            with anyio.CancelScope(shield=True):  # others' items are on the way
                await self._wait_for_company()
                await self._see_off(self._take())
        finally:
            self._is_on_its_way = False
            self._hand_over()

    async def _wait_for_company(self) -> None:
        """While others have just had the same to do, and only as long as this process is busy: a round takes no time else."""
        now = time.monotonic()
        if now - self._left_at < RECENTLY:
            for _ in range(ROUNDS):
                await cancel_shielded_checkpoint()
        self._left_at = now

    def _take(self) -> list[_Errand[T, R]]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        for errand in batch:
            errand.is_taken = True
        return batch

    def _hand_over(self) -> None:
        """Whoever waits longest leads next."""
        if self._waiting and not self._is_on_its_way:
            _wake(self._waiting[0])

    async def _see_off(self, batch: list[_Errand[T, R]]) -> None:
        try:
            for errand, answer in zip(batch, await self._carry([each.item for each in batch]), strict=True):
                errand.answer = answer
        except ONES_OWN as error:
            if len(batch) == 1:
                batch[0].error = error
            else:
                for errand in batch:
                    await self._see_off([errand])
        except BaseException as error:  # an end from outside too: nobody may take None for an answer
            for errand in batch:
                errand.error = error if isinstance(error, Exception) else Busy("nobody knows whether it was done")
            if not isinstance(error, Exception):
                raise
        finally:
            for errand in batch:
                errand.is_over = True
                _wake(errand)


def _wake(errand: _Errand[T, R]) -> None:
    if errand.wake is not None:
        errand.wake.set()
