"""Sign-ins: each time somebody came in, or tried to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.sql import notices, places
from limner.sql.accounts import Account

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


# What was there before the statement is what was known before: with nothing known there is nothing to tell of.
NOTE_PLACE = """
with seen as (
    insert into known_place as k (account_id, device, network) values ($1, $2, $3)
    on conflict (account_id, device, network) do update set seen_at = now()
    returning xmax = 0 as is_new
)
select is_new and a.wants_sign_in_mail and exists (select from known_place where account_id = $1)
from seen cross join account as a where a.id = $1
"""


async def came_in(db: Db, account: Account, *, ip: str, agent: str) -> None:
    """Somebody has a session now. The owner hears of a device or a network that was not seen before, once, unless they do
    not want to. The first one is theirs."""
    device = places.device(agent)
    async with db.transaction() as tx:
        if await tx.fetchval(NOTE_PLACE, account.id, device, places.subnet(ip)):
            at = datetime.now(UTC).isoformat(timespec="seconds")
            about = {"device": device, "ip": ip, "at": at, "path": "/account"}
            await notices.mail(tx, account.email, "sign_in_new", locale=account.locale, details=about)


WANT_MAIL = "update account set wants_sign_in_mail = $2 where id = $1"
WANTS_MAIL = "select wants_sign_in_mail from account where id = $1"


async def want_mail(db: Db, account_id: UUID, *, wanted: bool) -> None:
    await db.execute(WANT_MAIL, account_id, wanted)


async def wants_mail(db: Db, account_id: UUID) -> bool:
    return bool(await db.fetchval(WANTS_MAIL, account_id))


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


FORGET_PLACES = "delete from known_place where seen_at < now() - interval '180 days'"


async def forget_old(db: Db) -> int:
    await db.execute(FORGET_PLACES)
    return affected(await db.execute(FORGET))
