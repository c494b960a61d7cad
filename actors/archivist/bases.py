"""Bases: whole copies of the server's files, or what changed since the last one, from which its log is played on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from pydantic import BaseModel, ConfigDict, ValidationError

from limner.actors.archivist import manifest, snapshot, tools, wal
from limner.actors.archivist.records import noted, open_records
from limner.actors.archivist.tools import ToolFailed, Tools
from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say
from limner.sql import backups

CHAIN = 7
"""Bases that build on each other, the whole one among them."""
CHAINS = 2
"""Whole ones that are kept, with what builds on them, and the log from the older one on."""
ABOUT = """
select current_setting('server_version_num')::int as version, current_setting('summarize_wal', true) as summaries,
    (select system_identifier::text from pg_control_system()) as system
"""


class Base(BaseModel):
    """One base. ``parent``: the one that it builds on; "" for a whole one. ``segment``: where its log begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parent: str
    made_at: datetime
    system: str
    segment: str
    bytes: int


async def make(config: Config, say: Say, *, whole: bool = False) -> Base:
    """Copy the server's files, only what changed since the last base where that is possible. Raises LimnerError."""
    folder = bases_folder(config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_records(config) as db, snapshot.session(snapshot.direct(config)) as connection:
        await snapshot.lock(connection)
        await backups.end_cut_off(db, ("base",))
        for left in folder.glob("*.part"):
            shutil.rmtree(left)
        async with noted(db, "base", manifest.new_name(datetime.now(UTC))) as run:
            made = await _make(config, connection, run.name, say, whole=whole)
            run.bytes = made.bytes
    _prune(config, say)
    return made


def bases_folder(config: Config) -> Path:
    return config.pitr_base / "base"


def log_folder(config: Config) -> Path:
    return config.pitr_base / "wal"


def listing(config: Config) -> list[Base]:
    """All bases, the oldest first. Raises Refused when the note of one cannot be read."""
    found = []
    for path in sorted(bases_folder(config).glob("*.json")):
        try:
            found.append(Base.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise Refused(f"{path} cannot be read: {error.errors()[0]['msg']}; remove it, with its folder") from None
    return found


def chain(bases: Sequence[Base], last: Base) -> list[Base]:
    """The base and those that it builds on, the whole one first. Raises Refused when one is gone."""
    by_name = {base.name: base for base in bases}
    found = [last]
    while found[0].parent:
        if found[0].parent not in by_name:
            raise Refused(f"the base {found[0].name} builds on {found[0].parent}, which is gone")
        found.insert(0, by_name[found[0].parent])
    return found


def programs(config: Config, version: int) -> Tools:
    """Raises Refused unless they are of the server's major version, and no older."""
    found = tools.find(config)
    tools.check_against(found, version)
    if found.version[0] != version // 10000:
        raise Refused(
            f"{found.folder} has {found.words}, the server is {version // 10000}: set LIMNER_PG_BIN to its own"
        )
    return found


async def _make(
    config: Config, connection: asyncpg.Connection[asyncpg.Record], name: str, say: Say, *, whole: bool
) -> Base:
    about = await connection.fetchrow(ABOUT)
    assert about is not None
    found = programs(config, about["version"])
    parent = None if whole or about["summaries"] != "on" else _parent(listing(config), about["system"])
    part = bases_folder(config) / f"{name}.part"
    try:
        await _copy(config, found, part, parent)
    except ToolFailed as why:  # the parent is damaged, or the summaries since then are gone
        if parent is None:
            raise
        say(Line("pitr.whole", "warn", f"it could not build on {parent.name}: {why}", "look at that one, if it lasts"))
        parent = None
        await _copy(config, found, part, parent)
    base = Base(
        name=name, parent=parent.name if parent else "", made_at=await connection.fetchval("select clock_timestamp()"),
        system=about["system"], segment=_first_segment(part), bytes=_size(part),
    )  # fmt: skip
    part.rename(bases_folder(config) / name)
    wal.write_durably(bases_folder(config) / f"{name}.json", base.model_dump_json(indent=2).encode())
    kind = f"what changed since {parent.name}" if parent else "whole"
    say(Line("pitr.base", "ok", f"{name}, {kind}: {base.bytes:,} bytes, verified"))
    return base


async def _copy(config: Config, found: Tools, part: Path, parent: Base | None) -> None:
    """A verified copy, or none."""
    since = [f"--incremental={bases_folder(config) / parent.name / 'backup_manifest'}"] if parent else []
    try:
        await found.base(snapshot.direct(config), part, *since)
        await found.run("pg_verifybackup", "--quiet", str(part))
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _parent(bases: Sequence[Base], system: str) -> Base | None:
    """The last base of this server, unless its chain is long enough."""
    mine = [base for base in bases if base.system == system]
    return mine[-1] if mine and len(chain(bases, mine[-1])) < CHAIN else None


def _prune(config: Config, say: Say) -> None:
    bases = listing(config)
    whole = [base for base in bases if not base.parent]
    if len(whole) <= CHAINS:
        return
    first = whole[-CHAINS]
    doomed = [base for base in bases if base.made_at < first.made_at]
    for base in reversed(doomed):  # never one that another builds on
        (bases_folder(config) / f"{base.name}.json").unlink()
        shutil.rmtree(bases_folder(config) / base.name)
    count = wal.prune(log_folder(config), first.segment)
    say(Line("pitr.keeping", "ok", f"{len(doomed)} old bases and {count} segments of the log went"))


def _first_segment(folder: Path) -> str:
    label = (folder / "backup_label").read_text()
    found = re.search(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$", label, re.M)
    if not found:
        raise Refused(f"{folder / 'backup_label'} does not say where its log begins")
    return found[1]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
