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
where v.session_id = $1 and v.ended_at is null and a.id = v.account_id returning a.id, a.email
"""


async def end(db: Db, session_id: UUID, admin: Account, *, ip: str = "") -> UUID | None:
    """The session shows the admin's own again. Returns who was visited."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(END, session_id)
        if row is None:
            return None
        await audit.record(tx, admin.email, "account.visit_end", row["email"], None, {"how": "left"}, ip=ip)
        return row["id"]  # type: ignore[no-any-return]


# Over because its time is, because the admin's session is gone, or because nobody may see what this account sees any more.
END_OVERDUE = """
update visit as v set ended_at = least(now(), v.until) from account as a
where v.ended_at is null and a.id = v.account_id
    and (v.until < now() or a.banned_at is not null or a.role <> 'user'
        or not exists (select from session as s where s.id = v.session_id))
returning a.email, (select b.email from account as b where b.id = v.admin_id) as admin,
    case when v.until < now() then 'its time was over' when a.banned_at is not null then 'who was visited is banned'
        when a.role <> 'user' then 'who was visited works here' else 'signed out' end as how
"""


async def end_overdue(db: Db) -> None:
    """Those that nobody left."""
    async with db.transaction() as tx:
        for row in await tx.fetch(END_OVERDUE):
            how = {"how": row["how"], "who": row["admin"]}
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
