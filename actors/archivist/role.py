"""The archivist role: a backup every day and a drill every week, at the hours that the settings say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio

from limner.actors.archivist import backup, drill, snapshot
from limner.runtime import metrics
from limner.runtime.config import Config
from limner.runtime.cron import Calendar
from limner.runtime.database import Database
from limner.runtime.errors import LimnerError
from limner.runtime.log import logger
from limner.runtime.opening import open_for
from limner.runtime.report import WEIGHT, Line, Say
from limner.runtime.supervisor import Child, CrashStorm, Supervisor, supervise
from limner.sql import backups, vaults
from limner.sql.backups import Kind, Run

log = logger(__name__)

LOOK_EVERY = 20.0
"""Seconds between two looks at what is due."""
RETRY = timedelta(hours=1)
"""After a failure."""


@dataclass(frozen=True)
class Duty:
    """Something done at the ticks of a calendar; a missed tick is made up for."""

    kind: Kind
    calendar: Calendar
    work: Callable[[Say], Awaitable[object]]

    def is_due(self, good: Run | None, last: Run | None, now: datetime, wished: datetime | None = None) -> bool:
        """``good``: the last run that went well; ``last``: the last one, however it went; ``wished``: somebody asked."""
        if wished is not None and (last is None or last.started_at < wished):
            return True
        tick = self.calendar.latest(now, UTC)
        if good is not None and good.started_at >= tick:
            return False
        return last is None or last.started_at < tick or (last.state == "failed" and last.started_at <= now - RETRY)


class Archivist:
    """Looks for what is due, and does it, one thing at a time."""

    def __init__(self, db: Database, config: Config) -> None:
        self.db = db
        self.config = config
        self.doing = ""
        self.duties = (
            Duty("backup", Calendar.parse(config.backup_at), partial(backup.make, config)),
            Duty("drill", Calendar.parse(config.backup_drill_at), partial(drill.run, config, "latest")),
        )

    def about(self) -> dict[str, object]:
        return {"doing": self.doing}

    async def run(self) -> None:
        while True:
            for duty in self.duties:
                await self._see_to(duty)
            await anyio.sleep(LOOK_EVERY)

    async def _see_to(self, duty: Duty) -> None:
        try:
            if await self._is_due(duty):
                self.doing = duty.kind
                await duty.work(_log)
        except snapshot.Occupied as why:
            log.info("archivist_waits", kind=duty.kind, why=str(why))
        except LimnerError as why:  # its row says so too: it is tried again later
            log.error("archivist_failed", kind=duty.kind, why=str(why))
        finally:
            self.doing = ""

    async def _is_due(self, duty: Duty) -> bool:
        last = await backups.last(self.db, duty.kind)
        if last is not None and last.state == "running":
            await self._end_cut_off()
            last = await backups.last(self.db, duty.kind)
        wished = await backups.wished(self.db, duty.kind)
        return duty.is_due(await backups.latest(self.db, duty.kind), last, await backups.now(self.db), wished)

    async def _end_cut_off(self) -> None:
        """Whoever was at it has died, or holds the lock. Raises Occupied."""
        async with snapshot.session(snapshot.direct(self.config)) as connection:
            await snapshot.lock(connection)
            await backups.end_cut_off(self.db, ("backup", "drill"))


async def run(config: Config) -> int:
    """Work until told to stop. Returns the exit code."""
    async with open_for(config, "archivist", pool=3) as db:
        presence = await vaults.enlist(db, config, "archivist")
        archivist = Archivist(db, config)
        supervisor = Supervisor([
            Child("presence", presence.run),
            Child("metrics", partial(metrics.serve, config, metrics.Metrics(lambda: supervisor.report()))),
            Child("archivist", archivist.run, about=archivist.about),
        ])  # fmt: skip
        presence.children = supervisor.report
        await presence.beat()
        plan = {"backup_at": config.backup_at, "drill_at": config.backup_drill_at}
        try:
            await supervise(supervisor, lambda: log.info("archivist_ready", id=str(presence.id), **plan))
        except CrashStorm as storm:
            log.error("archivist_gives_up", why=str(storm))
            return 1
        finally:
            await presence.leave()
        return 0


def _log(line: Line) -> None:
    (log.warning if WEIGHT[line.state] else log.info)("archivist", code=line.code, state=line.state, words=line.words)
