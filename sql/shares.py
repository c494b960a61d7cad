"""Shares: a link to one picture, made and revoked by its owner; whoever has it sees the picture, and nothing of its owner."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Database, Db, Transaction, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql.takedowns import NotAsBelieved, TakenDown

LONGEST_CAPTION = 200
RANDOM_BYTES = 18
"""144 bits: nobody guesses a link."""


class NotShared(Refused):
    """There was a link, and it leads nowhere any more."""

    status = 410
    title = "This picture is not shown any more"

    def __init__(self) -> None:
        super().__init__("Whoever shared it has taken the link back, or the picture is gone.", code="not_shared")


@dataclass(frozen=True)
class Share:
    """``caption`` stands under the picture, and is what readers of the screen hear of it."""

    id: UUID
    code: str
    shows_prompt: bool
    caption: str
    created_at: datetime
    revoked_at: datetime | None

    @property
    def path(self) -> str:
        return f"/s/{self.code}"


COLUMNS = "id, code, shows_prompt, caption, created_at, revoked_at"
LATEST = f"select {COLUMNS} from share where image_id = $1 and account_id = $2 order by created_at desc, id limit 1"


async def latest(db: Db, image_id: UUID, account_id: UUID) -> Share | None:
    """The newest link of somebody's picture, which may be revoked."""
    row = await db.fetchrow(LATEST, image_id, account_id)
    return None if row is None else Share(**row)


# Whatever ends a picture waits for this, or this finds it ended.
HOLD_IMAGE = """
select taken_down_at is not null as is_down from image where id = $1 and account_id = $2 and deleted_at is null for share
"""
MAKE = f"""
insert into share (image_id, account_id, code, shows_prompt, caption) values ($1, $2, $3, $4, $5)
on conflict (image_id) where revoked_at is null do nothing returning {COLUMNS}
"""


async def make(db: Database, image_id: UUID, account_id: UUID, *, shows_prompt: bool, caption: str) -> Share:
    """A link, with what stands beside the picture. Raises NotFound, TakenDown, NotAsBelieved when there is one."""
    async with db.transaction() as tx:
        await hold(tx, image_id, account_id)
        code = secrets.token_urlsafe(RANDOM_BYTES)
        row = await tx.fetchrow(MAKE, image_id, account_id, code, shows_prompt, caption)
        if row is None:
            raise NotAsBelieved("There is a link to this picture already.")
        return Share(**row)


async def hold(tx: Transaction, image_id: UUID, account_id: UUID) -> None:
    """Keep somebody's picture as it is until the transaction ends. Raises NotFound, TakenDown."""
    row = await tx.fetchrow(HOLD_IMAGE, image_id, account_id)
    if row is None:
        raise NotFound("There is no such picture, or it is not yours.")
    if row["is_down"]:
        raise TakenDown


OPEN = "select id from share where image_id = $1 and account_id = $2 and revoked_at is null for update"


async def hold_open(tx: Transaction, image_id: UUID, account_id: UUID) -> UUID:
    """Keep the link that holds as it is until the transaction ends. Raises NotAsBelieved when there is none."""
    share_id: UUID | None = await tx.fetchval(OPEN, image_id, account_id)
    if share_id is None:
        raise NotAsBelieved("There is no link to this picture any more.")
    return share_id


CHANGE = """
update share set shows_prompt = $2, caption = $3
where id = $1 and not exists (select from wall_offer where share_id = share.id and state in ('waiting', 'shown'))
"""


async def change(db: Database, image_id: UUID, account_id: UUID, *, shows_prompt: bool, caption: str) -> None:
    """Say something else beside the picture; not while the wall has it, for an admin saw what stands there.

    Raises NotAsBelieved.
    """
    async with db.transaction() as tx:
        share_id = await hold_open(
            tx, image_id, account_id
        )  # the wall asks for it, too: a statement of its own sees that
        if not affected(await tx.execute(CHANGE, share_id, shows_prompt, caption)):
            raise NotAsBelieved("What is offered to the wall stays as it is: take it back from there first.")


REVOKE = "update share set revoked_at = now() where id = $1"
LEAVE_THE_WALL = """
update wall_offer set state = 'withdrawn', decided_at = now() where share_id = $1 and state in ('waiting', 'shown')
"""


async def revoke(db: Database, image_id: UUID, account_id: UUID) -> None:
    """The link leads nowhere from now on, and the picture leaves the wall. Raises NotAsBelieved when there is none."""
    async with db.transaction() as tx:
        share_id = await hold_open(tx, image_id, account_id)
        await tx.execute(REVOKE, share_id)
        await tx.execute(LEAVE_THE_WALL, share_id)


@dataclass(frozen=True)
class Seen:
    """A picture as everybody with the link sees it. ``prompt`` and ``name`` are empty unless their owner shows them."""

    image_id: UUID
    storage_key: str
    thumb_key: str
    is_framed: bool
    mime: str
    width: int
    height: int
    sha256: str
    created_at: datetime
    prompt: str
    caption: str
    name: str
    is_on_wall: bool

    @property
    def words(self) -> str:
        """What it shows, in words."""
        return self.caption or self.prompt or "A picture, painted with Limner"


SEEN = """
select i.id as image_id, i.storage_key, i.thumb_key, i.thumbed_at is not null as is_framed, i.mime, i.width, i.height, i.sha256,
    i.created_at, case when s.shows_prompt then g.prompt else '' end as prompt, s.caption,
    coalesce(w.display_name, '') as name, w.id is not null as is_on_wall,
    s.revoked_at is not null or i.deleted_at is not null or i.taken_down_at is not null or a.banned_at is not null as is_over
from share as s
join image as i on i.id = s.image_id
join generation as g on g.id = i.generation_id
join account as a on a.id = s.account_id
left join wall_offer as w on w.share_id = s.id and w.state = 'shown'
where s.code = $1
"""


async def seen(db: Db, code: str) -> Seen:
    """What a link leads to. Raises NotFound for one that never was, NotShared for one that is over."""
    row = await db.fetchrow(SEEN, code)
    if row is None:
        raise NotFound("This link leads nowhere. Was it copied whole?")
    fields = dict(row)
    if fields.pop("is_over"):
        raise NotShared
    return Seen(**fields)


FORGET_OLD = "delete from share where revoked_at < now() - interval '1 year'"


async def forget_old(db: Db) -> int:
    """Links that were revoked, or whose picture is gone: after a year they do not say so any more."""
    return affected(await db.execute(FORGET_OLD))
