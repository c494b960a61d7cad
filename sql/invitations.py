"""Invitations: who may make an account where not everybody may."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit

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


async def create(db: Db, *, uses: int = 1, days: int = 14, note: str = "", actor: str, ip: str = "") -> str:
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
        about = {"uses": uses, "days": days, "note": note}
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


LIST = """
select id, hint, note, uses, most_uses, created_by, created_at, expires_at,
    case when revoked_at is not null then 'revoked' when uses >= most_uses then 'used' when expires_at <= now()
        then 'expired' else 'active' end as state
from invitation order by created_at desc, id limit $1
"""


async def listing(db: Db, count: int = 100) -> list[Invitation]:
    """The newest first."""
    return [Invitation(**row) for row in await db.fetch(LIST, count)]


REVOKE = "update invitation set revoked_at = now() where id = $1 and revoked_at is null returning hint, note, uses"


async def revoke(db: Db, invitation_id: UUID, *, actor: str, ip: str = "") -> None:
    """At once; whoever came with it stays. Raises NotFound."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(REVOKE, invitation_id)
        if row is None:
            raise NotFound("There is no such invitation, or it is revoked already.")
        await audit.record(tx, actor, "invitation.revoke", f"invitation {invitation_id}", dict(row), None, ip=ip)


def hashed(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="replace")).digest()
