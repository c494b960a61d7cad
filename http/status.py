"""The public status page: how the studio is doing, read from its real jobs at most once in a few seconds.

It answers 200 whatever the state, also when the records cannot be read: then it says that we do not know.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import asyncpg
from aiohttp import web

from limner.http import pages
from limner.runtime.database import TROUBLE, Database
from limner.runtime.log import logger
from limner.sql import status
from limner.sql.status import Hour, Part, Reading, State

log = logger(__name__)

FRESH = 5.0
"""Seconds for which everybody is told the same; who asks more often costs the database nothing."""
PATIENCE = 2.0
"""Seconds that the reading of the present may take, and so many that of the past."""
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
DAYS = 7


@dataclass(frozen=True)
class Bar:
    """What became of a stretch of time that began at ``at``: percent delivered, None when nothing ended in it."""

    at: datetime
    share: int | None


@dataclass(frozen=True)
class Board:
    """All that is told. Seconds are rounded, times are full minutes."""

    state: State
    at: datetime
    parts: dict[str, Part]
    troubles: list[str]
    last_delivered: datetime | None
    median_seconds: int | None
    share: int | None
    hours: list[Bar]
    days: list[Bar]


class Watch:
    """Reads at most once in FRESH seconds, failures included, and one reading at a time."""

    def __init__(self, db: Database, lease: float, *, fresh: float = FRESH) -> None:
        self._db = db
        self._lease = lease
        self._fresh = fresh
        self._board: Board | None = None
        self._read_at = 0.0
        self._reading = anyio.Lock()
        self._history = History(db)

    async def look(self) -> Board:
        """What there is to tell; what was told before, while somebody else reads."""
        if self._board is not None and (self._reading.locked() or time.monotonic() - self._read_at < self._fresh):
            return self._board
        async with self._reading:
            if self._board is None or time.monotonic() - self._read_at >= self._fresh:
                self._board = await self._read()
                self._read_at = time.monotonic()
        return self._board

    async def _read(self) -> Board:
        try:
            with anyio.fail_after(PATIENCE):
                reading = await status.read(self._db, self._lease)
            with anyio.move_on_after(PATIENCE):
                await self._history.catch_up(reading.now)
        except (*TROUBLE, asyncpg.PostgresError) as error:
            log.warning("status_unknown", error=str(error) or type(error).__name__)
            return self._told(None, datetime.now(UTC))
        return self._told(reading, reading.now)

    def _told(self, reading: Reading | None, now: datetime) -> Board:
        return Board(
            state="unknown" if reading is None else status.judge(reading),
            at=now,
            parts=status.parts(reading),
            troubles=[] if reading is None else status.troubles(reading),
            last_delivered=_last(reading),
            median_seconds=None if reading is None or reading.median is None else status.rounded(reading.median),
            share=None if reading is None else status.share(reading.delivered, reading.failed),
            hours=self._history.bars(now.replace(minute=0, second=0, microsecond=0), HOUR, 24),
            days=self._history.bars(_midnight(now), DAY, DAYS),
        )


class History:
    """The hours of the last days. The past does not change: what was read is kept, all but the last two hours."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._hours: dict[datetime, Hour] = {}
        self._since: datetime | None = None
        self._until: datetime | None = None

    async def catch_up(self, now: datetime) -> None:
        """Read what is missing, a day at a time, the latest first. May be cut short, and goes on the next time."""
        today = _midnight(now)
        first = today - (DAYS - 1) * DAY
        await self._load(self._until or today, now + HOUR)
        self._until = now.replace(minute=0, second=0, microsecond=0) - HOUR
        self._since = self._since or today
        while self._since > first:
            await self._load(self._since - DAY, self._since)
            self._since -= DAY
        self._hours = {at: hour for at, hour in self._hours.items() if at >= first}

    async def _load(self, since: datetime, until: datetime) -> None:
        self._hours.update({hour.at: hour for hour in await status.hours(self._db, since, until)})

    def bars(self, last: datetime, length: timedelta, count: int) -> list[Bar]:
        """So many, the one that begins at ``last`` at the end; none at all while some of that time was not read."""
        if self._since is None or self._since > last - (count - 1) * length:
            return []
        return [self._bar(last - back * length, length) for back in reversed(range(count))]

    def _bar(self, at: datetime, length: timedelta) -> Bar:
        within = [hour for hour in self._hours.values() if at <= hour.at < at + length]
        return Bar(at, status.share(sum(hour.delivered for hour in within), sum(hour.failed for hour in within)))


WATCH = web.AppKey("watch", Watch)


async def show(request: web.Request) -> web.Response:
    board = await request.app[WATCH].look()
    return _for_all(pages.render(request, "status.html", board=board, notice=None))


async def tell(request: web.Request) -> web.Response:
    """The same for programs."""
    board = await request.app[WATCH].look()
    return _for_all(web.json_response(_plain(board)))


def _for_all(response: web.Response) -> web.Response:
    response.headers["Cache-Control"] = f"public, max-age={FRESH:.0f}"
    return response


def _plain(board: Board) -> dict[str, Any]:
    return vars(board) | {
        "at": _moment(board.at),
        "last_delivered": board.last_delivered and _moment(board.last_delivered),
        "hours": [{"at": _moment(bar.at), "share": bar.share} for bar in board.hours],
        "days": [{"at": _moment(bar.at), "share": bar.share} for bar in board.days],
    }


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _last(reading: Reading | None) -> datetime | None:
    if reading is None or reading.delivered_ago is None:
        return None
    return (reading.now - timedelta(seconds=reading.delivered_ago)).replace(second=0, microsecond=0)
