"""Audit: every act that changes money, access or keys. Rows are only ever added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.runtime.database import Db

RECORD = "insert into audit (actor, action, subject, before, after, ip) values ($1, $2, $3, $4, $5, $6)"


async def record(
    db: Db,
    actor: str,
    action: str,
    subject: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    *,
    reason: str = "",
    ip: str = "",
) -> None:
    """Who did what to whom, in the transaction that does it. ``actor``: an e-mail address, "cli", "bot …" or "system".

    ``reason``: why, as it stands with what is so afterwards.
    """
    after = {**(after or {}), "reason": reason} if reason else after
    await db.execute(RECORD, actor, action, subject, before, after, ip)


@dataclass(frozen=True)
class Entry:
    id: int
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    ip: str
    created_at: datetime


LIST = """
select id, actor, action, subject, before, after, ip, created_at from audit
where $1::bigint is null or id < $1 order by id desc limit $2
"""


async def listing(db: Db, *, before: int | None = None, count: int = 50) -> list[Entry]:
    return [Entry(**row) for row in await db.fetch(LIST, before, count)]
