"""The outbox as admins see it: which mails went, which wait and why, and the links that somebody has to pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, lists, tickets
from limner.sql.channels import NOTICE_QUEUED
from limner.sql.mails import WHY_SPENT
from limner.sql.tickets import LinkSpent

STATES = ("waiting", "sent", "failed")


@dataclass(frozen=True)
class Entry:
    """``has_link``: it carries one that still holds and may be passed on, since the mail itself has not gone out."""

    id: int
    recipient: str
    name: str
    state: str
    error: str
    attempts: int
    created_at: datetime
    next_at: datetime | None
    ended_at: datetime | None
    is_under_way: bool
    has_link: bool


STATE = "case when n.sent_at is not null then 'sent' when n.failed_at is not null then 'failed' else 'waiting' end"
UNDER_WAY = "(n.failed_at is null and n.sent_at is null and n.attempts > 0 and n.error = '' and n.next_at > now())"
LIST = f"""
select n.id, n.recipient, coalesce(n.template, n.subject) as name, {STATE} as state, n.error, n.attempts, n.created_at,
    n.next_at, coalesce(n.sent_at, n.failed_at) as ended_at, {UNDER_WAY} as is_under_way,
    n.sent_at is null and n.ticket_id is not null and {WHY_SPENT} = '' as has_link
from notice as n left join ticket as t on t.id = n.ticket_id
where n.channel = 'mail' and ($1 = '' or {STATE} = $1) and ($2::bigint is null or n.id < $2)
    and ($3 = '' or lower(n.recipient collate "C") like lower($3) or n.template like lower($3))
    and ($4::timestamptz is null or n.created_at >= $4) and ($5::timestamptz is null or n.created_at < $5)
order by n.id desc limit $6
"""


async def listing(
    db: Db, *, state: str = "", search: str = "", since: datetime | None = None, until: datetime | None = None,
    before: int | None = None, count: int = 50,
) -> list[Entry]:  # fmt: skip
    """The newest first. ``state``: one of STATES; "": all. ``search``: a part of the recipient, or of the kind."""
    asked = (state, before, lists.part(search), since, until)
    return [Entry(**row) for row in await lists.read(db, LIST, *asked, count)]


LINK = f"""
select n.recipient, n.template, n.ticket_id, n.sent_at is not null as sent, t.purpose, {WHY_SPENT} as spent
from notice as n left join ticket as t on t.id = n.ticket_id where n.id = $1 and n.channel = 'mail'
"""


@dataclass(frozen=True)
class Shown:
    id: int
    recipient: str
    link: str


async def link(db: Db, mail_id: int, public_url: str, secret_keys: Sequence[str], *, actor: str, ip: str = "") -> Shown:
    """The link of a mail that has not gone out, for somebody to pass on; that it was shown is written down.

    Raises NotFound, LinkSpent, or Refused for a mail without a link, or one that is on its way by itself.
    """
    async with db.transaction() as tx:
        row = await tx.fetchrow(LINK, mail_id)
        if row is None:
            raise NotFound
        if row["ticket_id"] is None:
            raise Refused("This mail carries no link of its own.", code="no_link")
        if row["sent"]:
            raise Refused("This mail went out: its link is with whom it is for.", code="mail_sent")
        if row["spent"]:
            raise LinkSpent
        subject, after = row["recipient"], {"mail": mail_id, "template": row["template"]}
        await audit.record(tx, actor, "mail.link_shown", subject, None, after, ip=ip)
        ticket_id: UUID = row["ticket_id"]
        return Shown(mail_id, subject, tickets.link(ticket_id, row["purpose"], public_url, secret_keys))


KINDS = {"mail": "mail", "telegram": "notice"}
"""What the audit calls what goes by each channel."""
HELD = f"""
select {STATE} as state, n.error, {UNDER_WAY} as is_under_way from notice as n where n.id = $1 and n.channel = $2 for update
"""
# The fence (attempts) stays, and so does the length of its pauses.
RETRY = f"""
update notice as n set failed_at = null, let_go_at = null, next_at = null, error = ''
where n.id = $1 and n.channel = $2 and n.sent_at is null and not {UNDER_WAY} and (n.details is not null or n.template is null)
returning n.recipient
"""
GIVE_UP = f"""
update notice as n set failed_at = now(), let_go_at = now(), error = $3
where n.id = $1 and n.channel = $2 and n.sent_at is null and n.failed_at is null and not {UNDER_WAY}
returning n.recipient
"""


async def retry(
    db: Db, notice_id: int, *, channel: str = "mail", reason: str = "", actor: str, ip: str = ""
) -> None:  # fmt: skip
    """Send it now, also when it was given up. Raises NotFound, or Refused for one that is out or under way."""
    async with db.transaction() as tx:
        held = await _held(tx, notice_id, channel)
        recipient = await tx.fetchval(RETRY, notice_id, channel)
        if recipient is None:
            raise _why_not(held, channel, "given up, and what it said is forgotten")
        await _record(tx, "retry", notice_id, channel, recipient, held, reason, actor, ip)
        tx.tell(NOTICE_QUEUED)


async def give_up(
    db: Db, notice_id: int, *, channel: str = "mail", reason: str = "", actor: str, ip: str = ""
) -> None:  # fmt: skip
    """Never send it. Raises NotFound, or Refused for one that has ended already, or is under way."""
    async with db.transaction() as tx:
        held = await _held(tx, notice_id, channel)
        recipient = await tx.fetchval(GIVE_UP, notice_id, channel, f"given up by {actor}")
        if recipient is None:
            raise _why_not(held, channel, "given up already")
        await _record(tx, "give_up", notice_id, channel, recipient, held, reason, actor, ip)


async def _record(
    tx: Db,
    act: str,
    notice_id: int,
    channel: str,
    recipient: str,
    held: asyncpg.Record,
    reason: str,
    actor: str,
    ip: str,
) -> None:
    kind, subject = KINDS[channel], recipient if channel == "mail" else f"{channel} {recipient}"
    before = {"state": held["state"], **({"error": held["error"]} if held["error"] else {})}
    await audit.record(tx, actor, f"{kind}.{act}", subject, before, {kind: notice_id}, reason=reason, ip=ip)


async def _held(tx: Db, notice_id: int, channel: str) -> asyncpg.Record:
    """As it is; nobody else changes it until the transaction ends. Raises NotFound."""
    row = await tx.fetchrow(HELD, notice_id, channel)
    if row is None:
        raise NotFound
    return row


def _why_not(held: asyncpg.Record, channel: str, failed: str) -> Refused:
    """Why nothing can be done with it."""
    what = "mail" if channel == "mail" else "message"
    if held["is_under_way"]:
        return Refused(f"This {what} is on its way just now: look again in a minute.", code=f"{what}_under_way")
    words = {"sent": f"This {what} has gone out.", "failed": f"This {what} was {failed}."}
    return Refused(words.get(held["state"], f"Nothing can be done with this {what}."), code=f"{what}_ended")


NAMES = "select id, recipient, coalesce(template, subject) as name from notice where id = any($1::bigint[]) and channel = 'mail'"


async def names(db: Db, ids: Sequence[int]) -> dict[str, str]:
    """To whom these are, and of which kind."""
    return {
        str(row["id"]): f"{row['recipient']}: {row['name'].replace('_', ' ')}" for row in await db.fetch(NAMES, ids)
    }
