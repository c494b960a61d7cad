"""Sessions: the browsers somebody is signed in with, kept on the server."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound
from limner.sql import audit, lists
from limner.sql.accounts import COLUMNS, Account

ABSOLUTE = "30 days"
FRESH = "10 minutes"
"""How long it counts that somebody showed who they are."""
IDLE = "14 days"


@dataclass(frozen=True)
class Look:
    """An admin sees what somebody else does: whose session it is, which visit, and until when."""

    admin: Account
    visit_id: UUID
    until: datetime


@dataclass(frozen=True)
class Session:
    """``account``: who the pages are for. With a ``look`` that is not whose session it is, and nothing may be changed."""

    id: UUID
    account: Account
    token_hash: bytes
    is_fresh: bool = False
    """Whether a password or a code was shown within the last ten minutes."""
    has_factor: bool = False
    """Whether a second factor guards the account."""
    look: Look | None = None


START = f"""
insert into session (token_hash, account_id, ip, agent, expires_at, proved_at)
values ($1, $2, $3, $4, now() + interval '{ABSOLUTE}', case when $5 then now() end)
"""


async def start(db: Db, account_id: UUID, *, ip: str, agent: str, proved: bool = True) -> str:
    """A new session; returns the token for the cookie (43 characters, 256 bits), of which only the hash is kept.

    ``proved``: a password or a code was shown just now, not merely the word of somebody else.
    """
    token = secrets.token_urlsafe(32)
    await db.execute(START, hashed(token), account_id, ip[:64], agent[:200], proved)
    return token


async def prove(db: Db, token_hash: bytes) -> None:
    """The person behind this session has shown again who they are."""
    await db.execute("update session set proved_at = now() where token_hash = $1", token_hash)


FIND = f"""
select s.id as session_id, s.token_hash, s.seen_at < now() - interval '1 minute' as is_stale,
    coalesce(s.proved_at > now() - interval '{FRESH}', false) as is_fresh,
    exists (select from second_factor as f where f.account_id = s.account_id and f.confirmed_at is not null) as has_factor,
    a.id, a.email, a.role, a.locale, a.verified_at, a.banned_at, a.ban_reason, a.created_at, a.deleted_at,
    v.id as visit_id, v.account_id as visited, v.until
from session as s
join account as a on a.id = s.account_id
left join visit as v on v.session_id = s.id and v.ended_at is null and v.until > now() and a.role = 'admin'
where s.token_hash = $1 and s.expires_at > now() and s.seen_at > now() - interval '{IDLE}' and a.banned_at is null
"""


async def find(db: Db, token: str) -> Session | None:
    """The live session of a token; None when it ended, idled out, or its account was banned."""
    row = await db.fetchrow(FIND, hashed(token))
    if row is None:
        return None
    if row["is_stale"]:
        await db.execute("update session set seen_at = now() where token_hash = $1", row["token_hash"])
    owner = Account(**{name: row[name] for name in Account.__dataclass_fields__})
    session = Session(row["session_id"], owner, row["token_hash"], row["is_fresh"], row["has_factor"])
    return session if row["visit_id"] is None else await _at_somebodys(db, session, row)


VISITED = f"select {COLUMNS} from account where id = $1 and role = 'user' and banned_at is null"


async def _at_somebodys(db: Db, session: Session, row: asyncpg.Record) -> Session:
    """The session as it shows somebody else's studio; its owner's own when that one was banned, or joined the staff."""
    visited = await db.fetchrow(VISITED, row["visited"])
    if visited is None:
        return session
    look = Look(session.account, row["visit_id"], row["until"])
    return replace(session, account=Account(**visited), is_fresh=False, look=look)


async def end(db: Db, token_hash: bytes) -> None:
    await db.execute("delete from session where token_hash = $1", token_hash)


async def end_one(db: Db, account_id: UUID, session_id: UUID) -> None:
    """One of the account's own. Raises NotFound."""
    if not affected(await db.execute("delete from session where id = $2 and account_id = $1", account_id, session_id)):
        raise NotFound("That device is signed out already.")


async def end_all(db: Db, account_id: UUID) -> int:
    return affected(await db.execute("delete from session where account_id = $1", account_id))


async def end_others(db: Db, account_id: UUID, keep: bytes) -> int:
    """Log out everywhere else; returns how many sessions ended."""
    return affected(
        await db.execute("delete from session where account_id = $1 and token_hash <> $2", account_id, keep)
    )


