"""Notices: the outbox of messages to people, each delivered once by the courier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from limner.runtime import tracing
from limner.runtime.database import Db, affected
from limner.runtime.log import request_id
from limner.sql.channels import NOTICE_QUEUED


@dataclass(frozen=True)
class Notice:
    """One that somebody has set out with. ``attempts`` is the fence: who sets out next has a greater one.

    ``request_id`` and ``traceparent``: of what caused it, if somebody did. ``buttons``: rows of them, below the text.
    """

    id: int
    channel: str
    recipient: str
    subject: str
    body: str
    request_id: str | None
    traceparent: str | None
    attempts: int
    is_broadcast: bool
    buttons: list[list[dict[str, Any]]] | None = None


Buttons = Sequence[Sequence[Mapping[str, str]]]
"""Rows of what stands below a Telegram message: "text" of each, and the "data" that it carries, or the "url" it opens."""
APART = "new:"
"""Stands before what a button below a notice carries at Telegram: it opens a message of its own, and the notice stays."""

QUEUE = """
insert into notice (channel, recipient, subject, body, dedupe_key, request_id, traceparent, buttons, details)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (channel, recipient, dedupe_key) where dedupe_key is not null do nothing
"""


async def queue(
    db: Db,
    channel: str,
    recipient: str,
    body: str,
    *,
    subject: str = "",
    dedupe_key: str | None = None,
    buttons: Buttons = (),
    details: Mapping[str, object] | None = None,
) -> None:
    """Write it into the outbox, in the transaction of what it tells about. Channels: "telegram", "mail"."""
    rows = [[dict(each) for each in row] for row in buttons] or None
    about = (dedupe_key, request_id(), tracing.traceparent(), rows)
    await db.execute(QUEUE, channel, recipient, subject, body, *about, details)
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


HALTED = """
coalesce(dedupe_key in (select 'broadcast ' || b.id from broadcast as b where b.state = 'stopped'), false)
"""
"""Of a notice: it belongs to a broadcast that is stopped, and stays where it is until that goes on."""
# A broadcast lets everything else pass.
TAKE = f"""
with next as (
    select id from notice
    where channel = $1 and sent_at is null and failed_at is null and (next_at is null or next_at <= now()) and not {HALTED}
    order by starts_with(coalesce(dedupe_key, ''), 'broadcast '), id limit 1 for update skip locked
)
update notice as n set attempts = n.attempts + 1, next_at = now() + make_interval(secs => $2)
from next where n.id = next.id
returning n.id, n.channel, n.recipient, n.subject, n.body, n.request_id, n.traceparent, n.attempts,
    starts_with(coalesce(n.dedupe_key, ''), 'broadcast ') as is_broadcast, n.buttons
"""


async def take(db: Db, channel: str, seconds: float) -> Notice | None:
    """The next one to deliver. Nobody else takes it for so long, and then anybody may."""
    row = await db.fetchrow(TAKE, channel, seconds)
    return None if row is None else Notice(**row)


WITHHOLD = """
update notice set failed_at = now(), error = 'not for them any more'
where channel = 'telegram' and recipient = $1 and dedupe_key like 'alert %' and sent_at is null and failed_at is null
    and not ($2 and coalesce(details ->> 'is_for_all', '') = 'true')
"""


async def withhold_alerts(db: Db, telegram_id: int, *, but_for_all: bool = False) -> None:
    """What waits for this admin of the bot is not theirs to read any more, in the transaction that takes their role away.

    ``but_for_all``: what tells nothing of money, whoever reads it, still is.
    """
    await db.execute(WITHHOLD, str(telegram_id), but_for_all)


@dataclass(frozen=True)
class Untaken:
    """A message that Telegram has not taken, to any of those whom it is for. ``ids``: their notices.

    ``details``: what it says in each language; None: a release before this one wrote it.
    """

    dedupe_key: str
    body: str
    details: dict[str, Any] | None
    ids: list[int]

    def text(self, language: str) -> str:
        said = (self.details or {}).get("said", {})
        return str(said.get(language, self.body))


WITHOUT_MONEY = " without money"
"""How the key of a message ends that some get without what it says of money."""


def without_money(dedupe_key: str) -> str:
    return dedupe_key + WITHOUT_MONEY


# Of what is said without its money, the other one tells everything. One that is on its way leaves its message for the next look.
# One that somebody let go is as if it had never been.
UNTAKEN = f"""
with own as (
    select id, dedupe_key, body, details, sent_at, failed_at, created_at from notice
    where channel = 'telegram' and dedupe_key like 'alert %' and created_at > now() - interval '2 days'
        and not dedupe_key like '%{WITHOUT_MONEY}' and let_go_at is null
),
stuck as (
    select dedupe_key, min(body) as body, (array_agg(details))[1] as details, count(*) as n from own group by dedupe_key
    having bool_and(sent_at is null)
        and (bool_and(failed_at is not null) or min(created_at) < now() - make_interval(mins => $1))
),
unmailed as (
    select * from stuck as s where not exists (
        select from notice as m where m.channel = 'mail' and m.dedupe_key like 'alert %' and m.dedupe_key = s.dedupe_key
    )
),
held as (
    select id, dedupe_key from notice
    where id in (select o.id from own as o join unmailed using (dedupe_key)) and sent_at is null
        and (failed_at is not null or next_at is null or next_at <= now())
    for update skip locked
)
select dedupe_key, body, details, array_agg(held.id order by held.id) as ids from unmailed join held using (dedupe_key)
group by dedupe_key, body, details, n having count(*) = n order by min(held.id)
"""


async def untaken(db: Db, minutes: int) -> list[Untaken]:
    """Alerts that Telegram refused, or has not taken for so long; locked until the transaction ends."""
    return [Untaken(**row) for row in await db.fetch(UNTAKEN, minutes)]


REROUTED = """
update notice set failed_at = coalesce(failed_at, now()),
    error = case when error = '' then 'it went by mail instead' else error end
where id = any($1::bigint[])
"""


async def rerouted(db: Db, found: Untaken) -> None:
    """Telegram is not to have it any more."""
    await db.execute(REROUTED, found.ids)


# A key keeps a message from being queued again, for as long as whatever queues it could come back to it.
FORGET = """
delete from notice where id in (
    select id from notice
    where coalesce(sent_at, failed_at) < now() - case
        when channel = 'mail' and dedupe_key is not null then interval '400 days' else interval '90 days' end
    order by id limit 5000
)
"""


async def forget_old(db: Db) -> int:
    """Remove what was delivered, or given up, long ago; returns how many, at most a few thousand at once."""
    return affected(await db.execute(FORGET))
