"""Which migrations this code carries, which ones the database has, and the one place that applies them."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import anyio
import asyncpg

from limner.runtime.database import TROUBLE, Db
from limner.runtime.errors import WRONG_SETTINGS, LimnerError
from limner.runtime.log import logger

log = logger(__name__)

FOLDER = Path(__file__).parent
LOCK = 4_710_018_530
"""The advisory lock of all migrators: any number that nobody else uses."""


class SchemaError(LimnerError):
    """The migrations could not be applied; the message is pgmigrate's own last lines."""


class SchemaTooNew(SchemaError):
    """The database has been migrated past what this code can work with. Starting again will not help."""

    exit_code = WRONG_SETTINGS


@lru_cache
def head() -> int:
    """The newest migration in this code."""
    return max(version(path) for path in (FOLDER / "migrations").glob("V*.sql"))


def version(path: Path) -> int:
    found = re.match(r"V(\d+)__", path.name)
    if not found:
        raise SchemaError(f"{path.name} is not named like V0001__what_it_does.sql")
    return int(found[1])


IS_THERE = "select to_regclass('public.schema_version') is not null"
CURRENT = "select coalesce(max(version), 0) from public.schema_version"


async def current(db: Db | asyncpg.Connection[asyncpg.Record]) -> int:
    """The newest migration in the database; 0 when it has none."""
    return int(await db.fetchval(CURRENT)) if await db.fetchval(IS_THERE) else 0


OLDEST_IMAGE = "select min_image_head from schema_window"


async def check_window(db: Db | asyncpg.Connection[asyncpg.Record], found: int) -> None:
    """Whether this code may work on a newer schema. Raises SchemaTooNew, which says what to do."""
    if found > head() and (oldest := await db.fetchval(OLDEST_IMAGE)) > head():
        raise SchemaTooNew(
            f"the database is at schema {found} and takes images that know schema {oldest} or later; this one knows {head()}."
            " Run a newer image, or restore the backup that was taken before the upgrade."
        )


# An older schema has no such table; it is there from V0027 on.
WAITS = """
insert into alert_reading (name, value, words) values ('schema', $1, $2)
on conflict (name) do update set value = excluded.value, words = excluded.words, read_at = now()
"""
KNOWS_READINGS = 27
SAY_EVERY = 15.0


async def wait_until_ready(db: Db, patience: float = 120.0) -> None:
    """Wait for the migrations that this code needs.

    Raises SchemaError after ``patience`` seconds, and SchemaTooNew at once.
    """
    await wait_for(db, head(), patience)


async def wait_for(db: Db, needed: int, patience: float) -> None:
    """Wait until the database has this migration, and say so to whoever watches. Raises what wait_until_ready raises."""
    said = -SAY_EVERY
    with anyio.move_on_after(patience):
        while True:
            try:
                if (found := await current(db)) >= needed:
                    return await check_window(db, found)
                if found >= KNOWS_READINGS and anyio.current_time() - said >= SAY_EVERY:
                    said = anyio.current_time()
                    await _say_that_it_waits(db, needed, found)
            except TROUBLE as error:
                log.info("waiting_for_database", error=str(error) or type(error).__name__)
            await anyio.sleep(0.1)
    raise SchemaError(f"the database has not reached schema {needed} within {patience:.0f} s; run `limner migrate`")


async def _say_that_it_waits(db: Db, needed: int, found: int) -> None:
    """To the watchman of the release that runs."""
    words = f"A process on {socket.gethostname()} waits for schema {needed}, and the database is at {found}"
    await db.execute(WAITS, float(needed), words)


async def migrate(dsn: str, *, patience: float = 60.0) -> tuple[int, int]:
    """Apply what is pending; safe beside any number of other migrators. Returns the versions before and after.

    Raises SchemaError, or SchemaTooNew; then nothing was applied, as all pending migrations share one transaction.
    """
    async with _alone(dsn, patience) as connection:
        before = await current(connection)
        await check_window(connection, before)
        if before < head():
            await _run_pgmigrate(dsn)
        return before, await current(connection)


@asynccontextmanager
async def _alone(dsn: str, patience: float) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    # Polled, never blocked in pg_advisory_lock: a waiter's snapshot would hold up CREATE INDEX CONCURRENTLY.
    connection = await _connect(dsn, patience)
    try:
        with anyio.move_on_after(600):
            while not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
                await anyio.sleep(0.2)
        yield connection
    finally:
        with anyio.move_on_after(5, shield=True):
            await connection.close()


async def _connect(dsn: str, patience: float) -> asyncpg.Connection[asyncpg.Record]:
    error: BaseException | None = None
    with anyio.move_on_after(patience):
        while True:
            try:
                return await asyncpg.connect(dsn, timeout=5, server_settings={"application_name": "limner-migrate"})
            except (*TROUBLE, asyncpg.InvalidCatalogNameError) as now:
                error = now
            await anyio.sleep(0.1)
    raise SchemaError(f"the database cannot be reached: {error}")


async def _run_pgmigrate(dsn: str) -> None:
    # A subprocess, as pgmigrate's in-process use trips over sqlparse's token limit; --force_mixed as its booleans
    # in migrations.yml are ignored.
    address, environment = _without_password(dsn)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pgmigrate",
        "migrate",
        "-t",
        "latest",
        "--force_mixed",
        "-c",
        address,
        "-d",
        str(FOLDER),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
        raise SchemaError("migrations were not applied: " + " / ".join(lines[-4:]))


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, which must not stand in the list of processes, and the environment with it."""
    parts = urlsplit(dsn)
    if not parts.password:
        return dsn, {}
    user = quote(parts.username or "", safe="%")
    host = parts.netloc.rpartition("@")[2]
    query = urlencode(parse_qsl(parts.query))
    return urlunsplit(parts._replace(netloc=f"{user}@{host}", query=query)), {"PGPASSWORD": unquote(parts.password)}
