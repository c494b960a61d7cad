"""Health: processes, schema, mailboxes, what was given up, the schedule, copies and disk; a dead letter is tried again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import lists
from limner.http.state import CONFIG, DB, about, fresh, path_id, path_number, staff
from limner.runtime import build, presence
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import redact
from limner.sql import audit, backups, crew, glance, health, schema


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


async def back_up(request: web.Request) -> web.StreamResponse:
    """Have the archivist make a backup at its next look."""
    fresh(request)
    form = await forms.read(request)
    try:
        if not await _has_archivist(request):
            raise Refused("No archivist runs, which makes the backups: start one, or run limner backup on the server.")
        reason = sure.asked(form, "Make a backup now", effect="It begins within a minute.", back="/admin/health")
        async with sure.once(request, form) as tx:
            await backups.wish(tx, "backup", reason=reason, **about(request))
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other("/admin/health", "asked")


async def _has_archivist(request: web.Request) -> bool:
    alive = await glance.processes(request.app[DB], request.app[CONFIG].lease)
    return any(each.role == "archivist" for each in alive)


async def pause(request: web.Request) -> web.StreamResponse:
    """Have a worker take nothing new, or go on; it hears of it with its next heartbeat."""
    fresh(request)
    worker, form = path_id(request), await forms.read(request)
    try:
        paused = bool(forms.whole(form, "paused", least=0, most=1))
        alive = await glance.processes(request.app[DB], request.app[CONFIG].lease)
        process = next((each for each in alive if each.id == str(worker) and each.role == "worker"), None)
        if process is None:
            raise NotFound("There is no such worker any more.")
        act = f"{'Drain' if paused else 'Resume'} the worker on {process.host}"
        effect = "It finishes what it has in hand, and takes nothing new." if paused else "It takes part again."
        was, will = {"takes nothing new": process.paused}, {"takes nothing new": paused}
        reason = sure.asked(form, act, was, will, effect=effect, back="/admin/health", grave=paused)
        who = about(request)
        subject, before = f"worker {process.id} on {process.host}", {"paused": process.paused}
        async with sure.once(request, form) as tx:
            await presence.pause(tx, process.id, paused=paused)
            await audit.record(
                tx, who["actor"], "worker.pause", subject, before, {"paused": paused}, reason=reason, ip=who["ip"]
            )
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other("/admin/health", "asked")


async def _page(request: web.Request, why: Refused | None = None) -> web.Response:
    db, config = request.app[DB], request.app[CONFIG]
    asked = lists.Asked("/admin/health", (), {}, forms.clean(request.query.get("before", "")))
    letters = await health.letters(db, asked.entry, lists.PAGE + 1)
    found = lists.cut(letters, lists.PAGE, lambda each: f"{each.died_at.isoformat()}~{each.id}")
    return pages.render(
        request,
        "admin/health.html",
        why,
        processes=await health.processes(db, config.lease),
        boxes=await crew.depths(db),
        most=crew.MOST,
        letters=[(each, redact(each.reason)[:300]) for each in found.rows],
        list=lists.Shown(asked, found),
        rounds=await health.rounds(db),
        leases=await health.leases(db),
        copies=[(kind, await backups.latest(db, kind), await backups.last(db, kind)) for kind in ("backup", "drill")],
        backup_wished=await _wished(db),
        has_archivist=await _has_archivist(request),
        disks=list(disks(config)),
        schema={"database": await schema.current(db), "here": schema.head(), "oldest": await health.oldest_image(db)},
        version=build.version(),
    )


async def _wished(db: Database) -> datetime | None:
    """When a backup was asked for that has not begun."""
    wished, last = await backups.wished(db, "backup"), await backups.last(db, "backup")
    return wished if wished and (last is None or last.started_at < wished) else None


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
