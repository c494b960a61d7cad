"""Rollback: an earlier image set into service again, as far as the schema still takes it."""

from __future__ import annotations

from pathlib import Path

from limner.actors.shipwright import preflight, releases
from limner.actors.shipwright.deployment import Deployment, deployment
from limner.actors.shipwright.fleet import Broken, Fleet, Images, open_fleet
from limner.actors.shipwright.releases import Book, Release
from limner.actors.shipwright.telling import told
from limner.actors.shipwright.voyage import HEALTHY_WITHIN, QUICK_GRACE, Voyage
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say


async def rollback(folder: Path, to: int | None, say: Say, *, healthy_within: float = HEALTHY_WITHIN) -> None:
    """Put the former set into service again, or set ``to``. The schema stays. Raises Refused, with what to do instead."""
    with told(say, "rollback.failed") as say:
        fleet = open_fleet(folder)
        say(Line("rollback.fleet", "ok", await fleet.check()))
        now, book = await fleet.now(), releases.read(fleet.folder)
        guards = [now, *([book.before.images] if book.before else [])]
        async with deployment(fleet, f"rollback{f' to set {to}' if to else ''}", guards, say) as right:
            release = book.find(to) if to is not None else await _former(book, fleet, right, now)
            voyage = Voyage(fleet, right, book, say, healthy_within)
            async with voyage.recorded("release.rolled_back", release.images):
                await _may_return(fleet, release, book, now, say)
                await fleet.resolve(release.images)
                now = await _lasting(fleet, now)
                await voyage.sail(release.images, now, _in_haste(await fleet.roles()), grace=QUICK_GRACE)
                book.put_back(release)
                say(Line("rollback.recorded", "ok", f"{release} is in service"))


def _in_haste(roles: list[str]) -> list[list[str]]:
    """One web after the other, then all others at once: nobody waits for those."""
    rest = [role for role in roles if not role.startswith("web")]
    return [*([role] for role in roles if role.startswith("web")), *([rest] if rest else [])]


async def _former(book: Book, fleet: Fleet, right: Deployment, now: Images) -> Release:
    """The set before the recorded one; the recorded one itself when that is not what runs. Raises Refused."""
    strayed = right.left_over or (book.in_service and book.in_service.images not in (now, await _lasting(fleet, now)))
    found = book.in_service if strayed else book.before
    if found is None:
        raise Refused("there is no former set: nothing was upgraded here yet; `limner releases` shows what is recorded")
    return found


async def _lasting(fleet: Fleet, now: Images) -> Images:
    try:
        return await fleet.resolve(now)
    except Refused:  # gone: no reason to stay with it
        return now


async def _may_return(fleet: Fleet, release: Release, book: Book, now: Images, say: Say) -> None:
    """Raises Refused when the schema has moved on too far for the set."""
    seen = await _seen(fleet, now, say)
    if seen is None or seen.found["database"] is None or seen.schema is None:
        say(Line("rollback.window", "warn", "the database cannot be asked whether it takes the former set: trying"))
        return
    bound, head = int(seen.found["database"]["oldest_image"]), release.head
    if head is None:
        say(Line("rollback.window", "warn", f"which schema {release} carries is not recorded: trying"))
    elif head >= seen.schema or head >= bound:
        say(Line("rollback.window", "ok", f"schema {seen.schema} takes images from {bound} on; {release} has {head}"))
    else:
        window = f"{release} carries schema {head}, and schema {seen.schema} takes images from {bound} on"
        raise Refused(f"{window}. {_by_backup(fleet, await fleet.roles(), release, book, now)}", code="window")


async def _seen(fleet: Fleet, now: Images, say: Say) -> preflight.Look | None:
    try:
        return await preflight.look(fleet, now)
    except Broken as why:
        say(Line("rollback.look", "warn", str(why)))
        return None


def _by_backup(fleet: Fleet, roles: list[str], release: Release, book: Book, now: Images) -> str:
    backup = book.backup_after(release)
    if not backup:
        return "No backup from before is recorded here; `limner backups` lists all that there are"
    return (
        "The way back is the backup from before; what was written since is lost on it:\n"
        f"  {fleet.stop_words(roles)}\n"
        f"  {fleet.words('restore', backup, '--yes', images=now)}\n"
        f"  limner rollback --to {release.number}"
    )
