"""What keeps mailboxes healthy: the messages of the dead are freed, what is due comes due, what is overdue is buried."""

from __future__ import annotations

from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.mailbox import SENT

GIVE_BACK = """
update message set owner = null, claimed_at = null, state = 0, pos = nextval('message_pos'),
    attempts = greatest(attempts - 1, 0)
where state = 1 and owner = $1 and mailbox = $2 and not id = any($3::bigint[])
"""


async def give_back(db: Db, mailbox: str, owner: UUID, *, keep: list[int]) -> int:
    """Free what this worker owns but does not work on: after an outage, and when it drains. It costs no attempt."""
    freed = affected(await db.execute(GIVE_BACK, owner, mailbox, keep))
    if freed:
        db.tell(SENT, mailbox)
    return freed


RESCUE = """
with lost as (
    select id, attempts >= max_attempts as is_poison from message
    where state = 1 and not exists (
        select from worker
        where worker.id = message.owner and worker.state <> 'stopped'
            and worker.seen_at > now() - make_interval(secs => $1)
    )
    for update skip locked
),
freed as (
    update message as m set owner = null, claimed_at = null, ready_at = now(), last_error = 'its worker died',
        state = 0, pos = nextval('message_pos')
    from lost where m.id = lost.id and not lost.is_poison
    returning m.mailbox
),
dead as (
    delete from message as m using lost where m.id = lost.id and lost.is_poison returning m.*
),
buried as (
    insert into dead_letter (id, mailbox, kind, partition, key, attempts, reason, payload, created_at)
    select id, mailbox, kind, partition, key, attempts, 'its worker died every time', payload, created_at from dead
)
select mailbox from freed union all select mailbox from dead
"""


async def rescue(db: Db, lease: float) -> int:
    """Free the messages of workers without a heartbeat for ``lease`` seconds; returns how many.

    The attempt stays counted, so a message that kills every worker that touches it becomes a dead letter.
    """
    rows = await db.fetch(RESCUE, float(lease))
    for mailbox in {row["mailbox"] for row in rows}:
        db.tell(SENT, mailbox)
    return len(rows)


LARGEST_STEP = 1000
# statement_timestamp() may be looked for in an index, clock_timestamp() may not: it would be compared with every row.
PROMOTE = """
with due as (
    select id from message where mailbox = $1 and state = 2 and ready_at <= statement_timestamp()
    order by ready_at limit $2 for update skip locked
),
promoted as (
    update message as m set state = 0, pos = nextval('message_pos') where m.id = any (array (select id from due)) returning 1
)
select (select count(*) from promoted) as promoted, (
    select extract(epoch from min(ready_at) - clock_timestamp())::float8 from message
    where mailbox = $1 and state = 2 and ready_at > statement_timestamp()
) as next_in
"""


async def promote(db: Db, mailbox: str) -> tuple[int, float | None]:
    """Let what has come due wait with the others, a thousand at a time, the most overdue first.

    Returns how many did, and the seconds until the next one will.
    """
    row = await db.fetchrow(PROMOTE, mailbox, LARGEST_STEP)
    assert row is not None
    is_all = row["promoted"] < LARGEST_STEP
    return row["promoted"], row["next_in"] if is_all else 0.0


OVERDUE = """
with dead as (
    delete from message where id = any (array (
        select id from message where mailbox = $1 and deadline < statement_timestamp() and state <> 1
        order by deadline limit 1000 for update skip locked
    )) returning *
)
insert into dead_letter (id, mailbox, kind, partition, key, attempts, reason, payload, created_at)
select id, mailbox, kind, partition, key, attempts, 'its deadline passed', payload, created_at from dead
"""


async def bury_overdue(db: Db, mailbox: str) -> int:
    """Messages that nobody took before their deadline become dead letters; returns how many."""
    return affected(await db.execute(OVERDUE, mailbox))


REQUEUE = """
with alive as (
    delete from dead_letter where id = $1 returning *
)
insert into message (mailbox, kind, partition, key, payload)
select mailbox, kind, partition, key, payload from alive
on conflict (mailbox, key) where key is not null do nothing
returning mailbox
"""


async def requeue(db: Db, dead_id: int) -> bool:
    """Give a dead letter a new life, with fresh attempts. False when there is no such dead letter."""
    mailbox = await db.fetchval(REQUEUE, dead_id)
    if mailbox is not None:
        db.tell(SENT, mailbox)
    return mailbox is not None
