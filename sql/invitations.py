"""Invitations: who may make an account where not everybody may."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, lists

MOST_USES, MOST_DAYS = 10_000, 365


class NotInvited(Refused):
    """This invitation is used up, has ended, or never was one."""

    status = 403

    def __init__(self, words: str | None = None) -> None:
        super().__init__(words or self.__doc__ or "", field="invite", code="not_invited")


CREATE = """
insert into invitation (code_hash, hint, note, most_uses, created_by, expires_at)
values ($1, $2, $3, $4, $5, now() + make_interval(days => $6))
returning id
"""


async def create(
    db: Db, *, reason: str, uses: int = 1, days: int = 14, note: str = "", actor: str, ip: str = ""
) -> str:
    """A new code: 120 random bits, to be shown once; only the hash is kept. Raises Refused."""
    if not 1 <= uses <= MOST_USES:
        raise Refused(f"An invitation is for 1 to {MOST_USES:,} accounts, not {uses}.", field="uses")
    if not 1 <= days <= MOST_DAYS:
        raise Refused(f"An invitation holds for 1 to {MOST_DAYS} days, not {days}.", field="days")
    if len(note) > 200:
        raise Refused(f"A note has at most 200 characters, not {len(note)}.", field="note")
    code = secrets.token_urlsafe(15)
    async with db.transaction() as tx:
        invitation_id = await tx.fetchval(CREATE, hashed(code), code[:4], note, uses, actor, days)
        about = {"uses": uses, "days": days, "note": note, "reason": reason}
        await audit.record(tx, actor, "invitation.create", f"invitation {invitation_id}", None, about, ip=ip)
    return code


LIVING = "revoked_at is null and expires_at > now() and uses < most_uses"
LOOK = f"select exists (select from invitation where code_hash = $1 and {LIVING})"
USE = f"update invitation set uses = uses + 1 where code_hash = $1 and {LIVING} returning id"


async def holds(db: Db, code: str) -> bool:
    return bool(await db.fetchval(LOOK, hashed(code)))


async def use(db: Db, code: str) -> UUID:
    """One use less, in the transaction that makes the account. Raises NotInvited."""
    invitation_id = await db.fetchval(USE, hashed(code))
    if invitation_id is None:
        raise NotInvited
    return invitation_id  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Invitation:
    """As those who invite see it; never the code."""

    id: UUID
    hint: str
    note: str
    uses: int
    most_uses: int
    created_by: str
    created_at: datetime
    expires_at: datetime
    state: str


STATES = ("active", "used", "expired", "revoked")
LIST = """
with known as (
    select id, hint, note, uses, most_uses, created_by, created_at, expires_at,
        case when revoked_at is not null then 'revoked' when uses >= most_uses then 'used' when expires_at <= now()
            then 'expired' else 'active' end as state
    from invitation
)
select * from known
where ($1 = '' or lower(note) like lower($1) or lower(created_by) like lower($1) or hint = $2) and ($3 = '' or state = $3)
    and ($4::timestamptz is null or created_at >= $4) and ($5::timestamptz is null or created_at < $5)
    and ($6::timestamptz is null or (created_at, id) < ($6, $7::uuid))
order by created_at desc, id desc limit $8
"""


@dataclass(frozen=True)
class Sought:
    """What to show; what is empty hides none. ``text``: a part of the note or of who made it, or how the code begins."""

    text: str = ""
    state: str = ""
    since: datetime | None = None
    until: datetime | None = None


Place = tuple[datetime | None, UUID | None]
ALL = Sought()


async def listing(db: Db, sought: Sought = ALL, before: Place = (None, None), count: int = 100) -> list[Invitation]:
    """The newest first."""
    asked = (lists.part(sought.text), sought.text[:4], sought.state, sought.since, sought.until)
    return [Invitation(**row) for row in await lists.read(db, LIST, *asked, *before, count)]


REVOKE = "update invitation set revoked_at = now() where id = $1 and revoked_at is null returning hint, note, uses"


async def revoke(db: Db, invitation_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """At once; whoever came with it stays. Raises NotFound."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(REVOKE, invitation_id)
        if row is None:
            raise NotFound("There is no such invitation, or it is revoked already.")
        about = {"reason": reason}
        await audit.record(tx, actor, "invitation.revoke", f"invitation {invitation_id}", dict(row), about, ip=ip)


def hashed(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="replace")).digest()
