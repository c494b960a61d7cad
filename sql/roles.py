"""Roles: who may look, and who may act. Given and taken by an admin, never by oneself."""

from __future__ import annotations

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import audit, sessions
from limner.sql.accounts import ROLES, Account

ADMINS = "select id from account where role = 'admin' and banned_at is null order by id for update"
CHANGE = "update account set role = $2 where id = $1 and role = $3 and deleted_at is null returning role"


async def check(db: Db, account: Account, role: str, *, by: Account) -> None:
    """Raises Refused for what is wrong with it already."""
    if role not in ROLES:
        raise Refused(f"There is no role {role[:20]!r}: it is one of {', '.join(ROLES)}.", field="role")
    if account.id == by.id:
        raise Refused("Your own role is for another admin to change.", field="form")
    if account.role == role:
        raise Refused(f"{account.email} has the role {role!r} already.", field="role")
    if account.banned_at is not None and role != "user":
        raise Refused("Lift the ban first: who is banned cannot work here.", field="role")


async def change(db: Db, account: Account, role: str, reason: str, *, by: Account, ip: str = "") -> None:
    """It holds at the next request, and every session of theirs ends. Raises Refused: there is always an admin left."""
    await check(db, account, role, by=by)
    async with db.transaction() as tx:
        admins = {row["id"] for row in await tx.fetch(ADMINS)}
        if by.id not in admins:
            raise Refused("You are not an admin any more.", field="role")
        if not admins - {account.id} and role != "admin":
            raise Refused("This is the last admin: make another one first.", field="role")
        if await tx.fetchval(CHANGE, account.id, role, account.role) is None:
            raise Refused("Somebody else has changed that meanwhile: please look again.", field="role")
        await sessions.end_all(tx, account.id)
        before, after = {"role": account.role}, {"role": role, "reason": reason}
        await audit.record(tx, by.email, "account.role", account.email, before, after, ip=ip)
