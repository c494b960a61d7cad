"""Spreading: a broadcast is begun, stopped, gone on with, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from limner.runtime import mailbox
from limner.runtime.config import Config
from limner.runtime.database import Db, Transaction, affected
from limner.runtime.errors import NotFound, Refused
from limner.runtime.mailbox import Message
from limner.sql import audit, broadcasts, segments
from limner.sql.broadcasts import Broadcast


@dataclass(frozen=True)
class SpreadBroadcasts(Message):
    """Hand the next portion of every broadcast to the outbox."""

    mailbox = "heralding"


@dataclass(frozen=True)
class Ways:
    """By which ways this studio can reach people."""

    mail: bool
    telegram: bool

    @classmethod
    def of(cls, config: Config) -> Ways:
        return cls(config.smtp_host is not None, config.bot_token is not None)


@dataclass(frozen=True)
class Progress:
    """People: not yet reached, in the outbox, reached, failed, passed over."""

    waiting: int
    under_way: int
    sent: int
    failed: int
    skipped: int


# paced_at: the first portion goes out at once.
BEGIN = """
update broadcast set state = 'sending', started_at = now(), paced_at = now() - interval '10 seconds', people = $2
where id = $1 and state = 'draft'
"""


async def begin(
    db: Db, broadcast_id: UUID, ways: Ways, reason: str, *, people: int, as_seen: str, actor: str, ip: str = ""
) -> Broadcast:
    """Send it to all who are in its segment; the herald writes down who that is.

    ``people``: how many were said to be in it when somebody agreed; ``as_seen``: how it was then (``Broadcast.as_it_is``).
    Raises Refused: it was begun before, or rewritten since, nobody can be reached, or many more people would get it than
    were agreed to.
    """
    async with db.transaction() as tx:
        found = await _in_hand(tx, broadcast_id)
        if found.state != "draft":
            raise await broadcasts.why_not(tx, found.id)
        if found.as_it_is != as_seen:
            raise Refused("It was changed meanwhile: look at it again.", field="form", code="changed")
        _insist_on_ways(ways, found)
        now, _ = await segments.count(tx, found.segment, found.plan_id)
        if now == 0:
            raise Refused("There is nobody in this segment.", field="segment")
        if now > people + max(10, people // 10):
            raise Refused(f"By now it would go to {now} people, not {people}: look at it again.", field="people")
        await _move(tx, found, await tx.execute(BEGIN, broadcast_id, now))
        about = {"segment": found.segment, "plan": found.plan, "people": now, "per_minute": found.per_minute}
        await _record(tx, found, "begin", "sending", about | {"subject": found.subject, "reason": reason}, actor, ip)
        await mailbox.send(tx, SpreadBroadcasts(), key="begun")
        return await broadcasts.get(tx, broadcast_id)


STOP = "update broadcast set state = 'stopped', ended_at = now() where id = $1 and state = 'sending'"
# What nobody has set out with comes back, for the way that was left: who had fallen back to mail gets nothing by Telegram.
WITHDRAW = """
with gone as (
    delete from notice where id in (
        select n.id from notice as n
        where n.dedupe_key = 'broadcast ' || $1::uuid::text and n.sent_at is null and n.failed_at is null and n.attempts = 0
        for update skip locked
    ) returning id
)
update broadcast_recipient as r set state = 'waiting', channel = nullif(r.channel, 'telegram'), notice_id = null
from gone where r.broadcast_id = $1 and r.notice_id = gone.id
"""


async def stop(db: Db, broadcast_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """Nobody else gets it, but for mails that are with the mail server already. Raises Refused."""
    async with db.transaction() as tx:
        found = await _in_hand(tx, broadcast_id)
        await _move(tx, found, await tx.execute(STOP, broadcast_id))
        back = affected(await tx.execute(WITHDRAW, broadcast_id))
        await _record(tx, found, "stop", "stopped", {"reason": reason, "taken_back": back}, actor, ip)


GO_ON = """
update broadcast set state = 'sending', ended_at = null, paced_at = now() - interval '10 seconds'
where id = $1 and state = 'stopped'
"""


async def go_on(db: Db, broadcast_id: UUID, ways: Ways, reason: str, *, actor: str, ip: str = "") -> None:
    """From where it was stopped; nobody gets it twice. Raises Refused."""
    async with db.transaction() as tx:
        found = await _in_hand(tx, broadcast_id)
        _insist_on_ways(ways, found)
        await _move(tx, found, await tx.execute(GO_ON, broadcast_id))
        await _record(tx, found, "go_on", "sending", {"reason": reason}, actor, ip)
        await mailbox.send(tx, SpreadBroadcasts(), key="begun")


def _insist_on_ways(ways: Ways, found: Broadcast) -> None:
    if not ways.mail and not (ways.telegram and found.by_telegram):
        raise Refused("No mail server is set up, so nobody would get it.", field="form")


IN_HAND = f"select {broadcasts.COLUMNS} from broadcast as b where b.id = $1 for update"


async def _in_hand(tx: Transaction, broadcast_id: UUID) -> Broadcast:
    """Locked, so that two who act at the same time come one after another. Raises NotFound."""
    row = await tx.fetchrow(IN_HAND, broadcast_id)
    if row is None:
        raise NotFound("There is no such broadcast.")
    return broadcasts.from_row(row)


async def _move(tx: Transaction, found: Broadcast, tag: str) -> None:
    if not affected(tag):
        raise await broadcasts.why_not(tx, found.id)


async def _record(
    tx: Transaction, found: Broadcast, act: str, state: str, after: dict[str, Any], actor: str, ip: str
) -> None:
    before = {"state": found.state}
    await audit.record(tx, actor, f"broadcast.{act}", str(found.id), before, {"state": state} | after, ip=ip)


# What is in the outbox and was not sent is looked up alone: of what has arrived there is far more. After months the outbox
# forgets a notice: that it was let go is all that is known of it then.
UNSENT = """
select n.id, n.failed_at, n.error from notice as n
where n.dedupe_key = 'broadcast ' || $1::uuid::text and n.dedupe_key like 'broadcast %' and n.sent_at is null
"""
PROGRESS = f"""
with unsent as ({UNSENT})
select case when b.is_listed then count(*) filter (where r.state = 'waiting')
        else greatest(0, b.people - count(*) filter (where r.state <> 'waiting')) end::int as waiting,
    count(*) filter (where n.id is not null and n.failed_at is null)::int as under_way,
    count(*) filter (where r.state = 'queued' and n.id is null)::int as sent,
    count(n.failed_at)::int as failed,
    count(*) filter (where r.state = 'skipped')::int as skipped
from broadcast as b left join broadcast_recipient as r on r.broadcast_id = b.id
left join unsent as n on n.id = r.notice_id and r.state = 'queued' where b.id = $1 and b.state <> 'draft' group by b.id
"""


async def progress(db: Db, broadcast_id: UUID) -> Progress:
    row = await db.fetchrow(PROGRESS, broadcast_id)
    return Progress(0, 0, 0, 0, 0) if row is None else Progress(**row)


TROUBLES = f"""
with unsent as ({UNSENT})
select why, count(*)::int as people from (
    select 'passed over: ' || why as why from broadcast_recipient where broadcast_id = $1 and state = 'skipped'
    union all
    select n.error from unsent as n join broadcast_recipient as r on r.notice_id = n.id and r.broadcast_id = $1
    where n.failed_at is not null and r.state <> 'skipped'
) as t group by 1 order by 2 desc, 1 limit 10
"""


async def troubles(db: Db, broadcast_id: UUID) -> list[tuple[str, int]]:
    """Why it did not reach some, the commonest first."""
    return [(row["why"], row["people"]) for row in await db.fetch(TROUBLES, broadcast_id)]
