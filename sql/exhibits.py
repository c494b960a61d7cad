"""Exhibits: a picture as the staff sees it, and only when it concerns others than its owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.sql.audit import Entry


@dataclass(frozen=True)
class Exhibit:
    """``is_public_matter``: it was ever shared, reported or taken down; else nobody but its owner looks at it."""

    id: UUID
    generation_id: UUID
    account_id: UUID
    email: str
    storage_key: str
    thumb_key: str
    is_framed: bool
    mime: str
    width: int
    height: int
    sha256: str
    created_at: datetime
    deleted_at: datetime | None
    prompt: str
    model_name: str
    credits: int
    takedown: str | None
    share_code: str | None
    wall_state: str | None
    is_public_matter: bool

    @property
    def state(self) -> str:
        return "deleted" if self.deleted_at else "hung" if self.takedown is None else "taken_down"

    @property
    def may_be_seen(self) -> bool:
        return self.is_public_matter and self.deleted_at is None


EXHIBIT = """
select i.id, i.generation_id, i.account_id, a.email, i.storage_key, i.thumb_key, i.thumbed_at is not null as is_framed, i.mime,
    i.width, i.height, i.sha256, i.created_at, i.deleted_at, g.prompt, m.name as model_name, g.credits,
    (select t.reason from takedown as t where t.image_id = i.id and t.restored_at is null) as takedown,
    (select s.code from share as s where s.image_id = i.id and s.revoked_at is null) as share_code,
    (select w.state from wall_offer as w where w.image_id = i.id order by w.id desc limit 1) as wall_state,
    exists (select from share as s where s.image_id = i.id) or exists (select from report as r where r.image_id = i.id)
        or exists (select from takedown as t where t.image_id = i.id) as is_public_matter
from image as i
join generation as g on g.id = i.generation_id
join model as m on m.id = g.model_id
join account as a on a.id = i.account_id
where i.id = $1
"""


async def get(db: Db, image_id: UUID) -> Exhibit:
    """Raises NotFound."""
    row = await db.fetchrow(EXHIBIT, image_id)
    if row is None:
        raise NotFound
    return Exhibit(**row)


HISTORY = """
select id, actor, action, subject, before, after, ip, created_at from audit where subject = 'image ' || $1::uuid
order by id desc limit 50
"""


async def history(db: Db, image_id: UUID) -> list[Entry]:
    """What was decided about it, by whom, and why: newest first."""
    return [Entry(**row) for row in await db.fetch(HISTORY, image_id)]
