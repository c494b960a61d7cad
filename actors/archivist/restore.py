"""`limner restore`: a backup into a new database beside the live one, looked over, and only then put in its place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

import anyio
import asyncpg

from limner.actors.archivist import databases, manifest, pictures, proof, snapshot, tools
from limner.actors.archivist.databases import Office
from limner.actors.archivist.manifest import DUMP
from limner.actors.archivist.proof import Copy
from limner.actors.archivist.records import ROLE, reaching
from limner.actors.archivist.target import Target, checked, open_target
from limner.actors.archivist.tools import Tools
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.runtime.report import Line, Say
from limner.runtime.storage import Storage, open_storage
from limner.sql import backups

SHOWN = 3
LOOKS = 30
"""At the sessions, a tenth of a second apart."""
NAMESPACES = ("pictures/", "uploads/")
"""Where the studio keeps objects."""
BATCH = 1000

HAS_PEOPLE = "select to_regclass('public.account') is not null and to_regclass('public.worker') is not null"
IS_EMPTY = "select not exists (select from account)"
ALIVE = """
select role, host, extract(epoch from now() - seen_at)::float8 as silent from worker
where state <> 'stopped' and seen_at > now() - make_interval(secs => $1) order by seen_at desc limit 1
"""


async def put_back(config: Config, name: str, say: Say, *, without_pictures: bool = False) -> str | None:
    """Put the backup in the place of the database; returns what that one is called now.

    Raises LimnerError, and then the database is as it was. Objects that were put back into the storage stay there:
    they were missing, and harm nobody.
    """
    dsn = snapshot.direct(config)
    async with open_target(config) as target, databases.office(dsn) as office:
        await office.check_rights()
        await _check_is_quiet(config, office, dsn)
        began, programs = await _look(config, office)
        name = await manifest.resolve(target, name)
        copy = await proof.read(config, target, name, programs, say)
        async with office.beside() as (fresh, address):
            await load(programs, target, copy, address)
            async with open_database(address, role=ROLE, pool=2) as db, open_storage(config) as storage:
                await proof.check_rows(db, copy, say)
                await proof.check_audit(db, copy, say)
                await proof.check_secrets(config, db, say)
                await _put_back_pictures(db, copy, target, storage, say, without_pictures=without_pictures)
                await backups.note_restore(db, name, copy.manifest.size, copy.manifest.made_at, began)
            await _check_is_quiet(config, office, dsn)
            old = await office.swap(fresh)
    say(Line("restored", "ok", f"{office.name} is as it was at {copy.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"))
    if old:
        say(Line("restore_point", "ok", f"what it replaced is kept as the database {old}", "drop it when all is well"))
    return old


async def load(programs: Tools, target: Target, copy: Copy, address: str) -> None:
    """All rows, or none, into an empty database."""
    part = copy.manifest.dump
    await programs.restore(address, checked(target, f"{copy.manifest.name}/{DUMP}", part.bytes, part.sha256))


async def _look(config: Config, office: Office) -> tuple[datetime, Tools]:
    began, version = await office.about()
    found = tools.find(config)
    tools.check_against(found, version)
    return began, found


async def _check_is_quiet(config: Config, office: Office, dsn: str) -> None:
    """Raises Refused when somebody works on the database, or did so a moment ago."""
    if not await office.is_there():
        return
    if who := await _who_stays(office):
        raise Refused(f"the database {office.name} is in use by {', '.join(who)}: stop all of them first")
    async with snapshot.session(dsn) as connection:
        row = await _last_sign(connection, config.lease)
    if row is not None:
        raise Refused(
            f"a {row['role']} on {row['host']} gave a sign of life {row['silent']:.0f} s ago: stop it,"
            f" and wait {config.lease} s if it was killed"
        )


async def _who_stays(office: Office) -> list[str]:
    """Who works on the database, but for those who are just leaving it."""
    who: list[str] = []
    for _ in range(LOOKS):
        if not (who := await office.sessions()):
            break
        await anyio.sleep(0.1)
    return who


async def _last_sign(connection: asyncpg.Connection[asyncpg.Record], lease: float) -> asyncpg.Record | None:
    with reaching():
        if not await connection.fetchval(HAS_PEOPLE) or await connection.fetchval(IS_EMPTY):
            return None
        return await connection.fetchrow(ALIVE, float(lease))


async def _put_back_pictures(
    db: Database, copy: Copy, target: Target, storage: Storage, say: Say, *, without_pictures: bool
) -> None:
    """Raises Refused when rows would name pictures that are nowhere."""
    count, lost = await pictures.put_back(copy.entries, target, storage)
    missing = [entry.key for entry in copy.entries if entry.state == "missing"]
    lost += [key for key in missing if await storage.head(key) is None]
    if lost and not without_pictures:
        raise Refused(
            f"{len(lost)} objects are neither in the storage nor in the backup: {_some(lost)}."
            " Bring them back, or restore with --without-pictures and lose them"
        )
    whole = len(copy.entries) - copy.manifest.pictures.gone - len(lost)
    say(Line("pictures", "ok", f"{whole} objects are in the storage, {count} of them put back"))
    await proof.check_books(db, storage, say, without_pictures=without_pictures)
    if strays := await _strays(db, storage):
        say(
            Line(
                "strays",
                "ok",
                f"{len(strays)} objects are younger than this backup, or named by no row: {_some(strays)}",
            )
        )


async def _strays(db: Database, storage: Storage) -> list[str]:
    """What the storage has and no row names: it does no harm but take room."""
    found: list[str] = []
    for namespace in NAMESPACES:
        held = [key async for key in storage.list(namespace)]
        for start in range(0, len(held), BATCH):
            batch = held[start : start + BATCH]
            named = await backups.still_named(db, batch)
            found += [key for key in batch if key not in named]
    return sorted(found)


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(itertools.islice(keys, SHOWN)) + more
