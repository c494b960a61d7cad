"""Actor: a mailbox, a concurrency, and a way to handle one message."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, ClassVar

import anyio
import anyio.abc

from limner.runtime import mailbox, tracing, upkeep
from limner.runtime.bus import Bus
from limner.runtime.database import TROUBLE, Database
from limner.runtime.errors import Busy, FenceLost, Hopeless, as_raised
from limner.runtime.log import follow, logger
from limner.runtime.lookout import BUSY
from limner.runtime.mailbox import Claimed, Fence, Message
from limner.runtime.marks import Marks
from limner.runtime.outcome import put_away
from limner.runtime.presence import Presence
from limner.runtime.receipts import Receipts
from limner.runtime.slots import Slots
from limner.runtime.supervisor import contained
from limner.runtime.upkeep import Look

log = logger(__name__)

LARGEST_BATCH = 1000
AHEAD = 1.0
"""Seconds of work that may be fetched before a slot is free. A painter's five seconds fetch nothing ahead."""
LATE = 0.5
"""Seconds that a message may wait before a look, rather than a notification, is said to have found it."""
SETTLE = 4.0
"""Seconds that may take to write down how a message failed; less than a child has to stop."""
NEXT_RELEASE = 5.0
"""Seconds until a message that this release does not know is tried again: by a worker of the next, while both are there."""
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
    fetches_ahead: bool = True
    """Whether messages are fetched before there is a slot for them. What is in hand at a worker's death counts an attempt."""
    pause: float = 5.0
    """Seconds between looks at the mailbox that nobody asked for: the net under every lost notification."""

    def __init__(self, db: Database, bus: Bus, presence: Presence) -> None:
        self.db = db
        self.bus = bus
        self.presence = presence
        handle = self._handle_traced if tracing.is_on() else self._handle
        self.slots = Slots(self.concurrency, presence, handle, freed=self._freed, stopped=self._lost_hold)
        self.draining = anyio.Event()
        self.handled = 0
        self.failed = 0
        self._minutes = deque([(time.monotonic(), 0)], maxlen=2)
        self.found_by_poll = 0
        """Messages that a look found though no notification had come: a sign that the bus is deaf."""
        self._kinds = {kind.__name__: kind for kind in self.messages}
        self._is_fair = _are_fair(self)
        self._receipts = Receipts(db, presence.id, self._freed)
        self._marks = Marks()
        self._claims = 0
        self._woken = anyio.Event()
        self._is_resting = False
        self._is_hungry = False
        """More may wait than there was room for: look again as soon as a slot is free."""
        self._is_in_doubt = False
        """We may own what we do not work on."""
        self._blamed: set[int] = set()
        """Let go of half-way because the lease was no longer sure: their own doing, it may be, so the attempt counts."""
        self._acknowledged: set[int] = set()
        self._was_told = self._by_look = self._has_suspects = False

    async def receive(self, message: Any) -> None:
        """Handle one message. Subclasses say how."""
        raise TypeError(f"{type(self).__name__} does not say how to receive {message!r}")

    async def buried(self, message: Any, reason: str) -> None:
        """Called when a message has used up its attempts, before it becomes a dead letter."""

    @property
    def in_hand(self) -> dict[int, anyio.CancelScope | None]:
        return self.slots.in_hand

    def acknowledged(self, fence: Fence) -> None:
        """The handler of this message has acknowledged it by itself, so nobody else has to."""
        self._acknowledged.add(fence.id)

    def drain(self) -> None:
        """Take nothing new; ``run`` ends when what is in hand is done."""
        self.draining.set()
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    def about(self) -> dict[str, Any]:
        """What `limner actors` shows of it; ``pace`` is seconds a message, ``rate`` messages a second of late."""
        return {
            "mailbox": self.mailbox,
            "in_hand": len(self.in_hand),
            "handled": self.handled,
            "rate": round(self._rate(), 3),
            "failed": self.failed,
            "found_by_poll": self.found_by_poll,
            "pace": round(self.slots.pace, 4),
        }

    def _rate(self) -> float:
        """Of the minute that runs and the one before."""
        now = time.monotonic()
        if now - self._minutes[-1][0] >= 60:
            self._minutes.append((now, self.handled))
        since, before = self._minutes[0]
        return (self.handled - before) / max(now - since, 1.0)

    async def run(self) -> None:
        """Work until drained. What is still in hand when this is cancelled is given back without costing an attempt."""
        await self.bus.on(mailbox.SENT, self._heard)
        await self.bus.on(mailbox.CANCELED, self._heard_cancel)
        try:
            with as_raised(), self.presence.lookout.watching(self):
                async with anyio.create_task_group() as group:
                    group.start_soon(self.presence.lookout.run)
                    group.start_soon(self._receipts.run)
                    await self._fetch_forever(group)
                    await self._finish()
                    group.cancel_scope.cancel()
        finally:
            self.bus.off(mailbox.SENT, self._heard)
            self.bus.off(mailbox.CANCELED, self._heard_cancel)
            await self._leave()

    # Fetching: one loop that claims, with the acknowledgements of what was done meanwhile.

    async def _fetch_forever(self, group: anyio.abc.TaskGroup) -> None:
        while not self.draining.is_set():
            self._woken = anyio.Event()
            by_look, self._by_look = self._by_look and not self._was_told, False
            self._was_told = False
            try:
                took, is_all = await self._fetch(group)
            except TROUBLE as error:
                log.warning("mailbox_out_of_reach", mailbox=self.mailbox, error=str(error) or type(error).__name__)
                self._doubt()
                await anyio.sleep(0.5)
                continue
            if by_look:
                self.found_by_poll += took
            if is_all:
                await self._rest()

    async def _fetch(self, group: anyio.abc.TaskGroup) -> tuple[int, bool]:
        """How many were taken, and whether that is all that can be had for now."""
        if self._is_in_doubt:
            self._is_in_doubt = False
            await self._give_back()
        room = self._room()
        self._is_hungry = room <= 0
        if room <= 0 or self.presence.is_paused or not self.presence.is_sure:
            return 0, True
        took, is_all = await self._claim(room)
        # A partition at its limit has room when one of its own is done, and the next suspect's turn is after the last.
        self._is_hungry = not is_all or self._has_suspects
        if took:
            self.presence.lookout.expect(BUSY)
        self.slots.most = self.concurrency
        self.slots.put(took, group)
        return len(took), is_all or (self._is_fair and len(took) < room)

    async def _claim(self, room: int) -> tuple[list[Claimed], bool]:
        took: list[Claimed] = []
        self._claims += 1
        humbly = self._claims % HUMBLE == 0
        if self._is_fair:
            await self._receipts.flush()  # what is done but not acknowledged still counts for its partition's limit
            return await self.take_turns(room, humbly=humbly)
        if self._has_suspects:
            await self._receipts.flush()
            suspects = await mailbox.claim_suspect(self.db, self.mailbox, self.presence.id)
            self._has_suspects = bool(suspects)  # else the next look says whether there are more
            took += suspects
        if len(took) == room:
            return took, False
        room -= len(took)
        with self._receipts.taken_along() as done:
            above = self._marks.above(humbly)
            more = await mailbox.claim(
                self.db, self.mailbox, self.presence.id, room, done=done, above=above, humbly=humbly
            )
        return took + more, self._marks.learn(more, humbly, is_full=len(more) == room)

    async def take_turns(self, room: int, *, humbly: bool) -> tuple[list[Claimed], bool]:
        """Fair messages of the mailbox, and whether that is all. A subclass may do more with them on the same way."""
        return await mailbox.take_turns(self.db, self.mailbox, self.presence.id, room, humbly=humbly)

    def _room(self) -> int:
        ahead = 0
        if self.fetches_ahead and not self._is_fair and self.slots.pace < AHEAD / 2:
            ahead = min(2 * LARGEST_BATCH, int(AHEAD / max(self.slots.pace, 1e-6)))
        return min(self.concurrency + ahead - len(self.in_hand), LARGEST_BATCH)

    async def _rest(self) -> None:
        """Nothing to fetch until a notification, a look or a free slot; what is done meanwhile is acknowledged."""
        self._is_resting = True
        self._receipts.soon()
        await self._woken.wait()
        self._is_resting = False

    async def _give_back(self) -> None:
        """Free what we own but do not work on. Never while a claim is on its way: that would look just so."""
        keep = [*self.in_hand, *self._receipts.ids()]
        blame = list(self._blamed)
        await upkeep.give_back(self.db, self.mailbox, self.presence.id, keep=keep, blame=blame)
        self._blamed.difference_update(blame)

    def _lost_hold(self, item: Claimed) -> None:
        self._blamed.add(item.fence.id)
        self._doubt()

    def _doubt(self) -> None:
        self._is_in_doubt = True
        self.wake()

    # What is heard and seen.

    @property
    def is_busy(self) -> bool:
        return bool(self.in_hand or self._receipts)

    def found(self, look: Look) -> None:
        """What the lookout saw."""
        self._marks.doubt()
        self._has_suspects = look.has_suspects
        if look.is_waiting and self._is_able:
            is_late = look.waited is not None and look.waited > LATE
            self._by_look = is_late and self._is_resting and not self._is_hungry
            self.wake()

    def told(self) -> bool:
        """Something was committed to our mailbox. False when it has to wait here."""
        self._was_told = True
        self.wake()
        return self._is_able and not self._is_hungry

    @property
    def _is_able(self) -> bool:
        return self.presence.is_sure and not self.presence.is_paused and not self.draining.is_set()

    def _heard(self, payload: str | None) -> None:
        name, _, seconds = (payload or "").partition(" ")
        if payload is None:
            self.presence.lookout.expect(0)
        elif payload == self.mailbox:
            self.told()
        elif name == self.mailbox and seconds.replace(".", "", 1).isdigit():
            self._expect(float(seconds))

    def _heard_cancel(self, payload: str | None) -> None:
        name, _, number = (payload or "").partition(" ")
        if name == self.mailbox and number.isdigit():
            self.slots.stop(int(number))

    def _expect(self, seconds: float) -> None:
        self.presence.lookout.expect(seconds + 0.005)

    def _freed(self) -> None:
        if self._is_hungry or self.draining.is_set():
            self.wake()

    # Working.

    async def _handle_traced(self, item: Claimed) -> None:
        about: tracing.Attributes = {
            "messaging.destination.name": self.mailbox,
            "limner.kind": item.kind,
            "limner.attempt": item.fence.attempt,
        }
        with tracing.span(f"{self.mailbox} {item.kind}", "consumer", about):
            await self._handle(item)

    async def _handle(self, item: Claimed) -> None:
        try:
            message = self._kinds[item.kind].revive(item.payload, item.fence)
        except (KeyError, TypeError, ValueError) as error:
            follow(None)  # what this slot had before it was about something else
            log.warning(
                "not_understood", mailbox=self.mailbox, kind=item.kind, message=item.fence.id, error=repr(error)
            )
            await self._settle(item, None, Busy("not understood here", after=NEXT_RELEASE))
            return
        crash: Exception | None = None
        if item.fence.attempt > item.max_attempts:
            crash = Hopeless("its attempts are used up")
        elif item.seconds_left is None:
            crash = await contained(lambda: self.receive(message))
        else:
            with anyio.move_on_after(max(item.seconds_left, 0)) as deadline:
                crash = await contained(lambda: self.receive(message))
            if deadline.cancelled_caught:
                crash = Hopeless("its deadline passed")
        self.handled += 1
        if crash is None and item.fence.id in self._acknowledged:
            self._acknowledged.discard(item.fence.id)
        elif crash is None:
            self._receipts.add(item.fence)
            if self._is_resting and not self._is_hungry:
                self._receipts.soon()
            elif len(self._receipts) >= LARGEST_BATCH:
                self.wake()
        else:
            self._acknowledged.discard(item.fence.id)
            await self._settle(item, message, crash)

    async def _settle(self, item: Claimed, message: Message | None, crash: Exception) -> None:
        """What becomes of a message whose handler did not return: written even when we are being stopped."""
        self.failed += not isinstance(crash, Busy)
        tracing.here().failed(type(crash).__name__)
        with anyio.move_on_after(SETTLE, shield=True) as late:
            try:
                after = await put_away(self.db, item, crash, lambda reason: self._bury(item, message, reason))
                if after is not None:
                    self._expect(after)
            except (FenceLost, *TROUBLE) as error:
                log.warning("could_not_put_back", message=item.fence.id, error=str(error))
                self._doubt()
        if late.cancelled_caught:
            self._lost_hold(item)

    async def _bury(self, item: Claimed, message: Message | None, reason: str) -> None:
        log.error("message_buried", mailbox=self.mailbox, kind=item.kind, message=item.fence.id, reason=reason)
        if message is not None:
            await self.buried(message, reason)
        await mailbox.bury(self.db, item.fence, reason)

    # Ending.

    async def _finish(self) -> None:
        """Drained: what waits for a slot goes back, what runs may finish, and all that is done is acknowledged."""
        self.slots.put_back()
        self._is_resting, self._is_hungry = True, False
        await self._leave()
        while self.in_hand:
            self._woken = anyio.Event()
            await self._woken.wait()

    async def _leave(self) -> None:
        with anyio.move_on_after(3, shield=True):
            try:
                await self._receipts.flush()
                await self._give_back()
            except TROUBLE as error:
                log.warning("not_given_back", mailbox=self.mailbox, error=str(error))  # the lease will free them


def _are_fair(actor: Actor) -> bool:
    """Whether the messages of its mailbox take turns. Raises TypeError when only some do: they are claimed differently."""
    kinds = {kind.fair for kind in actor.messages}
    if len(kinds) > 1:
        raise TypeError(f"{type(actor).__name__}: either all messages of a mailbox are fair, or none is")
    return kinds == {True}
