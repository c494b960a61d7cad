"""Health: processes, schema, mailboxes, what was given up, the schedule, copies and disk; a dead letter is tried again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import CONFIG, DB, about, fresh, path_number, staff
from limner.runtime import build
from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.log import redact
from limner.sql import backups, crew, health, schema


@dataclass(frozen=True)
class Disk:
    """Room where something is kept, as far as this process sees it. Bytes."""

    names: str
    free: int
    size: int

    @property
    def share(self) -> int:
        """Per cent that are free."""
        return self.free * 100 // self.size if self.size else 0


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def retry(request: web.Request) -> web.StreamResponse:
    """Try a dead letter again, with fresh attempts."""
    fresh(request)
    letter, form = path_number(request), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=300, needed=True)
        await health.retry(request.app[DB], letter, reason, **about(request))
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other("/admin/health", "asked")


async def _page(request: web.Request, why: Refused | None = None) -> web.Response:
    db, config = request.app[DB], request.app[CONFIG]
    letters = await health.letters(db)
    return pages.render(
        request,
        "admin/health.html",
        why,
        processes=await health.processes(db, config.lease),
        boxes=await crew.depths(db),
        most=crew.MOST,
        letters=[(each, redact(each.reason)[:300]) for each in letters],
        rounds=await health.rounds(db),
        leases=await health.leases(db),
        copies=[(kind, await backups.latest(db, kind), await backups.last(db, kind)) for kind in ("backup", "drill")],
        disks=list(disks(config)),
        schema={"database": await schema.current(db), "here": schema.head(), "oldest": await health.oldest_image(db)},
        version=build.version(),
    )


def disks(config: Config) -> Iterator[Disk]:
    """One for each file system on which this process keeps something."""
    places: dict[str, Path] = {"data": config.data_dir}
    if config.storage == "folder":
        places["pictures"] = config.pictures_folder
    if not config.backup_s3_bucket:
        places["backups"] = config.backups_folder
    found: dict[int, list[str]] = {}
    there = {name: place for name, place in places.items() if place.is_dir()}
    for name, place in there.items():
        found.setdefault(place.stat().st_dev, []).append(name)
    for names in found.values():
        usage = shutil.disk_usage(there[names[0]])
        yield Disk(" and ".join(names), usage.free, usage.total)
