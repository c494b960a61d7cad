"""What keeps mailboxes healthy: the messages of the dead are freed, what is due comes due, what is overdue is buried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.mailbox import SENT

GIVE_BACK = """
update message set owner = null, claimed_at = null, pos = nextval('message_pos'),
    attempts = case when id = any($4::bigint[]) then attempts else greatest(attempts - 1, 0) end,
    deaths = deaths + (id = any($4::bigint[]))::int,
    state = case when deaths + (id = any($4::bigint[]))::int >= 2 and partition = '' then 3 else 0 end
where state = 1 and owner = $1 and mailbox = $2 and not id = any($3::bigint[])
"""


async def give_back(db: Db, mailbox: str, owner: UUID, *, keep: list[int], blame: Sequence[int] = ()) -> int:
    """Free what this worker owns but does not work on: after an outage, and when it drains.

    It costs an attempt only those to ``blame``, for which it is as if the worker had died.
    """
    freed = affected(await db.execute(GIVE_BACK, owner, mailbox, keep, list(blame)))
    if freed:
        db.tell(SENT, mailbox)
    return freed


RESCUE = """
with alone as materialized (
    select pg_try_advisory_xact_lock(hashtextextended('rescue', 0)) as is_so
),
lost as (
    select id, attempts >= max_attempts as is_poison from message
    where (select is_so from alone) and state = 1 and not exists (
        select from worker
        where worker.id = message.owner and worker.state <> 'stopped'
            and worker.seen_at > now() - make_interval(secs => $1)
    )
    for update skip locked
),
freed as (
    update message as m set owner = null, claimed_at = null, ready_at = now(), last_error = 'its worker died',
        deaths = m.deaths + 1, state = case when m.deaths >= 1 and m.partition = '' then 3 else 0 end,
        pos = nextval('message_pos')
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
# "select ... order by ... limit 1": an "exists" may be planned as a hash of the whole table.
LOOK = """
with due as materialized (
    select m.id from unnest($1::text[]) as box (name) cross join lateral (
        select id from message where mailbox = box.name and state = 2 and ready_at <= statement_timestamp()
            and (deadline is null or deadline >= statement_timestamp())
        order by ready_at limit $2 for update skip locked
    ) as m
),
promoted as (
    update message as m set pos = nextval('message_pos'),
        state = case when m.deaths >= 2 and m.partition = '' then 3 else 0 end
    where m.id = any (array (select id from due))
    returning m.mailbox
),
late as materialized (
    select m.id from unnest($1::text[]) as box (name) cross join lateral (
        select id from message where mailbox = box.name and deadline < statement_timestamp() and state <> 1
        order by deadline limit $2 for update skip locked
    ) as m
),
dead as (
    delete from message as m where m.id = any (array (select id from late)) returning m.*
),
buried as (
    insert into dead_letter (id, mailbox, kind, partition, key, attempts, reason, payload, created_at)
    select id, mailbox, kind, partition, key, attempts, 'its deadline passed', payload, created_at from dead
)
select box.name as mailbox,
    (select count(*) from promoted where promoted.mailbox = box.name) as promoted,
    (select count(*) from dead where dead.mailbox = box.name) as buried,
    (
        select extract(epoch from min(ready_at) - clock_timestamp())::float8 from message
        where mailbox = box.name and state = 2 and ready_at > statement_timestamp()
    ) as next_in,
    extract(epoch from clock_timestamp() - coalesce(
        (
            select ready_at from message where mailbox = box.name and state = 0 and partition = ''
            order by priority desc, pos limit 1
        ),
        (
            select ready_at from message where mailbox = box.name and state = 0 and partition > ''
            order by partition, priority desc, pos limit 1
        )
    ))::float8 as waited,
    (
        select true from message where mailbox = box.name and state = 3 order by ready_at limit 1
    ) as has_suspects
from unnest($1::text[]) as box (name)
"""


class Look(NamedTuple):
    """What a look at one mailbox found and did, in messages."""

    promoted: int
    buried: int
    next_in: float | None
    """Seconds until something else comes due, if anything will."""
    waited: float | None
    """Seconds that the first in line has waited; None when no other waits than those that came due just now."""
    has_suspects: bool
    """Some wait that two workers died with."""

    @property
    def is_waiting(self) -> bool:
        return self.waited is not None or self.promoted > 0 or self.has_suspects


async def look(db: Db, mailboxes: Sequence[str]) -> dict[str, Look]:
    """Let come due what is due, bury what nobody took before its deadline, and see what waits; of each mailbox.

    At most a thousand come due at once, the most overdue first; ``next_in`` is 0 when there are more.
    """
    rows = await db.fetch(LOOK, list(mailboxes), LARGEST_STEP)
    return {
        row["mailbox"]: Look(
            row["promoted"],
            row["buried"],
            row["next_in"] if row["promoted"] < LARGEST_STEP else 0.0,
            row["waited"],
            row["has_suspects"] or False,
        )
        for row in rows
    }


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
