"""Dispatches: everything in the outbox, mails and Telegram messages, as admins look through it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import lists, outbox
from limner.sql.outbox import STATE, UNDER_WAY

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


@dataclass(frozen=True)
class Told:
    """One of them in detail. ``said``: the words of a Telegram message. ``facts``: what the words of a mail are made of,
    without what is for its reader alone. ``name``: of the admin behind the chat. ``is_forgotten``: what it said is not
    known any more."""

    id: int
    channel: str
    recipient: str
    kind: str
    state: str
    is_under_way: bool
    error: str
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None
    next_at: datetime | None
    locale: str | None
    request_id: str | None
    said: str
    facts: dict[str, Any]
    name: str | None
    broadcast: str | None
    is_forgotten: bool


# A gift's code is worth money, and its words are for whom it is from and to.
GET = f"""
select n.id, n.channel, n.recipient, coalesce(n.template, n.subject) as kind, {STATE} as state, {UNDER_WAY} as is_under_way,
    n.error, n.attempts, n.created_at, n.sent_at, n.failed_at, n.next_at, n.locale, n.request_id,
    case when n.channel = 'telegram' then n.body else '' end as said,
    case when n.channel = 'mail' then coalesce(n.details, '{{}}') - '{{code,message}}'::text[] else '{{}}' end as facts,
    a.name, case when n.dedupe_key like 'broadcast %' then split_part(n.dedupe_key, ' ', 2) end as broadcast,
    n.template is not null and n.details is null as is_forgotten
from notice as n left join telegram_admin as a on n.channel = 'telegram' and a.telegram_id::text = n.recipient
where n.id = $1
"""


async def get(db: Db, notice_id: int) -> Told:
    """Raises NotFound."""
    row = await db.fetchrow(GET, notice_id)
    if row is None:
        raise NotFound("There is no such notice.")
    return Told(**row)


ACTS = """
select created_at, actor, action, before, after from audit
where subject = $1 and coalesce(after ->> 'mail', after ->> 'notice') = $2::text order by id desc limit 20
"""


async def acts(db: Db, told: Told) -> list[dict[str, Any]]:
    """What somebody did about it, the newest first."""
    subject = told.recipient if told.channel == "mail" else f"{told.channel} {told.recipient}"
    return [dict(row) for row in await db.fetch(ACTS, subject, str(told.id))]


# What an alert says depends on who reads it: whoever left, or reads less now, does not get what was written for them before.
READS_IT_STILL = """
select n.dedupe_key like 'broadcast %' or exists (select from telegram_admin as a where a.telegram_id::text = n.recipient)
    and not exists (
        select from audit as u where u.subject = 'telegram ' || n.recipient and u.created_at > n.created_at and (
            u.action in ('telegram.revoke', 'telegram.role')
            or u.action = 'telegram.pair' and u.before ->> 'role' is distinct from u.after ->> 'role'
        )
    )
from notice as n where n.id = $1 and n.channel = 'telegram'
"""
# Whom Telegram refused gets a mail in its place, and is not with this notice any more.
IS_STILL_THEIRS = """
select n.dedupe_key is null or not n.dedupe_key like 'broadcast %' or exists (
    select from broadcast_recipient as r
    where r.broadcast_id = case when n.dedupe_key like 'broadcast %' then split_part(n.dedupe_key, ' ', 2)::uuid end
        and r.channel = 'telegram' and r.notice_id = n.id
)
from notice as n where n.id = $1
"""


async def send_again(db: Db, told: Told, reason: str, *, actor: str, ip: str = "") -> None:
    """Also when it was given up. Raises Refused for one that is out, under way, or not for its reader any more."""
    async with db.transaction() as tx:
        if told.channel == "telegram":
            await _insist_on_reader(tx, told)
        await outbox.retry(tx, told.id, channel=told.channel, reason=reason, actor=actor, ip=ip)


async def _insist_on_reader(tx: Db, told: Told) -> None:
    """Raises Refused. The notice is held, so that nobody writes a mail in its place meanwhile."""
    await tx.execute("select from notice where id = $1 for update", told.id)
    if not await tx.fetchval(READS_IT_STILL, told.id):
        words = "Whoever it is for left the bot meanwhile, or has another role there: it is not sent to them any more."
        raise Refused(words)
    if not await tx.fetchval(IS_STILL_THEIRS, told.id):
        raise Refused("A mail goes to them in its place: they would get it twice.")


async def let_go(db: Db, told: Told, reason: str, *, actor: str, ip: str = "") -> None:
    """It is never sent. Raises Refused for one that has ended, or is under way."""
    await outbox.give_up(db, told.id, channel=told.channel, reason=reason, actor=actor, ip=ip)
