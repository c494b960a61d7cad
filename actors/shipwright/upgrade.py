"""Upgrade: one image set in the place of another, role by role, and all as before when the new one is not sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limner.actors.shipwright import preflight, releases
from limner.actors.shipwright.deployment import deployment
from limner.actors.shipwright.fleet import Broken, Fleet, Images, open_fleet
from limner.actors.shipwright.releases import Book
from limner.actors.shipwright.telling import told
from limner.actors.shipwright.voyage import HEALTHY_WITHIN, Voyage
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say, verdict

Agree = Callable[[list[Line]], bool]
"""Whether to go on, given what the preflight said."""


async def upgrade(
    folder: Path, image: str, ops: str, say: Say, agree: Agree, *, healthy_within: float = HEALTHY_WITHIN
) -> None:
    """Replace what runs by this image. When something fails, all roles run the former set again, and a line says so.

    ``ops``: the archivist's image; "" keeps the one that it has. Raises Refused before anything was changed.
    """
    with told(say, "upgrade.failed") as say:
        fleet = open_fleet(folder)
        say(Line("upgrade.fleet", "ok", await fleet.check()))
        now = await fleet.resolve(await fleet.now())
        target = await fleet.resolve(Images(image, ops or now.ops))
        async with deployment(fleet, f"upgrade to {target}", [target, now], say) as right:
            book = releases.read(fleet.folder)
            if right.left_over and book.in_service:  # what runs is neither one nor the other
                now = book.in_service.images
            book = await _with(book, fleet, now, right.who)
            voyage = Voyage(fleet, right, book, say, healthy_within)
            async with voyage.recorded("release.upgraded", target):
                await _look_ahead(fleet, target, now, say, agree)
                voyage.backup = await voyage.save(now)
                await voyage.migrate(target)
                await voyage.rehearse(target)
                await voyage.sail(target, now, await _roles(fleet, target, now))
                book = await _with(book, fleet, target, right.who, voyage.backup)
                say(Line("upgrade.recorded", "ok", f"{book.in_service} is in service; the way back: limner rollback"))


async def _look_ahead(fleet: Fleet, target: Images, now: Images, say: Say, agree: Agree) -> None:
    """Raises Broken when the preflight fails, Refused when the operator does not agree with it."""
    lines = await preflight.inspect(fleet, target, now)
    for line in lines:
        say(line)
    if verdict(lines) > 1:
        raise Broken("the preflight failed, so nothing was changed")
    if not agree(lines):
        raise Refused("not confirmed, so nothing was changed")


async def _roles(fleet: Fleet, target: Images, now: Images) -> list[list[str]]:
    """One after the other; an archivist whose image stays the same stays as it is."""
    return [[role] for role in await fleet.roles() if role != "archivist" or target.ops != now.ops]


async def _with(book: Book, fleet: Fleet, images: Images, who: str, backup: str = "") -> Book:
    """With these images in service. What runs at first may be new to it: the book is empty, or somebody pinned by hand."""
    if book.in_service is not None and book.in_service.images == images:
        return book
    return book.take(images, await fleet.head(images), who, backup)
