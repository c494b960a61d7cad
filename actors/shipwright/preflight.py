"""Preflight: the target image looks at the live database and settings, and we say what would become of an upgrade."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.actors.shipwright.fleet import Broken, Fleet, Images, open_fleet
from limner.actors.shipwright.telling import told
from limner.runtime.report import Line, Say
from limner.sql.locks import Step

LOOK_WITHIN = 90.0
BIG = 100 * 2**20
"""Bytes. Reading or writing a smaller table whole is over before anybody notices."""


@dataclass(frozen=True)
class Look:
    """What an image said of itself and of what it found; see inspection.look."""

    images: Images
    found: dict[str, Any]

    @property
    def head(self) -> int:
        return int(self.found["head"])

    @property
    def schema(self) -> int | None:
        database = self.found["database"]
        return int(database["schema"]) if database else None

    @property
    def bound(self) -> int:
        """The oldest head that may run once all is applied."""
        database, pending = self.found["database"], self.found.get("pending", [])
        return max([each["bound"] or 0 for each in pending] + [database["oldest_image"] if database else 0])


async def preflight(folder: Path, image: str, ops: str, say: Say) -> None:
    """Look, and say. Raises Refused for an image or an installation that is not there."""
    with told(say, "preflight.failed") as say:
        fleet = open_fleet(folder)
        say(Line("preflight.fleet", "ok", await fleet.check()))
        now = await fleet.resolve(await fleet.now())
        images = await fleet.resolve(Images(image, ops or now.ops))
        for line in await inspect(fleet, images, now):
            say(line)


async def inspect(fleet: Fleet, images: Images, now: Images) -> list[Line]:
    """The lines about going from one set to another. Raises Broken when the target cannot even look."""
    seen = await look(fleet, images)
    database = seen.found["database"]
    free = await fleet.free_space(database["folder"] if database else "")
    return [*judge(seen, await fleet.head(now), free), *_ops(images, now)]


def _ops(images: Images, now: Images) -> Iterator[Line]:
    if now.ops and images.ops == now.ops and images.app != now.app:
        yield Line("preflight.ops", "warn", f"the archivist stays at {now.ops}", "--ops-image names its new one")


async def look(fleet: Fleet, images: Images) -> Look:
    """Raises Broken when the image does not get so far."""
    done = await fleet.run(images, ["preflight-here"], LOOK_WITHIN)
    try:
        return Look(images, json.loads(done.out.strip().splitlines()[-1]))
    except (IndexError, ValueError):
        raise Broken(
            f"{images.app} does not run: `limner preflight-here` in it ended with {done.code}", done.said
        ) from None


def judge(seen: Look, head_now: int | None, free: int | None) -> Iterator[Line]:
    """``head_now``: that of the image that runs; ``free``: bytes where the database lies; None for unknown."""
    found = seen.found
    yield Line("preflight.image", "ok", f"{seen.images} runs; it carries schema {seen.head}")
    yield from _settings(found["mistakes"])
    if found["database"] is None:
        if not found["mistakes"]:
            yield Line("preflight.database", "fail", found["trouble"], "see to the database first: limner doctor")
        return
    yield from _path(seen)
    if seen.schema is not None and seen.head >= seen.schema:
        yield from _way_back(seen, head_now)
        yield from _pending(found["pending"], found["sizes"])
        yield _disk(found["pending"], found["sizes"], free)
    yield _client(found["client"], int(found["database"]["version"]))


def _settings(mistakes: Iterable[str]) -> Iterator[Line]:
    lines = [Line("preflight.settings", "fail", mistake, "set it in .env or secrets/") for mistake in mistakes]
    yield from lines or [Line("preflight.settings", "ok", "the target takes the present settings as they are")]


def _path(seen: Look) -> Iterator[Line]:
    there, bound = seen.schema or 0, int(seen.found["database"]["oldest_image"])
    if seen.head >= there:
        yield Line("preflight.path", "ok", f"schema {there} → {seen.head}")
    elif seen.head >= bound:
        yield Line(
            "preflight.path", "ok", f"schema {there} stays; it takes images from {bound} on, this one has {seen.head}"
        )
    else:
        words = f"the database is at schema {there} and takes images from {bound} on; this one carries {seen.head}"
        yield Line(
            "preflight.path", "fail", words, "choose a newer image, or restore the backup from before the upgrade"
        )


def _way_back(seen: Look, head_now: int | None) -> Iterator[Line]:
    if head_now is None:
        yield Line("preflight.way_back", "warn", "which schema the image that runs now carries cannot be told")
    elif head_now >= seen.bound:
        yield Line(
            "preflight.way_back", "ok", f"what runs now (schema {head_now}) runs on it too: rolling back stays possible"
        )
    else:
        words = (
            f"what runs now (schema {head_now}) does not run on it: from {seen.bound} on. The way back is the backup"
        )
        yield Line("preflight.way_back", "warn", words, f"upgrade to a release with schema {seen.bound} in between")


def _pending(pending: list[dict[str, Any]], sizes: dict[str, Any]) -> Iterator[Line]:
    if not pending:
        yield Line("preflight.pending", "ok", "no migration is pending")
    for each in pending:
        steps = [Step(**step) for step in each["steps"]]
        grave = [step for step in steps if _is_grave(step, sizes)]
        words = "; ".join(dict.fromkeys(_words(step, sizes) for step in grave or steps if step.stops)) or "nobody waits"
        advice = "choose a quiet hour: who needs the table waits that long" if grave else ""
        yield Line("preflight.pending", "warn" if grave else "ok", f"{each['name']}: {words}", advice)


def _is_grave(step: Step, sizes: dict[str, Any]) -> bool:
    big = sizes.get(step.table, {"bytes": 0})["bytes"] >= BIG
    return step.lock == "unknown" or (bool(step.stops) and (step.scans or step.rewrites) and big)


def _words(step: Step, sizes: dict[str, Any]) -> str:
    if step.lock == "unknown":
        return f"unknown locks: {step.words}"
    size = sizes.get(step.table)
    about = f" ({_rows(size['rows'])}, {_megabytes(size['bytes'])})" if size else ""
    how = (
        " while all of it is written anew"
        if step.rewrites
        else " while all of it is read"
        if step.scans
        else " for a moment"
    )
    return f"{step.lock} on {step.table}{about}: {step.stops} wait{how}"


def _disk(pending: list[dict[str, Any]], sizes: dict[str, Any], free: int | None) -> Line:
    written = {step["table"] for each in pending for step in each["steps"] if step["rewrites"]}
    largest = max((sizes[table]["bytes"] for table in written if table in sizes), default=0)
    if not largest:
        return Line("preflight.disk", "ok", "no table is written anew")
    needed = f"{_megabytes(2 * largest)} are needed: twice the largest table that is written anew"
    if free is None:
        return Line("preflight.disk", "warn", f"how much is free where the database lies cannot be told; {needed}")
    words = f"{_megabytes(free)} are free; {needed}"
    enough = free >= 2 * largest
    return Line("preflight.disk", "ok", words) if enough else Line("preflight.disk", "fail", words, "make room")


def _client(client: str, server: int) -> Line:
    there = f"{server // 10000}.{server % 10000}"
    if not client:
        return Line("preflight.client", "skip", f"no pg_dump in this image; the server is PostgreSQL {there}")
    if int(client.split(".")[0]) < server // 10000:
        return Line(
            "preflight.client", "fail", f"pg_dump {client} cannot back up PostgreSQL {there}", "take a newer image"
        )
    return Line("preflight.client", "ok", f"pg_dump {client}, server {there}")


def _rows(rows: int | None) -> str:
    return "rows never counted" if rows is None else f"about {rows:,} rows"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB" if size < 2**30 else f"{size / 2**30:,.1f} GB"
