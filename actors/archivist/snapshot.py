"""One moment of the database: what pg_dump writes, the counts and the names in the manifest are all of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import anyio
import asyncpg

from limner.actors.archivist import tools
from limner.actors.archivist.records import ROLE, reaching
from limner.runtime.config import Config
from limner.runtime.database import Transaction
from limner.runtime.errors import Busy, Refused
from limner.sql import backups, chain, schema
from limner.sql.backups import Named

UNLIMITED = {
    "application_name": f"limner-{ROLE}",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",  # it is idle while pg_dump works
}
PATIENCE = 600.0
"""Seconds for one statement: counting a big table takes its time."""
LOCK = "select pg_try_advisory_lock(hashtextextended('archivist', 0))"
OPEN = "begin transaction isolation level repeatable read, read only"
ABOUT = """
select pg_export_snapshot() as exported, now() as at, current_setting('server_version_num')::int as version,
    (select system_identifier::text from pg_control_system()) as system,
    case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as lsn,
    current_database() as database
"""


SYSTEM = "select system_identifier::text from pg_control_system()"


class Asking(Protocol):
    async def fetchval(self, sql: str, /) -> Any: ...


@dataclass(frozen=True)
class Moment:
    """What the database was then; ``exported`` is how another session joins in."""

    exported: str
    at: datetime
    version: int
    system: str
    lsn: str
    database: str
    schema_head: int
    min_image_head: int
    tables: dict[str, int]
    named: Sequence[Named]
    sealed: Sequence[str]
    audit_head: str


def direct(config: Config) -> str:
    """Where a session of one's own can be had. Raises Refused."""
    if config.direct_dsn is None:
        raise Refused("LIMNER_DATABASE_DIRECT_URL is needed: a pooler in transaction mode cannot hold a snapshot")
    return config.direct_dsn


@contextlib.asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A session without limits. Raises Busy when the database cannot be reached."""
    with reaching():
        connection = await asyncpg.connect(dsn, timeout=15, command_timeout=PATIENCE, server_settings=UNLIMITED)
    try:
        yield connection
    finally:
        with anyio.move_on_after(5, shield=True):
            await connection.close()


class Occupied(Busy):
    """Another archivist works on this database."""


async def lock(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Be the only archivist of this database, until the session ends. Raises Occupied."""
    if not await connection.fetchval(LOCK):
        raise Occupied("another backup or drill of this database is under way: wait until it is done")


async def system_of(connection: Asking) -> str:
    """What tells this server from any other: it is drawn when a cluster is made, and shared by its copies."""
    return str(await connection.fetchval(SYSTEM))


@contextlib.asynccontextmanager
async def held(connection: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Moment]:
    """This moment, for as long as the block."""
    await connection.execute(OPEN)
    try:
        yield await _look(connection)
    finally:
        with anyio.move_on_after(5, shield=True):
            if not connection.is_closed():
                await connection.execute("rollback")


async def _look(connection: asyncpg.Connection[asyncpg.Record]) -> Moment:
    db = Transaction(connection)
    about = await db.fetchrow(ABOUT)
    assert about is not None
    found = await schema.current(db)
    return Moment(
        **dict(about),
        schema_head=found,
        min_image_head=await db.fetchval(schema.OLDEST_IMAGE),
        tables=await backups.counts(db),
        named=await backups.named(db),
        sealed=list((await backups.sealed(db)).values()),
        audit_head=str(await chain.head(db)) if found >= chain.SINCE else "",
    )


def tools_for(config: Config, moment: Moment) -> tools.Tools:
    """Raises Refused when there are none, or older ones than the server."""
    found = tools.find(config)
    tools.check_against(found, moment.version)
    return found
