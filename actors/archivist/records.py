"""The archivist's own records in the database: what it began, and how that ended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anyio
import asyncpg

from limner.runtime.config import Config
from limner.runtime.database import TROUBLE, Database
from limner.runtime.errors import Busy, Refused
from limner.runtime.log import logger, redact
from limner.runtime.opening import open_database
from limner.sql import backups, schema

log = logger(__name__)

ROLE = "archivist"
FIRST = 10
"""The schema that has backup_run."""


@dataclass
class Run:
    """One run under way; whoever does it fills in its size, and its name when it is known."""

    id: int
    name: str
    bytes: int = 0


@contextlib.asynccontextmanager
async def open_records(config: Config) -> AsyncIterator[Database]:
    """The database where the records are. Raises Busy or Refused."""
    async with contextlib.AsyncExitStack() as stack:
        with reaching():
            opened = open_database(config.dsn, role=ROLE, pool=2, pooled=config.database_pooled)
            db = await stack.enter_async_context(opened)
            found = await schema.current(db)
        if found < FIRST:
            raise Refused(
                f"the database is at schema {found}, the archivist's notes came with {FIRST}: run `limner migrate`"
            )
        yield db


@contextlib.contextmanager
def reaching() -> Iterator[None]:
    """Trouble with the database as one clear line. Raises Busy, or Refused when waiting will not help."""
    try:
        yield
    except (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise Refused(f"the database refuses: {error}") from None
    except TROUBLE as error:
        raise Busy(f"the database cannot be reached: {error or type(error).__name__}") from None


@contextlib.asynccontextmanager
async def noted(db: Database, kind: backups.Kind, name: str) -> AsyncIterator[Run]:
    """A row that says how the block ended."""
    run = Run(await backups.begin(db, kind, name), name)
    try:
        yield run
    except BaseException as error:
        await _note_failure(db, run, error)
        raise
    await backups.end(db, run.id, run.name, bytes=run.bytes)


async def _note_failure(db: Database, run: Run, error: BaseException) -> None:
    why = redact(" ".join(str(error).split()))[:500] or f"ended by {type(error).__name__}"
    with anyio.move_on_after(5, shield=True):
        try:
            await backups.end(db, run.id, run.name, bytes=run.bytes, why=why)
        except TROUBLE as trouble:
            log.warning("archivist_note_lost", run=run.name, error=str(trouble) or type(trouble).__name__)
