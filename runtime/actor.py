"""Actor: a mailbox, a concurrency, and a way to handle one message."""

from __future__ import annotations

import math
import time
from typing import Any, ClassVar

import anyio
import anyio.abc

from limner.runtime import mailbox, upkeep
from limner.runtime.bus import Bus
from limner.runtime.database import TROUBLE, Database, is_outage
from limner.runtime.errors import Busy, FenceLost, Hopeless, Refused
from limner.runtime.log import logger
from limner.runtime.mailbox import Claimed, Fence, Mark, Message, backoff
from limner.runtime.presence import Presence
from limner.runtime.slots import Slots
from limner.runtime.supervisor import contained

log = logger(__name__)

LARGEST_BATCH = 500
AHEAD = 1.0
"""Seconds of work that may be fetched before a slot is free. A painter's five seconds fetch nothing ahead."""
UPKEEP = 1.0
"""Seconds between full looks: what came due, what is overdue, and what committed behind the low-water mark."""
HUMBLE = 8
"""One claim in so many begins with the least important messages."""


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
        self.slots = Slots(self.concurrency, presence, self._handle, self.wake)
        self.draining = anyio.Event()
        self.handled = 0
        self.failed = 0
        self.found_by_poll = 0
        """Messages that a look found though no notification had come: a sign that the bus is deaf."""
        self._kinds = {kind.__name__: kind for kind in self.messages}
        self._is_fair = any(kind.fair for kind in self.messages)
        self._done: list[Fence] = []
        self._woken = anyio.Event()
        self._was_told = False
        self._low: dict[bool, Mark | None] = {}
        self._claims = 0
        self._upkeep_at = 0.0
        self._next_due: float | None = None

    async def receive(self, message: Any) -> None:
        """Handle one message. Subclasses say how."""
        raise TypeError(f"{type(self).__name__} does not say how to receive {message!r}")

    async def buried(self, message: Any, reason: str) -> None:
        """Called when a message has used up its attempts, before it becomes a dead letter."""

    @property
    def in_hand(self) -> dict[int, anyio.CancelScope | None]:
        return self.slots.in_hand

    def drain(self) -> None:
        """Take nothing new; ``run`` ends when what is in hand is done."""
        self.draining.set()
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    def about(self) -> dict[str, Any]:
        """What `limner actors` shows of it; ``pace`` is seconds a message."""
        return {
            "mailbox": self.mailbox,
            "in_hand": len(self.in_hand),
            "handled": self.handled,
            "failed": self.failed,
            "found_by_poll": self.found_by_poll,
            "pace": round(self.slots.pace, 4),
        }

    async def run(self) -> None:
        """Work until drained. What is still in hand when this is cancelled is given back without costing an attempt."""
        await self.bus.on(mailbox.SENT, self._heard)
        await self.bus.on(mailbox.CANCELED, self._heard_cancel)
        try:
            async with anyio.create_task_group() as group:
                await self._fetch_forever(group)
                await self._finish()
                group.cancel_scope.cancel()
        finally:
            self.bus.off(mailbox.SENT, self._heard)
            self.bus.off(mailbox.CANCELED, self._heard_cancel)
            await self._give_back(keep=[])

    # Fetching: one loop that claims, with the acknowledgements of what was done meanwhile.

    async def _fetch_forever(self, group: anyio.abc.TaskGroup) -> None:
        while not self.draining.is_set():
            self._woken = anyio.Event()
            told, self._was_told = self._was_told, False
            try:
                took = await self._fetch(group)
            except TROUBLE as error:
                log.warning("mailbox_out_of_reach", mailbox=self.mailbox, error=str(error) or type(error).__name__)
                took, self._upkeep_at = 0, 0.0
                await anyio.sleep(0.5)
            if took and not told:
                self.found_by_poll += took
            if not took:
                await self._rest()

    async def _fetch(self, group: anyio.abc.TaskGroup) -> int:
        if time.monotonic() >= min(self._upkeep_at, self._next_due or math.inf):
            await self._keep_up()
        room = self._room()
        if room <= 0 or self.presence.is_paused or not self.presence.is_sure:
            await self._flush()
            return 0
        took = await self._claim(room)
        self.slots.most = self.concurrency
        self.slots.put(took, group)
        return len(took)

    async def _claim(self, room: int) -> list[Claimed]:
        took: list[Claimed] = []
        self._claims += 1
        humbly = self._claims % HUMBLE == 0
        if self._is_fair:
            await self._flush()  # what is done but not acknowledged would still count for its partition's limit
            took = await mailbox.claim_fairly(self.db, self.mailbox, self.presence.id, room, humbly=humbly)
            if len(took) == room:
                return took
        done, self._done = self._done, []
        try:
            more = await mailbox.claim(
                self.db, self.mailbox, self.presence.id, room - len(took), done=done, above=self._low.get(humbly),
                humbly=humbly,
            )  # fmt: skip
        except BaseException:
            self._done += done  # the fence makes a second try harmless
            raise
        self._mark(more, humbly, is_full=len(more) == room - len(took))
        return took + more

    def _mark(self, batch: list[Claimed], humbly: bool, *, is_full: bool) -> None:
        """The low-water mark counts only while batches come full, in one priority: what waits then stands above it."""
        above = self._low.pop(humbly, None)
        if is_full and len(batch) > 1 and batch[0].priority == batch[-1].priority:
            self._low[humbly] = Mark(batch[-1].priority, batch[-1].pos)
            self._upkeep_at = min(self._upkeep_at, time.monotonic() + UPKEEP)
        elif above is not None:
            self._was_told = True  # below the mark may stand what committed late, or matters less: look at once
            self.wake()

    def _room(self) -> int:
        ahead = 0
        if not self._is_fair and self.slots.pace < AHEAD / 2:
            ahead = min(LARGEST_BATCH, int(AHEAD / max(self.slots.pace, 1e-6)))
        return min(self.concurrency + ahead - len(self.in_hand), LARGEST_BATCH)

    async def _rest(self) -> None:
        """Nothing to fetch: acknowledge what is done, and wait for a notification, a free slot, or the next look."""
        await self._flush()
        pause = self.pause if self._next_due is None else min(self.pause, max(self._next_due - time.monotonic(), 0.01))
        with anyio.move_on_after(pause) as slept:
            await self._woken.wait()
        if slept.cancelled_caught and self._next_due is not None and time.monotonic() >= self._next_due:
            self._upkeep_at = 0.0

    async def _flush(self) -> None:
        if not self._done:
            return
        done, self._done = self._done, []
        try:
            await mailbox.ack_many(self.db, self.presence.id, done)
        except TROUBLE as error:
            self._done += done
            log.warning("acknowledgements_wait", mailbox=self.mailbox, error=str(error) or type(error).__name__)

    async def _keep_up(self) -> None:
        """Free what we own but do not work on, let come due what is due, bury what is overdue; forget the mark."""
        keep = [*self.in_hand, *(fence.id for fence in self._done)]
        await upkeep.give_back(self.db, self.mailbox, self.presence.id, keep=keep)
        self._next_due = None  # a handler may set it anew while promote is on its way
        _, next_in = await upkeep.promote(self.db, self.mailbox)
        if next_in is not None:
            self._next_due = min(self._next_due or math.inf, time.monotonic() + next_in + 0.005)
        await upkeep.bury_overdue(self.db, self.mailbox)
        self._upkeep_at = time.monotonic() + (UPKEEP if self.in_hand else self.pause)
        self._low.clear()

    # Working.

    async def _handle(self, item: Claimed) -> None:
        message = self._kinds[item.kind].revive(item.payload, item.fence)
        crash: Exception | None = None
        if item.seconds_left is None:
            crash = await contained(lambda: self.receive(message))
        else:
            with anyio.move_on_after(max(item.seconds_left, 0)) as deadline:
                crash = await contained(lambda: self.receive(message))
            if deadline.cancelled_caught:
                crash = Hopeless("its deadline passed")
        self.handled += 1
        if crash is None:
            self._done.append(item.fence)
            if len(self._done) >= LARGEST_BATCH:
                self.wake()
        else:
            await self._settle(item, message, crash)

    async def _settle(self, item: Claimed, message: Message, crash: Exception) -> None:
        """What becomes of a message whose handler did not return."""
        self.failed += not isinstance(crash, Busy)
        try:
            match crash:
                case Busy():
                    after = crash.after if crash.after is not None else backoff(item.fence.attempt)
                    await mailbox.retry(self.db, item.fence, after=after, error=str(crash), blame=False)
                    self._expect(after)
                case Refused() | Hopeless():
                    await self._bury(item, message, str(crash))
                case FenceLost():
                    log.warning("fence_lost", mailbox=self.mailbox, message=item.fence.id)
                case _ if is_outage(crash):
                    await mailbox.retry(self.db, item.fence, after=1.0, error=str(crash), blame=False)
                    self._expect(1.0)
                case _ if item.fence.attempt >= item.max_attempts:
                    await self._bury(item, message, f"{type(crash).__name__}: {crash}")
                case _:
                    log.error("handler_crashed", mailbox=self.mailbox, message=item.fence.id, exc_info=crash)
                    after = backoff(item.fence.attempt)
                    await mailbox.retry(self.db, item.fence, after=after, error=repr(crash))
                    self._expect(after)
        except (FenceLost, *TROUBLE) as error:
            log.warning("could_not_put_back", message=item.fence.id, error=str(error))  # the next full look will

    def _expect(self, seconds: float) -> None:
        """Something comes due then: look at that moment, not only at the next pause."""
        due = time.monotonic() + seconds + 0.005
        if self._next_due is None or due < self._next_due:
            self._next_due = due
            self.wake()

    async def _bury(self, item: Claimed, message: Message, reason: str) -> None:
        log.error("message_buried", mailbox=self.mailbox, kind=item.kind, message=item.fence.id, reason=reason)
        await self.buried(message, reason)
        await mailbox.bury(self.db, item.fence, reason)

    # Ending.

    async def _finish(self) -> None:
        """Drained: what waits for a slot goes back, what runs may finish, and all that is done is acknowledged."""
        self.slots.put_back()
        await self._give_back(keep=[*self.in_hand])
        while self.in_hand:
            self._woken = anyio.Event()
            await self._woken.wait()
        await self._flush()

    async def _give_back(self, *, keep: list[int]) -> None:
        with anyio.move_on_after(3, shield=True):
            await self._flush()
            try:
                keep = [*keep, *(fence.id for fence in self._done)]
                await upkeep.give_back(self.db, self.mailbox, self.presence.id, keep=keep)
            except TROUBLE as error:
                log.warning("not_given_back", mailbox=self.mailbox, error=str(error))  # the lease will free them

    def _heard(self, payload: str | None) -> None:
        name, _, seconds = (payload or "").partition(" ")
        if payload is None or payload == self.mailbox:
            self._was_told = True
            if payload is None:
                self._upkeep_at = 0.0
            self.wake()
        elif name == self.mailbox and seconds.replace(".", "", 1).isdigit():
            self._expect(float(seconds))

    def _heard_cancel(self, payload: str | None) -> None:
        name, _, number = (payload or "").partition(" ")
        if name == self.mailbox and number.isdigit():
            self.slots.stop(int(number))
