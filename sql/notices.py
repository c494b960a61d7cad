"""Notices: the outbox of messages to people, each delivered once by the courier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from limner.runtime import tracing
from limner.runtime.database import Db
from limner.runtime.log import request_id
from limner.sql.channels import NOTICE_QUEUED


@dataclass(frozen=True)
class Notice:
    """``request_id`` and ``traceparent``: of what caused it, if somebody did."""

    id: int
    channel: str
    recipient: str
    subject: str
    body: str
    request_id: str | None
    traceparent: str | None


QUEUE = """
insert into notice (channel, recipient, subject, body, dedupe_key, request_id, traceparent)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (channel, recipient, dedupe_key) where dedupe_key is not null do nothing
"""


async def queue(
    db: Db, channel: str, recipient: str, body: str, *, subject: str = "", dedupe_key: str | None = None
) -> None:
    """Write it into the outbox, in the transaction of what it tells about. Channels: "telegram", "mail"."""
    await db.execute(QUEUE, channel, recipient, subject, body, dedupe_key, request_id(), tracing.traceparent())
    db.tell(NOTICE_QUEUED)


MAIL = """
insert into notice (channel, recipient, body, template, locale, details, ticket_id, dedupe_key, request_id, traceparent)
values ('mail', $1, '', $2, $3, $4, $5, $6, $7, $8)
on conflict (channel, recipient, dedupe_key) where dedupe_key is not null do nothing
"""


async def mail(
    db: Db,
    recipient: str,
    template: str,
    *,
    locale: str = "en",
    details: Mapping[str, object] | None = None,
    ticket_id: UUID | None = None,
    dedupe_key: str | None = None,
) -> None:
    """A mail from a template, in the transaction of what it tells about. ``ticket_id``: whose link stands in it.

    ``details`` are what the template says, as JSON holds it; nothing secret. The courier writes the mail when it goes out.
    """
    about = (dict(details or {}), ticket_id, dedupe_key, request_id(), tracing.traceparent())
    await db.execute(MAIL, recipient, template, locale, *about)
    db.tell(NOTICE_QUEUED)


# A broadcast lets everything else pass.
TAKE = """
select id, channel, recipient, subject, body, request_id, traceparent from notice
where sent_at is null and failed_at is null and channel = any($1::text[])
order by starts_with(coalesce(dedupe_key, ''), 'broadcast '), id limit $2 for update skip locked
"""


async def take(db: Db, channels: list[str], count: int = 10) -> list[Notice]:
    """The next ones to deliver, locked until the transaction ends."""
    return [Notice(**row) for row in await db.fetch(TAKE, channels, count)]


async def sent(db: Db, notice_id: int) -> None:
    await db.execute("update notice set sent_at = now() where id = $1", notice_id)


async def failed(db: Db, notice_id: int, error: str) -> None:
    """It can never be delivered; ``error`` says why."""
    await db.execute("update notice set failed_at = now(), error = $2 where id = $1", notice_id, error[:300])
