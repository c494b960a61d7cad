"""Take-downs: a picture hidden from all eyes by an admin, with a reason, until it is restored or its time is over.

No credits move with it, in either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db, Transaction
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, lists
from limner.sql.channels import GENERATION_CHANGED

LONGEST_REASON = 500


class TakenDown(Refused):
    """The picture is there, and nobody is to see it. ``reason`` is for its owner alone."""

    status = 410
    title = "It was taken down"

    def __init__(self, reason: str = "") -> None:
        super().__init__(f"This picture was taken down{f': {reason}' if reason else '.'}", code="picture_taken_down")
        self.reason = reason


class NotAsBelieved(Refused):
    """Somebody was faster."""

    status = 409


@dataclass(frozen=True)
class Hung:
    """A picture as whoever decides on it needs it. ``reason``: of the take-down, while it is down."""

    id: UUID
    job_id: UUID
    generation_id: UUID
    account_id: UUID
    position: int
    created_at: datetime
    deleted_at: datetime | None
    taken_down_at: datetime | None
    reason: str

    @property
    def state(self) -> str:
        """deleted, taken_down or hung."""
        return "deleted" if self.deleted_at else "taken_down" if self.taken_down_at else "hung"


HUNG = """
select i.id, i.job_id, i.generation_id, i.account_id, j.position, i.created_at, i.deleted_at, i.taken_down_at,
    coalesce(t.reason, '') as reason
from image as i join job as j on j.id = i.job_id
left join takedown as t on t.image_id = i.id and t.restored_at is null
"""
ONE = HUNG + "where i.id = $1"
OF_GENERATION = HUNG + "where i.generation_id = $1 order by j.position"


async def get(db: Db, image_id: UUID) -> Hung:
    """Raises NotFound."""
    row = await db.fetchrow(ONE, image_id)
    if row is None:
        raise NotFound("There is no such picture.")
    return Hung(**row)


async def of_generation(db: Db, generation_id: UUID) -> list[Hung]:
    """The pictures that came of an order, the deleted ones too, in their places."""
    return [Hung(**row) for row in await db.fetch(OF_GENERATION, generation_id)]


HIDE = """
with down as (
    update image set taken_down_at = now() where id = $1 and taken_down_at is null and deleted_at is null returning id, job_id
),
noted as (insert into takedown (image_id, reason) select id, $2 from down),
p as (delete from preview where job_id in (select job_id from down)),
q as (delete from partial where job_id in (select job_id from down))
select id from down
"""
# What was public stays off the wall when the picture comes back; its link works again.
LEAVE_THE_WALL = """
update wall_offer set state = 'taken_off', reason = $2, decided_at = now() where image_id = $1 and state in ('waiting', 'shown')
"""
SETTLE = """
update report set settled_at = now(), outcome = 'taken_down', reason = $2 where image_id = $1 and settled_at is null
"""


async def take_down(db: Db, image_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """Hide a picture from everybody: file, small copy and previews, gallery and thread, links, wall, API and export.

    Its reports are settled by it. Raises NotFound, NotAsBelieved when it is down or deleted already, Refused for the reason.
    """
    reason = checked(reason)
    async with db.transaction() as tx:
        if await tx.fetchval(HIDE, image_id, reason) is None:
            raise await _why_not(tx, image_id)
        await tx.execute(LEAVE_THE_WALL, image_id, reason)
        await tx.execute(SETTLE, image_id, reason)
        after = {"state": "taken_down", "reason": reason}
        await audit.record(tx, actor, "picture.take_down", f"image {image_id}", {"state": "hung"}, after, ip=ip)
        await _tell(tx, image_id)


SHOW = """
with back as (
    update image set taken_down_at = null where id = $1 and taken_down_at is not null and deleted_at is null returning id
)
update takedown set restored_at = now(), restore_reason = $2
where image_id = (select id from back) and restored_at is null returning reason
"""


async def restore(db: Db, image_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """Give it back to its owner, and its link to whoever has it. Raises NotFound, NotAsBelieved, Refused for the reason."""
    reason = checked(reason)
    async with db.transaction() as tx:
        was = await tx.fetchval(SHOW, image_id, reason)
        if was is None:
            raise await _why_not(tx, image_id)
        before, after = {"state": "taken_down", "reason": was}, {"state": "hung", "reason": reason}
        await audit.record(tx, actor, "picture.restore", f"image {image_id}", before, after, ip=ip)
        await _tell(tx, image_id)


def checked(reason: str) -> str:
    """Raises Refused."""
    reason = reason.strip()
    if not reason:
        raise Refused("The reason is missing: the owner of the picture reads it.", field="reason")
    if len(reason) > LONGEST_REASON:
        raise Refused(f"The reason has at most {LONGEST_REASON} characters, not {len(reason)}.", field="reason")
    return reason


async def _why_not(tx: Transaction, image_id: UUID) -> Refused:
    match (await get(tx, image_id)).state:
        case "deleted":
            return NotAsBelieved("This picture was deleted, by its owner or because its time was over.")
        case "taken_down":
            return NotAsBelieved("This picture is taken down already.")
    return NotAsBelieved("This picture is not taken down.")


THREAD = "select g.thread_id, g.id from image as i join generation as g on g.id = i.generation_id where i.id = $1"


async def _tell(tx: Transaction, image_id: UUID) -> None:
    row = await tx.fetchrow(THREAD, image_id)
    assert row is not None
    tx.tell(GENERATION_CHANGED, f"{row['thread_id']} {row['id']}")


AMONG = "select exists (select from image where id = any($1::uuid[]) and account_id = $2 and taken_down_at is not null)"


async def refuse_among(db: Db, image_ids: Sequence[UUID], account_id: UUID) -> None:
    """Raises TakenDown when one of somebody's pictures may not be seen: so it is no reference either."""
    if image_ids and await db.fetchval(AMONG, list(image_ids), account_id):
        raise TakenDown


