"""Mails on their way: notices that the Postman takes one by one, each with a time of its own to come back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.sql.notices import HALTED

MOST_ATTEMPTS = 10
PATIENCE = "3 days"
"""A mail is given up when it is older and was tried that often: some servers only want to see it come back."""
UNSENT = "30 days"
"""After that a mail that nobody could send is given up: nobody waits for it any more."""
KEPT = "30 days"
"""For how long it is known what a mail said."""


@dataclass(frozen=True)
class Mail:
    """One that somebody has set out with. ``attempts`` is the fence: who sets out next has a greater one.

    ``spent``: why its link is of no use any more; empty: it holds, or there is none.
    """

    id: int
    recipient: str
    subject: str
    body: str
    template: str | None
    locale: str | None
    details: dict[str, Any] | None
    ticket_id: UUID | None
    purpose: str | None
    spent: str
    attempts: int
    created_at: datetime
    request_id: str | None
    traceparent: str | None


DUE = f"""
select exists (
    select from notice
    where channel = 'mail' and sent_at is null and failed_at is null and (next_at is null or next_at <= now())
        and not {HALTED}
)
"""


async def is_any_due(db: Db) -> bool:
    return bool(await db.fetchval(DUE))


WHY_SPENT = """
case when n.ticket_id is null then '' when t.id is null then 'its link is gone'
    when t.used_at is not null then 'its link was used, or replaced by a newer one'
    when t.expires_at <= now() then 'its link has expired' else '' end
"""
DROP_SPENT = f"""
update notice as n set failed_at = now(), error = {WHY_SPENT}
from notice as same left join ticket as t on t.id = same.ticket_id
where same.id = n.id and n.channel = 'mail' and n.sent_at is null and n.failed_at is null and {WHY_SPENT} <> ''
    and (n.next_at is null or n.next_at <= now())
"""


async def drop_spent(db: Db) -> None:
    """Those whose link is of no use any more are not sent."""
    await db.execute(DROP_SPENT)


# A broadcast lets every other mail pass: somebody waits for a new password.
TAKE = f"""
with next as (
    select id from notice
    where channel = 'mail' and sent_at is null and failed_at is null and (next_at is null or next_at <= now())
        and not {HALTED}
    order by template is not distinct from 'broadcast', coalesce(next_at, created_at), id limit 1 for update skip locked
), taken as (
    update notice set attempts = attempts + 1, error = '', next_at = now() + make_interval(secs => $1)
    from next where notice.id = next.id returning notice.*
)
select n.id, n.recipient, n.subject, n.body, n.template, n.locale, n.details, n.ticket_id, t.purpose,
    {WHY_SPENT} as spent, n.attempts, n.created_at, n.request_id, n.traceparent
from taken as n left join ticket as t on t.id = n.ticket_id
"""


async def take(db: Db, seconds: float) -> Mail | None:
    """The next one that is due. Nobody else takes it for so long, and then anybody may."""
    row = await db.fetchrow(TAKE, seconds)
    return None if row is None else Mail(**row)


POSTPONE = f"""
update notice set error = $4, next_at = now() + make_interval(secs => $3),
    failed_at = case when attempts >= {MOST_ATTEMPTS} and created_at < now() - interval '{PATIENCE}' then now() end
where id = $1 and attempts = $2 and sent_at is null and failed_at is null
"""


async def postpone(db: Db, mail: Mail, seconds: float, why: str) -> None:
    """It comes back by itself; after days of that it is given up."""
    await db.execute(POSTPONE, mail.id, mail.attempts, seconds, why[:300])


GIVE_UP_OLD = f"""
update notice set failed_at = now(), error = case when error = '' then 'nobody sent it for {UNSENT}' else error end
where channel = 'mail' and sent_at is null and failed_at is null and created_at < now() - interval '{UNSENT}'
    and not {HALTED}
"""
WIPE = f"""
update notice set details = null, body = '', error = ''
where channel = 'mail' and coalesce(sent_at, failed_at) < now() - interval '{KEPT}'
    and (details is not null or body <> '' or error <> '')
"""


async def forget_old(db: Db) -> int:
    """What nobody could send is given up, and what was said long ago is forgotten; returns of how many."""
    await drop_spent(db)
    await db.execute(GIVE_UP_OLD)
    return affected(await db.execute(WIPE))


@dataclass(frozen=True)
class Jam:
    """Mails that do not get through: ``waiting`` for more than a while, ``oldest`` for so many seconds.

    ``failed``: refused within a day; ``sent``: went out within that day.
    """

    waiting: int
    oldest: float
    failed: int
    sent: int

    @property
    def is_refused(self) -> bool:
        """More than an odd mistyped address."""
        return self.refuses(5)

    def refuses(self, least: int) -> bool:
        """At least so many, and more than one of ten."""
        return self.failed >= least and self.failed * 10 > self.sent


JAM = f"""
select count(*) filter (where is_old)::int as waiting,
    coalesce(extract(epoch from now() - min(created_at) filter (where is_old)), 0)::float8 as oldest,
    count(*) filter (where failed_at is not null)::int as failed, count(*) filter (where sent_at is not null)::int as sent
from (
    select created_at, null::timestamptz as failed_at, null::timestamptz as sent_at,
        created_at < now() - make_interval(secs => $1) as is_old
    from notice where channel = 'mail' and sent_at is null and failed_at is null and not {HALTED}
    union all
    select created_at, failed_at, sent_at, false from notice
    where channel = 'mail' and created_at > now() - interval '4 days'
        and (sent_at > now() - interval '1 day' or attempts > 0 and failed_at > now() - interval '1 day' and let_go_at is null)
) as found
"""


async def jam(db: Db, seconds: float) -> Jam:
    row = await db.fetchrow(JAM, seconds)
    assert row is not None
    return Jam(**row)
