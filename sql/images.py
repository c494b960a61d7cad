"""Images: the small copy that follows each picture, and what retention and deletion leave for the janitor to wipe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.mailbox import Message
from limner.sql import audit, ledger
from limner.sql.channels import GENERATION_CHANGED


@dataclass(frozen=True)
class FramePicture(Message):
    """Decode a delivered picture as a whole, and hang its small copy. Sent by the delivery itself (V0016)."""

    mailbox = "framing"
    image_id: UUID


@dataclass(frozen=True)
class Unframed:
    """A picture whose small copy is to come."""

    id: UUID
    job_id: UUID
    generation_id: UUID
    storage_key: str
    thumb_key: str


UNFRAMED = """
select id, job_id, generation_id, storage_key, thumb_key from image
where id = $1 and thumbed_at is null and deleted_at is null
"""


async def unframed(db: Db, image_id: UUID) -> Unframed | None:
    """None when nothing is to be done any more."""
    row = await db.fetchrow(UNFRAMED, image_id)
    return None if row is None else Unframed(**row)


FRAMED = "update image set thumbed_at = now() where id = $1 and wiped_at is null"


async def framed(db: Db, image_id: UUID) -> bool:
    """Its small copy hangs. False when the picture has been wiped meanwhile."""
    return bool(affected(await db.execute(FRAMED, image_id)))


LOCK = "select thread_id, account_id from generation where id = $1 for update"
WITHDRAW = "update image set deleted_at = now() where id = $1 and deleted_at is null"
EXPLAIN = "update job set reason = $2 where id = $1"


async def withdraw(db: Db, picture: Unframed, why: str) -> None:
    """Take back a picture that was charged and is none: the credits return, and its owner reads ``why``."""
    async with db.transaction() as tx:
        generation = await tx.fetchrow(LOCK, picture.generation_id)
        assert generation is not None
        if affected(await tx.execute(WITHDRAW, picture.id)):
            credits = await ledger.refund(tx, picture.job_id, why)
            await tx.execute(EXPLAIN, picture.job_id, why)
            about = {"account": str(generation["account_id"]), "credits": credits, "why": why}
            await audit.record(tx, "system", "refund_picture", f"image {picture.id}", None, about)
            tx.tell(GENERATION_CHANGED, f"{generation['thread_id']} {picture.generation_id}")


@dataclass(frozen=True)
class Doomed:
    id: UUID
    storage_key: str
    thumb_key: str


TO_WIPE = """
select id, storage_key, thumb_key from image where deleted_at is not null and wiped_at is null and not id = any ($2::uuid[])
order by deleted_at limit $1
"""


async def to_wipe(db: Db, but: Sequence[UUID] = (), count: int = 100) -> list[Doomed]:
    """Deleted pictures whose bytes are still there, but these."""
    return [Doomed(**row) for row in await db.fetch(TO_WIPE, count, list(but))]


async def wiped(db: Db, image_id: UUID) -> None:
    await db.execute("update image set wiped_at = now() where id = $1", image_id)


async def is_kept(db: Db, storage_key: str) -> bool:
    """Whether some picture lives under this key."""
    return bool(await db.fetchval("select exists (select from image where storage_key = $1)", storage_key))


SOME = "select storage_key from image where deleted_at is null and wiped_at is null order by created_at limit 1"


async def some(db: Db) -> str | None:
    """The key of a picture that must be in the storage; None when there is no picture."""
    return await db.fetchval(SOME)  # type: ignore[no-any-return]


NAMED = """
select id, storage_key, thumb_key, thumbed_at is not null as is_framed from image
where deleted_at is null and wiped_at is null and id > $1 order by id limit 500
"""


async def named(db: Db) -> AsyncIterator[str]:
    """Every key that must be in the storage: of pictures and of their thumbnails, once they hang."""
    after = UUID(int=0)
    while rows := await db.fetch(NAMED, after):
        after = rows[-1]["id"]
        for row in rows:
            yield row["storage_key"]
            if row["is_framed"]:
                yield row["thumb_key"]


# Only an attempt that was cut off can have left bytes that no row names.
TO_SWEEP = """
select a.job_id from attempt as a join job as j on j.id = a.job_id
where a.fault = 'timeout_unknown' and a.swept_at is null and a.finished_at < now() - interval '10 minutes'
    and j.finished_at < now() - interval '10 minutes' and not j.id = any ($2::uuid[])
union
select a.job_id from attempt as a join job as j on j.id = a.job_id
where a.fault = 'cancelled' and a.swept_at is null
    and a.finished_at between now() - interval '7 days' and now() - interval '10 minutes'
    and j.finished_at < now() - interval '10 minutes' and not j.id = any ($2::uuid[])
limit $1
"""
KEPT = "select unnest(array[storage_key, thumb_key]) as key from image where job_id = $1"
SWEPT = "update attempt set swept_at = now() where job_id = $1 and fault in ('timeout_unknown', 'cancelled')"


async def to_sweep(db: Db, but: Sequence[UUID] = (), count: int = 50) -> list[UUID]:
    """Ended jobs with attempts that were cut off, but these: there may be strays of theirs."""
    return [row["job_id"] for row in await db.fetch(TO_SWEEP, count, list(but))]


def prefixes(job_id: UUID) -> tuple[str, str]:
    """What the keys of a job's pictures begin with: now, and in releases that gave each job a folder of its own."""
    return f"pictures/{job_id.hex[-2:]}/{job_id}-", f"pictures/{job_id}/"


async def kept_keys(db: Db, job_id: UUID) -> set[str]:
    """What of a job's keys belongs to a picture."""
    return {row["key"] for row in await db.fetch(KEPT, job_id)}


async def swept(db: Db, job_id: UUID) -> None:
    await db.execute(SWEPT, job_id)


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
