"""Messages that come round, by interval or by calendar: each tick is sent once, whoever leads."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, NamedTuple
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
"""Seconds between two looks at the lease, for those who would hold it."""
RENEW = 6.0
"""Seconds after which its holder renews it, unless a tick that it sent has done so."""
TERM = 10.0
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

# All ticks of a moment in one statement. The row decides, not the leadership: a tick follows the one that was seen last, or
# somebody else has sent it.
TAKE = """
with tick as materialized (
    select * from unnest(
        $1::text[], $2::timestamptz[], $3::timestamptz[], $4::boolean[], $5::text[], $6::text[], $7::jsonb[], $8::text[]
    ) as t (name, at, last, is_sent, mailbox, kind, payload, key)
),
taken as (
    insert into schedule (name, last_at) select name, at from tick where at <= now()
    on conflict (name) do update set last_at = excluded.last_at
    where schedule.last_at = (select last from tick where tick.name = schedule.name)
    returning name
),
sent as (
    insert into message (mailbox, kind, payload, key)
    select mailbox, kind, payload, key from tick join taken using (name) where is_sent
    on conflict (mailbox, key) where key is not null do nothing
),
renewed as (
    update lease set expires_at = now() + make_interval(secs => $11) where name = $9 and owner = $10 returning true
)
select taken.name, now() as now, exists (select from renewed) as is_renewed from (select 1) as one left join taken on true
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
            with anyio.move_on_after(2, shield=True), contextlib.suppress(*TROUBLE):  # then it runs out by itself
                await lease.leave(self.db, "schedule", self.presence.id)

    async def send_due(self) -> int:
        """Send each entry whose time has come, without asking for the lease; returns how many were sent."""
        self._note(await self.db.fetch(LOOK))
        return await self._send_due()

    async def _round(self) -> float:
        """Returns the seconds until there is something to do again."""
        age = math.inf if self._seen is None else time.monotonic() - self._seen[1]
        if age >= RENEW:
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
        now, due = self._now(), dict[str, tuple[Every | Cron, Tick]]()
        for entry in self.entries:
            last = self._last.get(entry.name)
            if last is None or self._next[entry.name] <= now:
                tick = entry.tick(last, now)
                if tick:
                    due[entry.name] = entry, tick
        if not due:
            return 0
        taken = await self._take(list(due.values()))
        for name in taken:
            self._taken(*due[name])
        if len(taken) < len(due):
            self._seen = None  # somebody else was faster
        return sum(due[name][1].is_sent for name in taken)

    async def _take(self, due: Sequence[tuple[Every | Cron, Tick]]) -> list[str]:
        """Note the ticks, send their messages and renew the lease; returns the names of those that were ours to send."""
        ticks = [
            (entry.name, tick.at, self._last.get(entry.name), tick.is_sent, *_letter(entry)) for entry, tick in due
        ]
        rows = await self.db.fetch(TAKE, *map(list, zip(*ticks, strict=True)), "schedule", self.presence.id, TERM)
        if rows[0]["is_renewed"]:
            self._seen = rows[0]["now"], time.monotonic()
        return [row["name"] for row in rows if row["name"] is not None]

    def _taken(self, entry: Every | Cron, tick: Tick) -> None:
        is_first = entry.name not in self._last
        self._remember(entry, tick.at)
        if tick.is_sent:
            self._tell(entry.message.mailbox)
        elif not is_first:
            log.warning("tick_skipped", name=entry.name, at=tick.at.isoformat())

    def _tell(self, mailbox: str) -> None:
        """Whoever leads has the actor at home, most of the time: then nobody else need hear of it."""
        if not self.presence.lookout.tell(mailbox):
            self.db.tell(SENT, mailbox)

    def _now(self) -> datetime:
        """The database's time, as far as we know it: never ahead of it, for TAKE asks it again."""
        assert self._seen is not None
        seen, watch = self._seen
        return seen + timedelta(seconds=time.monotonic() - watch)

    def _pause(self, seen: datetime, watch: float) -> float:
        """Seconds until the next tick, or until the lease wants its next renewal."""
        ends = [(at - seen).total_seconds() for at in self._next.values()]
        return max(0.0, min([RENEW, *ends]) - (time.monotonic() - watch))


def _letter(entry: Every | Cron) -> tuple[str, str, dict[str, Any], str]:
    """Mailbox, kind, payload and key of its message."""
    message = entry.message
    return message.mailbox, type(message).__name__, message.payload(), f"schedule {entry.name}"
