"""What `limner backup, backups, restore, drill` call: the work, with its failures as lines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limner.actors.archivist import bases, keeping, moment, restore
from limner.actors.archivist import drill as drills
from limner.actors.archivist.backup import make
from limner.actors.archivist.keeping import Shown
from limner.actors.archivist.records import open_records
from limner.actors.archivist.target import open_target
from limner.runtime.config import Config
from limner.runtime.errors import LimnerError
from limner.runtime.report import Line, Say


async def backup(config: Config, say: Say) -> None:
    """Make a backup."""
    async with _failing("backup", say, "what was there before is as it was; make another when the cause is gone"):
        await make(config, say)


async def put_back(config: Config, name: str, say: Say, *, without_pictures: bool = False) -> None:
    """Restore a backup."""
    async with _failing("restore", say, "the database is as it was before"):
        await restore.put_back(config, name, say, without_pictures=without_pictures)


async def drill(config: Config, name: str, say: Say) -> None:
    """Try a backup out."""
    async with _failing("drill", say, "do not count on this backup: see why, and make another with `limner backup`"):
        await drills.run(config, name, say)


async def base(config: Config, say: Say, *, whole: bool = False) -> None:
    """Make a base for recoveries to a moment."""
    async with _failing("pitr", say, "there is no new base; those from before are as they were"):
        await bases.make(config, say, whole=whole)


async def check(config: Config, say: Say) -> None:
    """See whether a recovery to a moment would be possible."""
    async with _failing("pitr", say, ""):
        await moment.check(config, say)


async def recover(config: Config, to: datetime, into: Path, say: Say) -> None:
    """Make the server's files as they were at a moment."""
    async with _failing("pitr", say, "no server and no base was touched"):
        await moment.restore(config, to, into, say)


async def listing(config: Config) -> list[Shown]:
    """All backups, the newest first. Without the database nobody knows which of them were drilled."""
    async with open_target(config) as target:
        try:
            async with open_records(config) as db:
                return await keeping.listing(target, db)
        except LimnerError:
            return await keeping.listing(target, None)


def data(shown: Shown) -> dict[str, Any]:
    """Fit for JSON; times in ISO 8601."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(shown).items()
    } | {"age": round((datetime.now(UTC) - shown.made_at).total_seconds())}


def line(shown: Shown) -> str:
    """For people, such as "20261123-031700-1a2b3c    4 h old    12.4 MB  320 objects  verified  drilled"."""
    if shown.trouble:
        return f"{shown.name}  WORTHLESS: {shown.trouble}"
    hours = (datetime.now(UTC) - shown.made_at).total_seconds() / 3600
    age = f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
    drilled = f"drilled {shown.drilled_at:%Y-%m-%d}" if shown.drilled_at else "never drilled"
    return (
        f"{shown.name}  {age:>8} old  {shown.bytes / 1e6:>9,.1f} MB  {shown.objects:>7,} objects  verified  {drilled}"
    )


@contextlib.asynccontextmanager
async def _failing(code: str, say: Say, fix: str) -> AsyncIterator[None]:
    """What Limner foresaw, and what the disk refuses, is a line that failed."""
    try:
        yield
    except (LimnerError, OSError) as error:
        say(Line(code, "fail", " ".join(str(error).split()) or type(error).__name__, fix))
