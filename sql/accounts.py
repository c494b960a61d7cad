"""Accounts: who uses the studio."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit

ROLES = ("user", "support", "admin")
LOCALES = {"en": "English", "ru": "Русский", "zh": "中文"}


@dataclass(frozen=True)
class Account:
    id: UUID
    email: str
    role: str
    locale: str
    verified_at: datetime | None
    banned_at: datetime | None
    ban_reason: str | None
    created_at: datetime
    deleted_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


class EmailTaken(Refused):
    """There is an account with this address already: sign in instead."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="email", code="email_taken")


COLUMNS = "id, email, role, locale, verified_at, banned_at, ban_reason, created_at, deleted_at"

CREATE = f"""
insert into account (email, password_hash, role, invitation_id, verified_at)
values ($1, $2, $3, $4, case when $5 then now() end) returning {COLUMNS}
"""


async def create(
    db: Db,
    email: str,
    password_hash: str,
    *,
    role: str = "user",
    invitation_id: UUID | None = None,
    is_verified: bool = False,
) -> Account:
    """A new account with an empty balance. Raises EmailTaken."""
    try:
        async with db.transaction() as tx:
            row = await tx.fetchrow(CREATE, email, password_hash, role, invitation_id, is_verified)
            assert row is not None
            await tx.execute("insert into balance (account_id) values ($1)", row["id"])
            return Account(**row)
    except asyncpg.UniqueViolationError as error:
        raise EmailTaken from error


GET = f"select {COLUMNS} from account where id = $1"


async def get(db: Db, account_id: UUID) -> Account:
    """Raises NotFound."""
    row = await db.fetchrow(GET, account_id)
    if row is None:
        raise NotFound("There is no such account.")
    return Account(**row)


FIND = f"select {COLUMNS} from account where email_key = lower($1)"


async def find(db: Db, email: str) -> Account | None:
    row = await db.fetchrow(FIND, email)
    return None if row is None else Account(**row)


PASSWORD = f"select password_hash, {COLUMNS} from account where email_key = lower($1)"


async def with_password(db: Db, email: str) -> tuple[Account, str] | None:
    """The account and its password hash, to check a sign-in against."""
    row = await db.fetchrow(PASSWORD, email)
    if row is None:
        return None
    fields = dict(row)
    return Account(**{name: value for name, value in fields.items() if name != "password_hash"}), fields[
        "password_hash"
    ]


async def set_password(db: Db, account_id: UUID, password_hash: str) -> None:
    await db.execute("update account set password_hash = $2 where id = $1", account_id, password_hash)


SET_LOCALE = "update account set locale = $2 where id = $1"


async def set_locale(db: Db, account_id: UUID, locale: str) -> None:
    """The language of the mails that the account gets. Raises Refused."""
    if locale not in LOCALES:
        raise Refused(f"There is no language {locale[:20]!r} here: it is one of {', '.join(LOCALES)}.", field="locale")
    await db.execute(SET_LOCALE, account_id, locale)


SET_ROLE = "update account set role = $2 where id = $1 and role <> $2 and deleted_at is null returning role"


async def set_role(db: Db, account: Account, role: str, *, actor: str) -> None:
    """Promote or demote; takes effect at the next request. Raises Refused for an unknown role."""
    if role not in ROLES:
        raise Refused(f"There is no role {role!r}: it is one of {', '.join(ROLES)}.", field="role")
    async with db.transaction() as tx:
        if await tx.fetchval(SET_ROLE, account.id, role):
            await audit.record(tx, actor, "account.role", account.email, {"role": account.role}, {"role": role})


BAN = "update account set banned_at = now(), ban_reason = $2 where id = $1 and banned_at is null"
UNBAN = """
update account set banned_at = null, ban_reason = null
where id = $1 and banned_at is not null and deleted_at is null
"""


async def ban(db: Db, account: Account, reason: str, *, actor: str, ip: str = "", told: str = "") -> None:
    """Shut the account out at once: its sessions end too. Raises Refused when it runs the place.

    ``told``: what stands in the file with all that is kept of them, where that is not the reason.
    """
    if account.is_admin:
        raise Refused("An admin cannot be banned: take the role away first.", field="reason")
    async with db.transaction() as tx:
        if affected(await tx.execute(BAN, account.id, told or reason)):
            await tx.execute("delete from session where account_id = $1", account.id)
            before, after = {"banned": False}, {"banned": True, "reason": reason}
            await audit.record(tx, actor, "account.ban", account.email, before, after, ip=ip)


async def unban(db: Db, account: Account, reason: str, *, actor: str, ip: str = "") -> None:
    async with db.transaction() as tx:
        if affected(await tx.execute(UNBAN, account.id)):
            before, after = {"banned": True, "reason": account.ban_reason}, {"banned": False, "reason": reason}
            await audit.record(tx, actor, "account.unban", account.email, before, after, ip=ip)


LIST = """
select a.id, a.email, a.role, a.banned_at, a.deleted_at, a.created_at, coalesce(b.available, 0) as available,
    coalesce(b.held, 0) as held, s.state, p.name as plan
from account as a
left join balance as b on b.account_id = a.id
left join subscription as s on s.account_id = a.id and s.state in ('pending_activation', 'active', 'past_due')
left join plan as p on p.id = s.plan_id
where ($1 = '' or strpos(a.email_key, lower($1)) > 0)
    and ($2::timestamptz is null or (a.created_at, a.id) < ($2, $3))
order by a.created_at desc, a.id desc
limit $4
"""


async def listing(
    db: Db, *, search: str = "", before: tuple[datetime | None, UUID | None] = (None, None), count: int = 50
) -> list[dict[str, Any]]:
    """Newest first, for the admin. ``search`` is a part of the address, taken literally."""
    return [dict(row) for row in await db.fetch(LIST, search, *before, count)]


NEWER = LIST.replace("(a.created_at, a.id) < (", "(a.created_at, a.id) > (").replace(" desc", "")


async def newer(db: Db, search: str, than: tuple[datetime | None, UUID | None], count: int) -> list[dict[str, Any]]:
    """The next ones above this place, newest first."""
    return [dict(row) for row in reversed(await db.fetch(NEWER, search, *than, count))]
