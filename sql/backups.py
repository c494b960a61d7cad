"""Backups: what the archivist did and when, and what a copy has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from limner.runtime.database import Db
from limner.sql import audit, factors, keys

Kind = Literal["backup", "drill", "restore", "base"]


@dataclass(frozen=True)
class Run:
    """One thing the archivist did. ``name``: of the backup; ``bytes``: of its dump and pictures; ``age``: seconds since
    it ended, or since it began when it has not."""

    id: int
    kind: str
    state: str
    name: str
    bytes: int
    why: str
    started_at: datetime
    ended_at: datetime | None
    age: float


COLUMNS = (
    "id, kind, state, name, bytes, why, started_at, ended_at,"
    " extract(epoch from now() - coalesce(ended_at, started_at))::float8 as age"
)

BEGIN = "insert into backup_run (kind, name) values ($1, $2) returning id"


async def begin(db: Db, kind: Kind, name: str) -> int:
    """Note that it begins; returns the number of the run."""
    return int(await db.fetchval(BEGIN, kind, name))


END = """
update backup_run set state = case when $2 = '' then 'done' else 'failed' end, why = $2, bytes = $3, name = $4,
    ended_at = clock_timestamp()
where id = $1
"""


async def end(db: Db, run_id: int, name: str, *, bytes: int = 0, why: str = "") -> None:
    """Note how it ended: well, or ``why`` not."""
    await db.execute(END, run_id, why, bytes, name)


CUT_OFF = """
update backup_run set state = 'failed', why = 'it was cut off', ended_at = now()
where state = 'running' and kind = any($1::text[])
"""


async def end_cut_off(db: Db, kinds: Sequence[Kind]) -> None:
    """Close the runs of processes that died. Only for whoever holds the lock of these kinds."""
    await db.execute(CUT_OFF, list(kinds))


LATEST = f"select {COLUMNS} from backup_run where kind = $1 and state = 'done' order by ended_at desc limit 1"


async def latest(db: Db, kind: Kind) -> Run | None:
    """The newest run of this kind that went well."""
    row = await db.fetchrow(LATEST, kind)
    return None if row is None else Run(**row)


LAST = f"select {COLUMNS} from backup_run where kind = $1 order by started_at desc, id desc limit 1"


async def last(db: Db, kind: Kind) -> Run | None:
    """The newest run of this kind, however it went."""
    row = await db.fetchrow(LAST, kind)
    return None if row is None else Run(**row)


WISH = """
insert into backup_wish (kind, actor) values ($1, $2)
on conflict (kind) do update set actor = excluded.actor, wished_at = now()
"""


async def wish(db: Db, kind: Kind, *, actor: str, reason: str = "", ip: str = "") -> None:
    """Have the archivist do it at its next look."""
    async with db.transaction() as tx:
        await tx.execute(WISH, kind, actor)
        await audit.record(tx, actor, f"backup.{kind}_wanted", kind, None, None, reason=reason, ip=ip)


async def wished(db: Db, kind: Kind) -> datetime | None:
    """When somebody last wanted one; a run that has begun since is it."""
    return await db.fetchval("select wished_at from backup_wish where kind = $1", kind)  # type: ignore[no-any-return]


FIRST = f"select {COLUMNS} from backup_run where kind = $1 order by started_at, id limit 1"


async def now(db: Db) -> datetime:
    """The clock that runs are noted by."""
    return await db.fetchval("select now()")  # type: ignore[no-any-return]


async def overdue(db: Db, kind: Kind, longest: float) -> float | None:
    """Seconds since the last good run of this kind, when they are more than ``longest``; else None.

    Before there was one they count from the first backup that was begun. None as well when nobody ever began any.
    """
    good = await latest(db, kind)
    if good is None:
        row = await db.fetchrow(FIRST, "backup")
        good = None if row is None else Run(**row)
    return good.age if good is not None and good.age > longest else None


NEVER = """
select extract(epoch from now() - min(created_at))::float8 from account
where not exists (select from backup_run where kind = 'backup' and state = 'done')
"""


async def never_made(db: Db, longest: float) -> float | None:
    """Seconds since the first account, when they are more than ``longest`` and no backup was ever made; else None."""
    age: float | None = await db.fetchval(NEVER)
    return age if age is not None and age > longest else None


DRILLED = """
select name, max(ended_at) as at from backup_run where kind = 'drill' and state = 'done' group by name
"""


async def drilled(db: Db) -> dict[str, datetime]:
    """When each backup was last tried out with success, by its name."""
    return {row["name"]: row["at"] for row in await db.fetch(DRILLED)}


# A copy holds the run that made it as it was at that moment: under way.
ADOPT = """
update backup_run set state = 'done', why = '', bytes = $2, ended_at = $3
where kind = 'backup' and name = $1 and state = 'running'
"""
NOTE = """
insert into backup_run (kind, state, name, bytes, started_at, ended_at)
values ('restore', 'done', $1, $2, $3, clock_timestamp())
"""


async def note_restore(db: Db, name: str, size: int, made_at: datetime, began_at: datetime) -> None:
    """Tell a restored database what it came from; for the runs that its copy caught half-way, that they are over."""
    await db.execute(ADOPT, name, size, made_at)
    await end_cut_off(db, ("backup", "drill", "restore", "base"))
    await db.execute(NOTE, name, size, began_at)


COUNTS = "select name, n from table_counts()"


async def counts(db: Db) -> dict[str, int]:
    """How many rows each table has; tables that a crash empties are left out."""
    return {row["name"]: row["n"] for row in await db.fetch(COUNTS)}


@dataclass(frozen=True)
class Named:
    """Bytes in the storage that a row names. ``bytes`` and ``sha256`` as the row says; None for a thumbnail."""

    key: str
    mime: str
    bytes: int | None
    sha256: str | None


# Small copies that are to come are not named, nor uploads of those who left. An older schema has no columns for that.
NAMED = """
select storage_key as key, mime, bytes, sha256 from image where deleted_at is null and wiped_at is null
union all
select i.thumb_key, 'image/webp', null, null from image as i
where i.deleted_at is null and i.wiped_at is null and not to_jsonb(i) @> '{"thumbed_at": null}'
union all
select storage_key, mime, bytes, sha256 from upload as u where to_jsonb(u) ->> 'deleted_at' is null
order by key
"""


async def named(db: Db) -> list[Named]:
    """All that the storage must hold."""
    return [Named(**row) for row in await db.fetch(NAMED)]


LET_GO = """
select exists (
    select from image where $1 in (storage_key, thumb_key) and (deleted_at is not null or wiped_at is not null)
    union all
    select from upload as u where storage_key = $1 and to_jsonb(u) ->> 'deleted_at' is not null
)
"""


async def was_let_go(db: Db, key: str) -> bool:
    """True when the picture of these bytes has been deleted meanwhile."""
    return bool(await db.fetchval(LET_GO, key))


LET_GO_TOO = """
update image set deleted_at = coalesce(deleted_at, now()), wiped_at = coalesce(wiped_at, now())
where storage_key = any($1::text[]) or thumb_key = any($1::text[])
"""


async def let_go(db: Db, gone: Sequence[str]) -> None:
    """Delete the pictures of these bytes: their owners did so while the copy was made."""
    await db.execute(LET_GO_TOO, list(gone))


SEALED_KEYS = "select id, sealed_secret from provider_key where sealed_secret <> '' order by id"
SEALED_PROXIES = "select id, sealed_url from proxy where sealed_url <> '' order by id"
SEALED_FACTORS = "select account_id, sealed_secret from second_factor order by account_id"


async def sealed(db: Db) -> dict[str, str]:
    """Every sealed secret, by the place that it is bound to."""
    found = {keys.bound_to(row["id"]): row["sealed_secret"] for row in await db.fetch(SEALED_KEYS)}
    found |= {keys.proxy_bound_to(row["id"]): row["sealed_url"] for row in await db.fetch(SEALED_PROXIES)}
    return found | {factors.bound_to(row["account_id"]): row["sealed_secret"] for row in await db.fetch(SEALED_FACTORS)}


NAMED_NOW = """
select storage_key as key from image where storage_key = any($1::text[])
union all
select thumb_key from image where thumb_key = any($1::text[])
union all
select storage_key from upload where storage_key = any($1::text[])
"""


async def still_named(db: Db, found: Sequence[str]) -> set[str]:
    """Those of the keys that some row names, be it of a deleted picture."""
    return {row["key"] for row in await db.fetch(NAMED_NOW, list(found))}
