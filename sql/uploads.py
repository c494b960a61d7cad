"""Uploads: reference pictures, cleaned and re-encoded before they came here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound


@dataclass(frozen=True)
class Upload:
    id: UUID
    storage_key: str
    mime: str


KEEP = """
insert into upload (id, account_id, storage_key, sha256, mime, width, height, bytes) values ($1, $2, $3, $4, $5, $6, $7, $8)
"""


async def keep(
    db: Db,
    upload_id: UUID,
    account_id: UUID,
    storage_key: str,
    sha256: str,
    mime: str,
    width: int,
    height: int,
    size: int,
) -> None:
    """Remember an upload whose bytes (``size`` of them) are in the storage already."""
    await db.execute(KEEP, upload_id, account_id, storage_key, sha256, mime, width, height, size)


FORGET_ONE = """
delete from upload where id = (
    select u.id from upload as u
    where u.created_at < now() - interval '2 days'
        and not exists (select from generation_reference as r where r.upload_id = u.id)
        and not exists (select from generation as g where g.mask_upload_id = u.id)
    limit 1 for update skip locked
)
returning id, storage_key, mime
"""


async def forget_one(db: Db) -> Upload | None:
    """One that no order has used in two days: it was refused, or never sent again. Its bytes are the caller's to remove."""
    row = await db.fetchrow(FORGET_ONE)
    return None if row is None else Upload(**row)


GET = "select id, storage_key, mime from upload where id = $1 and account_id = $2 and deleted_at is null"


async def get(db: Db, upload_id: UUID, account_id: UUID) -> Upload:
    """Raises NotFound, for a stranger's as for none."""
    row = await db.fetchrow(GET, upload_id, account_id)
    if row is None:
        raise NotFound
    return Upload(**row)


TO_WIPE = """
select id, storage_key from upload where deleted_at is not null and wiped_at is null and not id = any ($2::uuid[])
order by deleted_at limit $1
"""


async def to_wipe(db: Db, but: Sequence[UUID] = (), count: int = 100) -> list[tuple[UUID, str]]:
    """Deleted ones whose bytes are still there, but these: id and storage key of each."""
    return [(row["id"], row["storage_key"]) for row in await db.fetch(TO_WIPE, count, list(but))]


async def wiped(db: Db, upload_id: UUID) -> None:
    await db.execute("update upload set wiped_at = now() where id = $1", upload_id)
