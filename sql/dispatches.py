"""Dispatches: everything in the outbox, mails and Telegram messages, as admins look through it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from limner.runtime.database import Db
from limner.sql import lists
from limner.sql.outbox import STATE

CHANNELS = ("mail", "telegram")
STATES = ("waiting", "sent", "failed")


@dataclass(frozen=True)
class Dispatch:
    """``kind``: the template of a mail, or its subject. What it says is not here: that is for its reader alone."""

    id: int
    channel: str
    recipient: str
    kind: str
    state: str
    error: str
    attempts: int
    created_at: datetime
    ended_at: datetime | None
    next_at: datetime | None


LIST = f"""
select n.id, n.channel, n.recipient, coalesce(n.template, n.subject) as kind, {STATE} as state, n.error, n.attempts,
    n.created_at, coalesce(n.sent_at, n.failed_at) as ended_at, n.next_at
from notice as n
where ($1 = '' or lower(n.recipient collate "C") like lower($1) or n.template like lower($1)
        or n.error <> '' and lower(n.error collate "C") like lower($1))
    and ($2 = '' or n.channel = $2)
    and case $3 when '' then true when 'waiting' then n.sent_at is null and n.failed_at is null
        when 'sent' then n.sent_at is not null when 'failed' then n.failed_at is not null and n.sent_at is null end
    and ($4::timestamptz is null or n.created_at >= $4) and ($5::timestamptz is null or n.created_at < $5)
    and ($6::bigint is null or n.id < $6)
order by n.id desc limit $7
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``text``: a part of the recipient, the kind or the error."""

    text: str = ""
    channel: str = ""
    state: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def listing(db: Db, sought: Sought, before: int | None = None, count: int = 50) -> list[Dispatch]:
    """Newest first."""
    asked = (lists.part(sought.text), sought.channel, sought.state, sought.since, sought.until)
    return [Dispatch(**row) for row in await lists.read(db, LIST, *asked, before, count)]
