"""Databases of one server: made beside the live one, swapped with it at one stroke, dropped."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import anyio
import asyncpg

from limner.actors.archivist import snapshot
from limner.actors.archivist.tools import at_database, database_of
from limner.runtime.errors import Refused

OFFICES = ("postgres", "template1")
"""Databases that every server has, to act on others from."""
WAY = "_restoring_"
LONGEST = 63

MAY = """
select r.rolname as name, r.rolcreatedb or r.rolsuper as creates,
    coalesce((select pg_has_role(d.datdba, 'member') from pg_database as d where d.datname = $1), true) as owns
from pg_roles as r where r.rolname = current_user
"""
ABOUT = "select now() as at, current_setting('server_version_num')::int as version"
IS_THERE = "select exists (select from pg_database where datname = $1)"
HALF_MADE = """
select datname from pg_database as d where starts_with(datname, $1) and not exists (
    select from pg_stat_activity as s where s.datname = d.datname
)
"""
CREATE = "select format('create database %I template template0', $1::text)"
DROP = "select format('drop database if exists %I with (force)', $1::text)"
RENAME = "select format('alter database %I rename to %I', $1::text, $2::text)"
SESSIONS = """
select coalesce(nullif(application_name, ''), 'a nameless program') || ' (' || usename || ')' as who
from pg_stat_activity where datname = $1 and backend_type = 'client backend' and pid <> pg_backend_pid()
group by who order by who
"""


class Office:
    """A session from which the studio's database, ``name``, is handled; it is itself in another one."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], dsn: str) -> None:
        self._connection = connection
        self._dsn = dsn
        self.name = database_of(dsn)

    async def check_rights(self) -> None:
        """Raises Refused, which names what the role lacks."""
        row = await self._connection.fetchrow(MAY, self.name)
        assert row is not None
        if not row["creates"]:
            raise Refused(
                f"the role {row['name']} may not create databases: as a superuser, alter role {row['name']} createdb"
            )
        if not row["owns"]:
            raise Refused(
                f"the database {self.name} belongs to another role than {row['name']}, which could not rename it"
            )

    async def about(self) -> tuple[datetime, int]:
        """The server's time, and its version as in server_version_num."""
        row = await self._connection.fetchrow(ABOUT)
        assert row is not None
        return row["at"], row["version"]

    async def is_there(self) -> bool:
        return bool(await self._connection.fetchval(IS_THERE, self.name))

    async def sessions(self) -> list[str]:
        """Who else works on the studio's database, by program and role."""
        return [row["who"] for row in await self._connection.fetch(SESSIONS, self.name)]

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[tuple[str, str]]:
        """The name and address of a fresh database; gone after the block, unless it was swapped in."""
        for left in await self._connection.fetch(HALF_MADE, self._way()):
            await self._act(DROP, left["datname"])
        name = self._way() + secrets.token_hex(4)
        await self._act(CREATE, name)
        try:
            yield name, at_database(self._dsn, name)
        finally:
            with anyio.move_on_after(60, shield=True):
                await self._act(DROP, name)

    async def swap(self, fresh: str) -> str | None:
        """Put ``fresh`` in the studio's place, at one stroke. Returns what the old one is called now; None: there was none.

        Raises Refused when somebody works on one of the two; then nothing has changed.
        """
        old = f"{self.name[: LONGEST - 24]}_before_{datetime.now(UTC):%Y%m%d_%H%M%S}" if await self.is_there() else None
        try:
            async with self._connection.transaction():
                if old:
                    await self._act(RENAME, self.name, old)
                await self._act(RENAME, fresh, self.name)
        except asyncpg.ObjectInUseError:
            who = ", ".join(await self.sessions()) or "somebody"
            raise Refused(
                f"{who} came back to the database {self.name} meanwhile: stop it, and restore again"
            ) from None
        return old

    def _way(self) -> str:
        return f"{self.name[: LONGEST - 20]}{WAY}"

    async def _act(self, statement: str, *names: str) -> None:
        await self._connection.execute(await self._connection.fetchval(statement, *names))


@contextlib.asynccontextmanager
async def office(dsn: str) -> AsyncIterator[Office]:
    """Raises Busy or Refused when the server cannot be reached."""
    async with contextlib.AsyncExitStack() as stack:
        yield Office(await _enter(stack, [each for each in OFFICES if each != database_of(dsn)], dsn), dsn)


async def _enter(
    stack: contextlib.AsyncExitStack, databases: Sequence[str], dsn: str
) -> asyncpg.Connection[asyncpg.Record]:
    """A session in the first of the databases that lets us in."""
    for database in databases[:-1]:
        with contextlib.suppress(Refused):
            return await stack.enter_async_context(snapshot.session(at_database(dsn, database)))
    return await stack.enter_async_context(snapshot.session(at_database(dsn, databases[-1])))
