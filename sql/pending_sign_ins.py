"""Sign-ins that wait for a code: no session and no rights, only the memory that the password was right."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.errors import Refused
from limner.sql import sessions
from limner.sql.accounts import Account

LASTS = "5 minutes"


class SignInOver(Refused):
    """This sign-in took too long, or was finished elsewhere. Begin it again."""

    status = 410

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="sign_in_over")


@dataclass(frozen=True)
class Waiting:
    """``goal``: where to go afterwards, a path of ours."""

    account: Account
    goal: str
    token_hash: bytes


BEGIN = f"""
insert into pending_sign_in (token_hash, account_id, password_mark, goal, expires_at)
select $1, id, sha256(convert_to(password_hash, 'UTF8')), $3, now() + interval '{LASTS}' from account where id = $2
"""


async def begin(db: Db, account_id: UUID, goal: str) -> str:
    """Returns the token for the cookie, of which only the hash is kept."""
    token = secrets.token_urlsafe(32)
    await db.execute(BEGIN, sessions.hashed(token), account_id, goal)
    return token


FIND = """
select p.goal, p.token_hash, a.id, a.email, a.role, a.locale, a.verified_at, a.banned_at, a.ban_reason, a.created_at,
    a.deleted_at
from pending_sign_in as p
join account as a on a.id = p.account_id
where p.token_hash = $1 and p.expires_at > now() and a.banned_at is null
    and p.password_mark = sha256(convert_to(a.password_hash, 'UTF8'))
"""


async def find(db: Db, token: str) -> Waiting:
    """Raises SignInOver: too old, finished, another password meanwhile, or banned."""
    row = await db.fetchrow(FIND, sessions.hashed(token))
    if row is None:
        raise SignInOver
    account = {name: row[name] for name in Account.__dataclass_fields__}
    return Waiting(Account(**account), row["goal"], row["token_hash"])


END = "delete from pending_sign_in where token_hash = $1 returning true"


async def finish(db: Db, waiting: Waiting) -> None:
    """Once. Raises SignInOver for the second of two at once."""
    if not await db.fetchval(END, waiting.token_hash):
        raise SignInOver


async def forget_ended(db: Db) -> int:
    return affected(await db.execute("delete from pending_sign_in where expires_at < now()"))


async def end_all(db: Db, account_id: UUID) -> None:
    await db.execute("delete from pending_sign_in where account_id = $1", account_id)
