"""What lies between the database and this code's head: pending migrations, the tables they touch, the server itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from limner.runtime.database import Db
from limner.sql import schema
from limner.sql.locks import Step, steps


@dataclass(frozen=True)
class Pending:
    """A migration that is yet to be applied. ``bound``: the min_image_head that it sets, when it closes the window."""

    version: int
    name: str
    steps: list[Step]
    bound: int | None


def pending(current: int) -> list[Pending]:
    """What this code would apply to a database at this version, in order."""
    files = sorted((schema.FOLDER / "migrations").glob("V*.sql"), key=schema.version)
    return [
        _read(path.name, schema.version(path), path.read_text()) for path in files if schema.version(path) > current
    ]


def _read(name: str, version: int, sql: str) -> Pending:
    bounds = re.findall(r"min_image_head\s*=\s*(\d+)|into schema_window \(min_image_head\) values \((\d+)\)", sql)
    return Pending(version, name, steps(sql), max((int(one or other) for one, other in bounds), default=None))


@dataclass(frozen=True)
class Size:
    """How big a table is, indexes and all. ``rows`` is the planner's estimate; None: it was never counted."""

    rows: int | None
    bytes: int


SIZES = """
select c.relname as name, nullif(c.reltuples, -1)::bigint as rows, pg_total_relation_size(c.oid) as bytes
from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname = any($1::text[])
"""


async def sizes(db: Db, tables: list[str]) -> dict[str, Size]:
    """Of those of these tables that are there."""
    return {row["name"]: Size(row["rows"], row["bytes"]) for row in await db.fetch(SIZES, tables)}


@dataclass(frozen=True)
class Server:
    """``version`` such as 180006. ``folder``: where its data lies, by its own account; "" when it does not tell us."""

    version: int
    folder: str


SERVER = """
select current_setting('server_version_num')::int as version,
    case when pg_has_role(current_user, 'pg_read_all_settings', 'usage') then current_setting('data_directory') else '' end
    as folder
"""


async def server(db: Db) -> Server:
    row = await db.fetchrow(SERVER)
    assert row is not None
    return Server(**row)


HAS_WINDOW = "select to_regclass('public.schema_window') is not null"


async def oldest_image(db: Db) -> int:
    """The oldest head that an image may have here; 0 in a database from before the window."""
    return int(await db.fetchval(schema.OLDEST_IMAGE)) if await db.fetchval(HAS_WINDOW) else 0
