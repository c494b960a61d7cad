"""`limner backup`: the database at one moment, the pictures that it names, and the manifest that pairs them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import asyncpg

from limner.actors.archivist import aftermath, inventory, keeping, manifest, pictures, snapshot, vaults
from limner.actors.archivist.inventory import Entry
from limner.actors.archivist.manifest import AUDIT_HEAD, DUMP, INVENTORY, Limner, Manifest, Part, Pictures, Server
from limner.actors.archivist.records import noted, open_records
from limner.actors.archivist.snapshot import Moment
from limner.actors.archivist.target import Damaged, Target, Written, check, checked, in_pieces, open_target
from limner.actors.archivist.tools import Tools
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy, NotFound, Refused
from limner.runtime.report import Line, Say
from limner.sql import backups

OPTIONS = ("--format=custom", "--no-unlogged-table-data", "--lock-wait-timeout=60s")
SMALLEST = 10_000
"""Bytes: less than the schema alone takes."""
SHOWN = 5
"""Keys of missing pictures that are named."""


async def make(config: Config, say: Say) -> Manifest:
    """Make one backup, look it over, let go of old ones. Raises LimnerError, and then there is no half one."""
    async with open_records(config) as db, snapshot.session(snapshot.direct(config)) as connection:
        await snapshot.lock(connection)
        await backups.end_cut_off(db, ("backup", "drill"))
        async with noted(db, "backup", manifest.new_name(datetime.now(UTC))) as run, open_target(config) as target:
            await keeping.sweep(target)
            try:
                made = await _make(config, target, db, connection, run.name, say)
            except BaseException:
                await _clear(target, run.name)
                raise
            run.bytes = made.size
        async with open_target(config) as target:
            await keeping.prune(config, target, db, say)
    await aftermath.run(config, made.name, say)
    return made


async def _make(
    config: Config, target: Target, db: Database, connection: asyncpg.Connection[asyncpg.Record], name: str, say: Say
) -> Manifest:
    began = time.monotonic()
    known = await _known(target)
    async with snapshot.held(connection) as moment:
        tools, keys = snapshot.tools_for(config, moment), vaults.describe(config, moment.sealed)
        dump = await _dump(tools, snapshot.direct(config), moment, target, name)
    await _check_dump(tools, target, name, dump, moment.tables)
    say(Line("backup.database", "ok", f"{dump.bytes:,} bytes, {sum(moment.tables.values()):,} rows of "
        f"{len(moment.tables)} tables, read back"))  # fmt: skip
    async with pictures.reading(config) as storage:
        entries = await pictures.copy(moment.named, storage, target, db, known, moment.at.toordinal())
    _check_any(config, entries)
    listed = await target.write(f"{name}/{INVENTORY}", inventory.encode(entries))
    await check(target, f"{name}/{INVENTORY}", listed.bytes, listed.sha256)
    made = Manifest(
        format=manifest.FORMAT, name=name, made_at=moment.at, verified_at=datetime.now(UTC),
        seconds=round(time.monotonic() - began, 3), limner=_limner(moment), server=_server(moment, tools),
        vault=keys, tables=moment.tables, dump=Part.of(dump), pictures=_pictures(listed, entries),
    )  # fmt: skip
    if moment.audit_head:
        await target.write(f"{name}/{AUDIT_HEAD}", in_pieces(f"{moment.audit_head}\n".encode()))
    await manifest.write(target, made)
    if await manifest.read(target, name) != made:
        raise Damaged(f"{name}: the manifest came back changed")
    _tell(made, entries, target, say)
    return made


async def _dump(tools: Tools, dsn: str, moment: Moment, target: Target, name: str) -> Written:
    async with tools.dumping(dsn, *OPTIONS, f"--snapshot={moment.exported}") as chunks:
        return await target.write(f"{name}/{DUMP}", chunks)


async def _check_dump(tools: Tools, target: Target, name: str, dump: Written, tables: dict[str, int]) -> None:
    """Raises Damaged when it is not what was written, too small, or lacks a table; ToolFailed when it is no dump."""
    path = f"{name}/{DUMP}"
    if dump.bytes < SMALLEST:
        raise Damaged(f"pg_dump wrote {dump.bytes} bytes, which no studio's database fits into")
    await tools.prove(checked(target, path, dump.bytes, dump.sha256))
    if missing := sorted(set(tables) - await tools.tables(target.read(path))):
        raise Damaged(f"{path} lacks the rows of {', '.join(missing)}")


async def _known(target: Target) -> dict[str, Entry]:
    """The inventory of the newest backup that can be read; none, and all is read anew."""
    for name in reversed(await manifest.names(target)):
        with contextlib.suppress(Damaged, NotFound):
            found = await inventory.read(target, await manifest.read(target, name))
            return {entry.key: entry for entry in found}
    return {}


async def _clear(target: Target, name: str) -> None:
    """What a kill keeps from happening here, the next backup does."""
    with anyio.move_on_after(60, shield=True), contextlib.suppress(Busy):
        await keeping.remove(target, name)


def _check_any(config: Config, entries: Sequence[Entry]) -> None:
    """Raises Refused when all are missing: the storage is another than that of the studio, most likely."""
    if entries and all(entry.state == "missing" for entry in entries):
        where = config.pictures_folder if config.storage == "folder" else f"the bucket {config.s3_bucket!r}"
        raise Refused(f"of {len(entries)} objects that the database names none is in {where}: see LIMNER_STORAGE")


def _limner(moment: Moment) -> Limner:
    version = importlib.metadata.version("limner")
    return Limner(version=version, schema_head=moment.schema_head, min_image_head=moment.min_image_head)


def _server(moment: Moment, tools: Tools) -> Server:
    version = f"{moment.version // 10000}.{moment.version % 10000}"
    return Server(
        version=version, system_identifier=moment.system, database=moment.database, lsn=moment.lsn, tools=tools.words
    )


def _pictures(listed: Written, entries: Sequence[Entry]) -> Pictures:
    states = [entry.state for entry in entries]
    size = sum(entry.bytes for entry in entries if entry.state == "kept")
    return Pictures(
        bytes=listed.bytes, sha256=listed.sha256, kept=states.count("kept"), kept_bytes=size,
        gone=states.count("gone"), missing=states.count("missing"),
    )  # fmt: skip


def _tell(made: Manifest, entries: Sequence[Entry], target: Target, say: Say) -> None:
    missing = [entry.key for entry in entries if entry.state == "missing"]
    say(Line("backup.pictures", "ok", f"{made.pictures.kept:,} objects of {made.pictures.kept_bytes:,} bytes"))
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        say(Line("backup.missing", "warn", "the storage has lost what the database names: "
            f"{', '.join(missing[:SHOWN])}{more}", "`limner ledger verify --deep` shows whose they are"))  # fmt: skip
    say(Line("backup.made", "ok", f"{made.name} in {target.called}, after {made.seconds:.1f} s"))