@dataclass(frozen=True)
class Seen:
    id: UUID
    ip: str
    agent: str
    created_at: datetime
    seen_at: datetime
    current: bool


LIST = """
select id, ip, agent, created_at, seen_at, token_hash = $2 as current from session
where account_id = $1 and expires_at > now() order by seen_at desc limit 50
"""


async def of_account(db: Db, account_id: UUID, current: bytes) -> list[Seen]:
    return [Seen(**row) for row in await db.fetch(LIST, account_id, current)]


EVERYBODYS = f"""
with page as (
    select s.* from session as s
    where s.expires_at > now() and s.seen_at > now() - interval '{IDLE}'
        and ($1 = '' or s.account_id in (select a.id from account as a where a.email_key like lower($1)) or s.ip = $2)
        and ($3::uuid is null or s.account_id = $3)
        and ($4 = '' or s.account_id in (select a.id from account as a where a.role = $4))
        and ($5::timestamptz is null or s.created_at >= $5) and ($6::timestamptz is null or s.created_at < $6)
        and ($7::timestamptz is null or (s.created_at, s.id) < ($7, $8::uuid))
    order by s.created_at desc, s.id desc limit $9
)
select page.id, page.account_id, a.email, a.role, page.ip, page.agent, page.created_at, page.seen_at
from page join account as a on a.id = page.account_id order by page.created_at desc, page.id desc
"""


@dataclass(frozen=True)
class Somebodys:
    id: UUID
    account_id: UUID
    email: str
    role: str
    ip: str
    agent: str
    created_at: datetime
    seen_at: datetime


@dataclass(frozen=True)
class Sought:
    """Whose to show; what is empty hides none. ``text``: a part of the address of the account, or the browser's own."""

    text: str = ""
    account: UUID | None = None
    role: str = ""
    since: datetime | None = None
    until: datetime | None = None


Place = tuple[datetime | None, UUID | None]


async def listing(db: Db, sought: Sought, before: Place = (None, None), count: int = 50) -> list[Somebodys]:
    """Everybody's that live, the newest first."""
    asked = (lists.part(sought.text), sought.text, sought.account, sought.role, sought.since, sought.until)
    return [Somebodys(**row) for row in await lists.read(db, EVERYBODYS, *asked, *before, count)]


@dataclass(frozen=True)
class Found(Somebodys):
    """``ends_at``: when it ends by itself, however it is used. ``visited``: whose studio it looks at."""

    ends_at: datetime
    proved_at: datetime | None
    visited: str | None
    others: int


GET = f"""
select s.id, s.account_id, a.email, a.role, s.ip, s.agent, s.created_at, s.seen_at, s.expires_at as ends_at, s.proved_at,
    (select o.email from visit as v join account as o on o.id = v.account_id
        where v.session_id = s.id and v.ended_at is null and v.until > now() limit 1) as visited,
    (select count(*)::int from session as t where t.account_id = s.account_id and t.id <> s.id and t.expires_at > now()
        and t.seen_at > now() - interval '{IDLE}') as others
from session as s join account as a on a.id = s.account_id
where s.id = $1 and s.expires_at > now() and s.seen_at > now() - interval '{IDLE}'
"""


async def get(db: Db, session_id: UUID) -> Found:
    """Raises NotFound for one that ended."""
    row = await db.fetchrow(GET, session_id)
    if row is None:
        raise NotFound("That device is signed out already.")
    return Found(**row)


NAMES = """
select s.id::text as id, a.email || ', ' || s.agent as name from session as s join account as a on a.id = s.account_id
where s.id = any($1::uuid[])
union all
select a.id::text, a.email from account as a where a.id = any($1::uuid[])
"""


async def names(db: Db, ids: Sequence[UUID]) -> dict[str, str]:
    """Whose these are, of sessions and of accounts."""
    return {row["id"]: row["name"] for row in await db.fetch(NAMES, ids)}


END_FOR = """
delete from session as s using account as a where s.id = $1 and a.id = s.account_id returning a.email
"""


async def end_for(db: Db, session_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """Somebody who runs the place ends it. Raises NotFound."""
    async with db.transaction() as tx:
        email = await tx.fetchval(END_FOR, session_id)
        if email is None:
            raise NotFound("That device is signed out already.")
        await audit.record(tx, actor, "session.end", email, {"sessions": 1}, {"reason": reason}, ip=ip)


FORGET = f"delete from session where expires_at < now() or seen_at < now() - interval '{IDLE}'"


async def forget_ended(db: Db) -> int:
    return affected(await db.execute(FORGET))


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
