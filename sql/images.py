"""Images: what retention and deletion leave for the janitor to wipe."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db, affected


@dataclass(frozen=True)
class Doomed:
    id: UUID
    storage_key: str
    thumb_key: str


TO_WIPE = """
select id, storage_key, thumb_key from image where deleted_at is not null and wiped_at is null order by deleted_at limit $1
"""


async def to_wipe(db: Db, count: int = 100) -> list[Doomed]:
    """Deleted pictures whose bytes are still there."""
    return [Doomed(**row) for row in await db.fetch(TO_WIPE, count)]


async def wiped(db: Db, image_id: UUID) -> None:
    await db.execute("update image set wiped_at = now() where id = $1", image_id)


async def is_kept(db: Db, storage_key: str) -> bool:
    """Whether some picture lives under this key."""
    return bool(await db.fetchval("select exists (select from image where storage_key = $1)", storage_key))


# A plan's retention counts from the picture's birth; whoever has no plan any more keeps the last plan's rule.
RETIRE = """
update image as i set deleted_at = now()
from (
    select distinct on (s.account_id) s.account_id, p.retention_days
    from subscription as s join plan as p on p.id = s.plan_id order by s.account_id, s.created_at desc
) as rule
where rule.account_id = i.account_id and rule.retention_days is not null and i.deleted_at is null
    and i.created_at < now() - make_interval(days => rule.retention_days)
"""


async def retire(db: Db) -> int:
    """Let go of what is older than its owner's plan keeps."""
    return affected(await db.execute(RETIRE))
