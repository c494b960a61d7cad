"""Actor: a mailbox, a concurrency, and a way to handle one message."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import anyio
import anyio.abc

from limner.runtime import mailbox
from limner.runtime.bus import Bus
from limner.runtime.database import TROUBLE, Database, is_outage
from limner.runtime.errors import Busy, FenceLost, Hopeless, Refused
from limner.runtime.log import logger
from limner.runtime.mailbox import Claimed, Message, backoff
from limner.runtime.presence import Presence
from limner.runtime.supervisor import contained

log = logger(__name__)


class Actor:
    """An occupation. Subclasses name their messages and say what to do with one.

    ``receive`` returns: the message is acknowledged (unless it acknowledged itself inside its own transaction).
    It raises Busy: later, without blame. Refused or Hopeless: dead letter. Anything else: a crash, counted, retried.
    """

    mailbox: ClassVar[str]
    messages: ClassVar[tuple[type[Message], ...]]
    concurrency: int = 1
    pause: float = 5.0
    """Seconds between looks at the mailbox that nobody asked for: the net under every lost notification."""

    def __init__(self, db: Database, bus: Bus, presence: Presence) -> None:
        self.db = db
        self.bus = bus
        self.presence = presence
        self.in_hand: dict[int, anyio.CancelScope] = {}
        self.draining = anyio.Event()
        self.last_look = time.monotonic()
        self._woken = anyio.Event()

    async def receive(self, message: Any) -> None:
        """Handle one message."""
        raise NotImplementedError(f"{type(self).__name__}.receive")

    async def buried(self, message: Any, reason: str) -> None:
        """Called when a message has used up its attempts, before it becomes a dead letter."""

    def drain(self) -> None:
        """Take nothing new; ``run`` ends when what is in hand is done."""
        self.draining.set()
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Work until drained. What is still in hand when this is cancelled is given back without costing an attempt."""
        await self.bus.on(mailbox.SENT, self._heard)
        try:
            async with anyio.create_task_group() as group:
                while not self.draining.is_set():
                    self._woken = anyio.Event()
                    took = await self._take(group)
                    if not took or len(self.in_hand) >= self.concurrency:
                        await self._rest()
        finally:
            self.bus.off(mailbox.SENT, self._heard)
            await self._give_back()

    async def _take(self, group: anyio.abc.TaskGroup) -> int:
        free = self.concurrency - len(self.in_hand)
        if free <= 0 or not self.presence.is_sure:
            return 0
        try:
            await mailbox.give_back(self.db, self.mailbox, self.presence.id, keep=list(self.in_hand))
            claimed = await mailbox.claim(self.db, self.mailbox, self.presence.id, free)
        except TROUBLE as error:
            log.warning("mailbox_out_of_reach", mailbox=self.mailbox, error=str(error) or type(error).__name__)
            return 0
        self.last_look = time.monotonic()
        for item in claimed:
            self.in_hand[item.fence.id] = anyio.CancelScope()
            group.start_soon(self._handle, item)
        return len(claimed)

    async def _rest(self) -> None:
        pause = self.pause
        if len(self.in_hand) < self.concurrency:
            try:
                ready = await mailbox.next_ready(self.db, self.mailbox)
                pause = pause if ready is None else min(pause, max(ready, 0.05))
            except TROUBLE:
                pause = 1.0
        with anyio.move_on_after(pause):
            await self._woken.wait()

    async def _handle(self, item: Claimed) -> None:
        try:
            with self.presence.guard(), self.in_hand[item.fence.id]:
                crash = await contained(lambda: self._work(item))
                if crash is not None:
                    await self._crashed(item, crash)
        finally:
            self.in_hand.pop(item.fence.id, None)
            self.wake()

    async def _work(self, item: Claimed) -> None:
        message = self._revive(item)
        try:
            await self.receive(message)
        except Busy as later:
            after = later.after if later.after is not None else backoff(item.fence.attempt)
            await mailbox.retry(self.db, item.fence, after=after, error=str(later), blame=False)
        except (Refused, Hopeless) as why:
            await self._bury(item, message, str(why))
        else:
            await self._ack(item)

    async def _ack(self, item: Claimed) -> None:
        try:
            await mailbox.ack(self.db, item.fence)
        except FenceLost:
            log.debug("already_acknowledged", message=item.fence.id)  # inside the handler's own transaction

    async def _crashed(self, item: Claimed, crash: Exception) -> None:
        try:
            if isinstance(crash, FenceLost):
                log.warning("fence_lost", mailbox=self.mailbox, message=item.fence.id)
            elif is_outage(crash):
                await mailbox.retry(self.db, item.fence, after=1.0, error=str(crash), blame=False)
            elif item.fence.attempt >= item.max_attempts:
                await self._bury(item, self._revive(item), f"{type(crash).__name__}: {crash}")
            else:
                log.error("handler_crashed", mailbox=self.mailbox, message=item.fence.id, exc_info=crash)
                await mailbox.retry(self.db, item.fence, after=backoff(item.fence.attempt), error=repr(crash))
        except (FenceLost, *TROUBLE) as error:
            log.warning("could_not_put_back", message=item.fence.id, error=str(error))  # give_back or rescue will

    async def _bury(self, item: Claimed, message: Message, reason: str) -> None:
        log.error("message_buried", mailbox=self.mailbox, kind=item.kind, message=item.fence.id, reason=reason)
        await self.buried(message, reason)
        await mailbox.bury(self.db, item.fence, reason)

    def _revive(self, item: Claimed) -> Message:
        kinds = {kind.__name__: kind for kind in self.messages}
        return kinds[item.kind].revive(item.payload, item.fence)

    async def _give_back(self) -> None:
        with anyio.move_on_after(3, shield=True):
            try:
                await mailbox.give_back(self.db, self.mailbox, self.presence.id, keep=[])
            except TROUBLE as error:
                log.warning("not_given_back", mailbox=self.mailbox, error=str(error))  # the lease will free them

    def _heard(self, payload: str | None) -> None:
        if payload is None or payload == self.mailbox:
            self.wake()
