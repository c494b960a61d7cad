"""Which backups stay: the newest of so many days, weeks and months; the rest goes, and what only it needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from limner.actors.archivist import inventory, manifest
from limner.actors.archivist.manifest import MANIFEST
from limner.actors.archivist.target import Damaged, Target
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.runtime.report import Line, Say
from limner.sql import backups

RECENT = timedelta(days=1)
"""Before the newest: a backup made before an upgrade outlives the evening."""
PERIODS: tuple[Callable[[datetime], tuple[int, ...]], ...] = (
    lambda at: (at.year, at.month, at.day),
    lambda at: at.isocalendar()[:2],
    lambda at: (at.year, at.month),
)
"""What makes two backups of one day, of one week, of one month."""


@dataclass(frozen=True)
class Shown:
    """A backup in the target. ``trouble``: why its manifest cannot be read. ``drilled_at``: None when it never was."""

    name: str
    made_at: datetime
    bytes: int
    objects: int
    verified_at: datetime | None
    drilled_at: datetime | None
    trouble: str = ""


def kept(names: Iterable[str], counts: tuple[int, int, int]) -> set[str]:
    """The newest of each of the last days, weeks and months that have a backup; all of the last one's 24 hours anyway."""
    newest_first = sorted(names, reverse=True)
    found = {name for name in newest_first if manifest.time_of(newest_first[0]) - manifest.time_of(name) < RECENT}
    for period, count in zip(PERIODS, counts, strict=True):
        seen: dict[tuple[int, ...], str] = {}
        for name in newest_first:
            seen.setdefault(period(manifest.time_of(name)), name)
        found |= set(list(seen.values())[:count])
    return found


async def prune(config: Config, target: Target, db: Db, say: Say) -> None:
    """Let go of old backups, then of objects that no other one names. Only for whoever holds the archivist's lock.

    The newest one that a drill has proved stays as well.
    """
    names = await manifest.names(target)
    drilled = await backups.drilled(db)
    proved = [name for name in names if name in drilled][-1:]
    doomed = sorted(set(names) - kept(names, config.backups_kept) - set(proved))
    for name in doomed:
        await remove(target, name)
    dropped = await _prune_objects(target, [name for name in names if name not in doomed], say) if doomed else 0
    say(Line("backup.keeping", "ok", f"{len(names) - len(doomed)} backups are kept; {len(doomed)} old ones went, "
        f"and {dropped} objects that only they needed"))  # fmt: skip


async def sweep(target: Target) -> None:
    """Remove the beginnings of backups whose maker died. Only for whoever holds the archivist's lock."""
    await target.sweep()
    for name in [name async for name, is_whole in manifest.folders(target) if not is_whole]:
        await remove(target, name)


async def remove(target: Target, name: str) -> None:
    """The manifest first: without one there is no backup, so there is never half of one."""
    await target.delete(f"{name}/{MANIFEST}")
    for path in [path async for path, _ in target.list(f"{name}/")]:
        await target.delete(path)


async def listing(target: Target, db: Db | None) -> list[Shown]:
    """All backups, the newest first."""
    drilled = await backups.drilled(db) if db else {}
    return [await _show(target, name, drilled) for name in reversed(await manifest.names(target))]


async def _prune_objects(target: Target, names: Iterable[str], say: Say) -> int:
    needed: set[str] = set()
    try:
        for name in names:
            needed |= {entry.key for entry in await inventory.read(target, await manifest.read(target, name))}
    except (Damaged, NotFound) as why:
        fix = "look at it with `limner drill NAME`, and remove its folder when it is worthless"
        say(Line("backup.objects", "warn", f"no object was let go, as nobody knows which are needed: {why}", fix))
        return 0
    doomed = [key for key in await inventory.sizes(target) if key not in needed]
    for key in doomed:
        await target.delete(inventory.OBJECTS + key)
    return len(doomed)


async def _show(target: Target, name: str, drilled: dict[str, datetime]) -> Shown:
    try:
        found = await manifest.read(target, name)
    except Damaged as why:
        return Shown(name, manifest.time_of(name), 0, 0, None, drilled.get(name), str(why))
    return Shown(name, found.made_at, found.size, found.pictures.kept, found.verified_at, drilled.get(name))