OF_JOB = """
select t.reason from image as i join takedown as t on t.image_id = i.id and t.restored_at is null
where i.job_id = $1 and i.account_id = $2
"""


async def refuse_of_job(db: Db, job_id: UUID, account_id: UUID) -> None:
    """Raises TakenDown when what somebody's job painted is down."""
    reason = await db.fetchval(OF_JOB, job_id, account_id)
    if reason is not None:
        raise TakenDown(reason)


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``text``: a part of the owner's address, the prompt, or what was said of it.

    ``id``: of the picture. The days are of the moment by which a list is ordered.
    """

    text: str = ""
    id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def arguments(self) -> tuple[str | None, UUID | None, datetime | None, datetime | None]:
        return lists.part(self.text) or None, self.id, self.since, self.until


ALL = Sought()


@dataclass(frozen=True)
class Down:
    """A picture that is down, as the list shows it."""

    id: int
    image_id: UUID
    account_id: UUID
    email: str
    prompt: str
    reason: str
    taken_at: datetime


LIST = """
select t.id, t.image_id, i.account_id, a.email, g.prompt, t.reason, t.taken_at
from takedown as t
join image as i on i.id = t.image_id
join account as a on a.id = i.account_id
join generation as g on g.id = i.generation_id
where t.restored_at is null and i.deleted_at is null and ($1::timestamptz is null or (t.taken_at, t.id) < ($1, $2::bigint))
    and ($3::text is null and $4::uuid is null or t.image_id = $4 or lower(t.reason) like lower($3)
        or lower(a.email) like lower($3) or lower(g.prompt) like lower($3))
    and ($5::timestamptz is null or t.taken_at >= $5) and ($6::timestamptz is null or t.taken_at < $6)
order by t.taken_at desc, t.id desc limit $7
"""


async def listing(
    db: Db, sought: Sought = ALL, *, before: tuple[datetime | None, int | None] = (None, None), count: int = 50
) -> list[Down]:
    """What is down now, newest first, by keyset."""
    return [Down(**row) for row in await lists.read(db, LIST, *before, *sought.arguments, count)]
