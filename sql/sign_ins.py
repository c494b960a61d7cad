"""Sign-ins: each time somebody came in, or tried to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db, affected

KEPT = "90 days"


@dataclass(frozen=True)
class SignIn:
    way: str
    is_refused: bool
    ip: str
    agent: str
    created_at: datetime


RECORD = "insert into sign_in (account_id, way, is_refused, ip, agent) values ($1, $2, $3, $4, $5)"


async def record(
    db: Db, account_id: UUID | None, *, is_refused: bool, ip: str, agent: str, way: str = "password"
) -> None:
    """``way``: password, or what else lets people in. None: there is no such account, and it takes as long to say so."""
    await db.execute(RECORD, account_id, way, is_refused, ip[:64], agent[:200])


LIST = """
select way, is_refused, ip, agent, created_at from sign_in where account_id = $1 order by id desc limit $2
"""


async def of_account(db: Db, account_id: UUID, count: int = 10) -> list[SignIn]:
    """The newest first."""
    return [SignIn(**row) for row in await db.fetch(LIST, account_id, count)]


FORGET = f"""
delete from sign_in where created_at < now() - interval '{KEPT}'
    or account_id is null and created_at < now() - interval '1 day'
"""


async def forget_old(db: Db) -> int:
    return affected(await db.execute(FORGET))
