"""Messages that come round, by interval or by calendar: each tick is sent once, whoever leads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import anyio
import asyncpg

from limner.runtime import lease
from limner.runtime.cron import Calendar
from limner.runtime.database import TROUBLE, Database
from limner.runtime.log import logger
from limner.runtime.mailbox import SENT, Message
from limner.runtime.presence import Presence

log = logger(__name__)

PAUSE = 5.0
"""Seconds between two looks at the lease, for the one who holds it and for those who would."""
TERM = 2 * PAUSE
"""Seconds that the lease lasts, unless it is renewed."""
BEATEN = 1.0
"""Seconds until a second look, when somebody else has sent a tick although we lead."""
LATE = timedelta(seconds=60)
"""From when on a tick counts as missed: longer than another process needs to take over."""


class Tick(NamedTuple):
    """A moment that the schedule has reached; one that is not sent is only noted."""

    at: datetime
    is_sent: bool


@dataclass(frozen=True)
class Every:
    """Send ``message`` every ``seconds``, first at once. Missed ticks are made up for by one."""

    name: str
    seconds: float
    message: Message

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"{self.name}: seconds {self.seconds!r}: must be more than 0")

    def tick(self, last: datetime | None, now: datetime) -> Tick | None:
        """The newest tick since ``last``, if there is one."""
        if last is None:
            return Tick(now, True)
        gone = (now - last) // timedelta(seconds=self.seconds)
        return Tick(last + gone * timedelta(seconds=self.seconds), True) if gone >= 1 else None

    def following(self, last: datetime) -> datetime:
        return last + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Cron:
    """Send ``message`` at the minutes of the cron expression ``when``, by the clocks of ``zone``.

    ``missed``: what becomes of ticks that nobody was there for: "once" sends one for all of them, "skip" none.
    Raises ValueError, with the field and the value, for anything that cannot be.
    """

    name: str
    when: str
    message: Message
    zone: str = "UTC"
    missed: Literal["once", "skip"] = "once"
    calendar: Calendar = field(init=False, repr=False, compare=False)
    clock: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.missed not in ("once", "skip"):
            raise ValueError(f"{self.name}: missed {self.missed!r}: must be once or skip")
        try:
            object.__setattr__(self, "calendar", Calendar.parse(self.when))
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        try:
            # UTC needs no time zone data, which a small machine may not have.
            object.__setattr__(self, "clock", UTC if self.zone == "UTC" else ZoneInfo(self.zone))
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{self.name}: zone {self.zone!r}: no such time zone on this machine") from None

    def tick(self, last: datetime | None, now: datetime) -> Tick | None:
        """The newest tick since ``last``, if there is one. At first sight there is nothing to be made up for."""
        if last is None:
            return Tick(now, False)
        at = self.calendar.latest(now, self.clock)
        return Tick(at, self.missed == "once" or now - at <= LATE) if at > last else None

    def following(self, last: datetime) -> datetime:
        return self.calendar.after(last, self.clock)


LOOK = "select now() as now, name, last_at from (select 1) as one left join schedule on true"
LEAD = "with held as (TAKE) LOOK where exists (select from held)".replace("TAKE", lease.TAKE).replace("LOOK", LOOK)

# The row decides, not the leadership: a tick follows the one that was seen last, or somebody else has sent it.
TAKE = """
with taken as (
    insert into schedule (name, last_at) select $1, $2 where $2::timestamptz <= now()
    on conflict (name) do update set last_at = excluded.last_at where schedule.last_at = $3
    returning true
),
sent as (
    insert into message (mailbox, kind, payload, key)
    select $4, $5, $6, $7 from taken where $8
    on conflict (mailbox, key) where key is not null do nothing
)
select true from taken
"""


class Schedule:
    """Sends what is due while it holds the lease of that name. The database's clock is the only one.

    Raises ValueError when two entries have the same name.
    """

    def __init__(self, db: Database, presence: Presence, entries: Sequence[Every | Cron]) -> None:
        if len({entry.name for entry in entries}) < len(entries):
            raise ValueError("two entries of the schedule have the same name")
        self.db = db
        self.presence = presence
        self.entries = entries
        self._last: dict[str, datetime] = {}
        self._next: dict[str, datetime] = {}
        self._seen: tuple[datetime, float] | None = None
        """The database's time, and what the stop-watch showed then."""

    async def run(self) -> None:
        """Lead if nobody else does, and sleep until the next tick. Never ends by itself."""
        try:
            while True:
                try:
                    pause = await self._round()
                except TROUBLE as error:
                    log.warning("schedule_waits", error=str(error) or type(error).__name__)
                    self._seen, pause = None, PAUSE
                await anyio.sleep(pause)
        finally:
            with anyio.move_on_after(2, shield=True):
                await lease.leave(self.db, "schedule", self.presence.id)

    async def send_due(self) -> int:
        """Send each entry whose time has come, without asking for the lease; returns how many were sent."""
        self._note(await self.db.fetch(LOOK))
        return await self._send_due()

    async def _round(self) -> float:
        """Returns the seconds until there is something to do again."""
        if self._seen is None or time.monotonic() - self._seen[1] >= PAUSE:
            self._note(await self.db.fetch(LEAD, "schedule", self.presence.id, TERM))
        if self._seen is None:
            return PAUSE
        await self._send_due()
        return BEATEN if self._seen is None else self._pause(*self._seen)

    def _note(self, rows: Sequence[asyncpg.Record]) -> None:
        """Remember the database's time and the ticks it has seen. No rows: somebody else leads."""
        self._seen = (rows[0]["now"], time.monotonic()) if rows else None
        last = {row["name"]: row["last_at"] for row in rows}
        for entry in self.entries:
            self._remember(entry, last.get(entry.name))

    def _remember(self, entry: Every | Cron, last: datetime | None) -> None:
        if last is None:
            self._last.pop(entry.name, None)
            self._next.pop(entry.name, None)
        elif last != self._last.get(entry.name):
            self._last[entry.name], self._next[entry.name] = last, entry.following(last)

    async def _send_due(self) -> int:
        now, sent = self._now(), 0
        for entry in self.entries:
            last = self._last.get(entry.name)
            if last is None or self._next[entry.name] <= now:
                tick = entry.tick(last, now)
                if tick and await self._take(entry, tick, last):
                    sent += tick.is_sent
        return sent

    async def _take(self, entry: Every | Cron, tick: Tick, last: datetime | None) -> bool:
        """Note the tick and send its message in one statement. False when somebody else was faster."""
        message, key = entry.message, f"schedule {entry.name}"
        letter = message.mailbox, type(message).__name__, message.payload(), key
        if not await self.db.fetchval(TAKE, entry.name, tick.at, last, *letter, tick.is_sent):
            self._seen = None
            return False
        self._remember(entry, tick.at)
        if tick.is_sent:
            self.db.tell(SENT, message.mailbox)
        elif last is not None:
            log.warning("tick_skipped", name=entry.name, at=tick.at.isoformat())
        return True

    def _now(self) -> datetime:
        """The database's time, as far as we know it: never ahead of it, for TAKE asks it again."""
        assert self._seen is not None
        seen, watch = self._seen
        return seen + timedelta(seconds=time.monotonic() - watch)

    def _pause(self, seen: datetime, watch: float) -> float:
        """Seconds until the next tick, or until the lease wants its next renewal."""
        ends = [(at - seen).total_seconds() for at in self._next.values()]
        return max(0.0, min([PAUSE, *ends]) - (time.monotonic() - watch))
