"""Visits: an admin sees the studio as somebody does, and can change nothing there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import audit
from limner.sql.accounts import Account

MINUTES = 15
"""The most that one lasts."""

# Whose session this is, and whom it may show. The session is locked: while it ends, nobody begins.
BEGIN = f"""
insert into visit (session_id, admin_id, account_id, until)
select s.id, s.account_id, a.id, now() + interval '{MINUTES} minutes'
from session as s join account as a on a.id = $2
where s.id = $1 and s.account_id <> a.id and a.role = 'user' and a.banned_at is null
for update of s
returning until
"""


async def begin(db: Db, session_id: UUID, admin: Account, account: Account, reason: str, *, ip: str = "") -> datetime:
    """From now on the session shows what ``account`` sees. Returns until when. Raises Refused for staff and the banned."""
    async with db.transaction() as tx:
        await end_overdue(tx)
        try:
            until = await tx.fetchval(BEGIN, session_id, account.id)
        except asyncpg.UniqueViolationError as error:
            raise Refused("You are at somebody's already: leave there first.", field="form") from error
        if until is None:
            raise Refused(
                "Only who uses the studio can be visited: no admins, no supporters, nobody who is banned.", field="form"
            )
        after = {"reason": reason, "until": until.isoformat(timespec="seconds")}
        await audit.record(tx, admin.email, "account.visit", account.email, None, after, ip=ip)
        return until  # type: ignore[no-any-return]


END = """
update visit as v set ended_at = now() from account as a
where v.session_id = $1 and v.ended_at is null and a.id = v.account_id returning a.email
"""


async def end(db: Db, session_id: UUID, admin: Account, *, ip: str = "") -> None:
    """The session shows the admin's own again."""
    async with db.transaction() as tx:
        email = await tx.fetchval(END, session_id)
        if email is not None:
            await audit.record(tx, admin.email, "account.visit_end", email, None, {"how": "left"}, ip=ip)


# Over because its time is, or because the admin's session is gone.
END_OVERDUE = """
update visit as v set ended_at = least(now(), v.until) from account as a
where v.ended_at is null and a.id = v.account_id
    and (v.until < now() or not exists (select from session as s where s.id = v.session_id))
returning a.email, (select b.email from account as b where b.id = v.admin_id) as admin, v.until < now() as is_late
"""


async def end_overdue(db: Db) -> None:
    """Those that nobody left."""
    async with db.transaction() as tx:
        for row in await tx.fetch(END_OVERDUE):
            how = {"how": "its time was over" if row["is_late"] else "signed out", "who": row["admin"]}
            await audit.record(tx, "system", "account.visit_end", row["email"], None, how)


@dataclass(frozen=True)
class Visit:
    """``ended_at``: now, of one that goes on."""

    began_at: datetime
    ended_at: datetime


OF_ACCOUNT = """
select began_at, least(coalesce(ended_at, now()), until) as ended_at from visit
where account_id = $1 order by began_at desc limit $2
"""


async def of_account(db: Db, account_id: UUID, count: int = 10) -> list[Visit]:
    """For whoever was visited, the latest first. By whom and why, the audit knows."""
    return [Visit(**row) for row in await db.fetch(OF_ACCOUNT, account_id, count)]
