"""Acknowledgements that wait, and those that are on their way."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from uuid import UUID

import anyio

from limner.runtime import mailbox
from limner.runtime.database import TROUBLE, Database
from limner.runtime.log import logger
from limner.runtime.mailbox import Fence

log = logger(__name__)


class Receipts:
    """What an actor has done. It goes out with its next claim, or by itself when no claim is to come."""

    def __init__(self, db: Database, owner: UUID, sent: Callable[[], None]) -> None:
        """``sent`` is called when some have gone out by themselves."""
        self._db = db
        self._owner = owner
        self._sent = sent
        self._waiting: list[Fence] = []
        self._going: list[list[Fence]] = []
        self._is_due = anyio.Event()

    def __len__(self) -> int:
        """So many wait."""
        return len(self._waiting)

    def add(self, fence: Fence) -> None:
        self._waiting.append(fence)

    def ids(self) -> list[int]:
        """Of all that the mailbox may still have, though they are done."""
        return [fence.id for fence in itertools.chain(self._waiting, *self._going)]

    def soon(self) -> None:
        """No claim is to take them along."""
        if self._waiting:
            self._is_due.set()

    @contextlib.contextmanager
    def taken_along(self) -> Iterator[list[Fence]]:
        """All that wait, to be acknowledged inside. If that fails they wait on; the fence makes a second try harmless."""
        going, self._waiting = self._waiting, []
        self._going.append(going)
        try:
            yield going
        except BaseException:
            self._waiting += going
            raise
        finally:
            self._going = [each for each in self._going if each is not going]

    async def flush(self) -> None:
        """Acknowledge all that wait. Raises one of TROUBLE, and they wait on."""
        if self._waiting:
            with self.taken_along() as going:
                await mailbox.ack_many(self._db, self._owner, going)

    async def run(self) -> None:
        """Send what is due, on a connection of its own, so that the next claim never waits for it."""
        while True:
            await self._is_due.wait()
            self._is_due = anyio.Event()
            try:
                await self.flush()
            except TROUBLE as error:
                log.warning("acknowledgements_wait", count=len(self), error=str(error) or type(error).__name__)
                await anyio.sleep(0.5)
                self.soon()
            self._sent()
