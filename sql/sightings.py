"""Sightings: what the watchman reads of processes, orders, payments and machines. Reading only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db

# In any state: a worker that said goodbye a moment ago is being restarted, most likely.
WORKER_SEEN = "select exists (select from worker where role = 'worker' and seen_at > now() - make_interval(secs => $1))"


async def has_worker(db: Db, lease: float) -> bool:
    """True when a worker gave a sign of life within ``lease`` seconds."""
    return bool(await db.fetchval(WORKER_SEEN, float(lease)))


# One that said goodbye a moment ago, or died, is being restarted, most likely; one that ended as it began will do so again.
ALIVE = """
select exists (
    select from worker
    where role = $1 and seen_at > now() - make_interval(secs => $2)
        and (state <> 'stopped' and seen_at > now() - make_interval(secs => $3) or seen_at - started_at > interval '30 seconds')
)
"""


async def is_alive(db: Db, role: str, lease: float, longest: float) -> bool:
    """True when a process of this role lives, or one that worked gave a sign of life within ``longest`` seconds."""
    return bool(await db.fetchval(ALIVE, role, float(max(lease, longest)), float(lease)))


POLLER_SAYS = """
select exists (
    select from worker
    where role = 'bot' and state <> 'stopped' and seen_at > now() - make_interval(secs => $1)
        and children @> jsonb_build_array(jsonb_build_object('name', 'poller', 'state', $2::text))
)
"""


async def is_bot_contested(db: Db, lease: float) -> bool:
    """True when a living bot says that somebody else polls with its token."""
    return bool(await db.fetchval(POLLER_SAYS, float(lease), "conflict"))


async def is_bot_deaf(db: Db, lease: float) -> bool:
    """True when a living bot says that Telegram has not answered it for a while."""
    return bool(await db.fetchval(POLLER_SAYS, float(lease), "deaf"))


LONGEST_WAIT = """
select coalesce(extract(epoch from now() - min(created_at)), 0)::float from job where state = 'queued'
"""


async def longest_wait(db: Db) -> float:
    """Seconds since the eldest picture was ordered of those that wait; 0 when none does."""
    return float(await db.fetchval(LONGEST_WAIT))


@dataclass(frozen=True)
class Failing:
    """A class of faults in a window: ``times`` of ``all`` attempts that ended."""

    fault: str
    times: int
    all: int

    @property
    def percent(self) -> float:
        return 100 * self.times / self.all if self.all else 0.0


# What lies with the request is nobody's trouble, and is left out of both counts.
FAILING = """
with ended as (
    select fault from attempt
    where finished_at > now() - make_interval(secs => $1)
        and coalesce(fault, '') not in ('moderation_input', 'moderation_output', 'invalid_request', 'cancelled')
)
select fault, count(*)::int as times, (select count(*) from ended)::int as all
from ended where fault is not null group by fault having count(*) >= $2 order by 2 desc, 1
"""


async def failing(db: Db, seconds: float, least: int) -> list[Failing]:
    """The classes with at least so many cases, the most frequent first."""
    return [Failing(**row) for row in await db.fetch(FAILING, seconds, least)]


# The newest payments that a processor told of when it was asked, and none of them by itself. What cost nothing has no hook.
UNHEARD = """
select processor, count(*)::int as payments
from (
    select i.processor, exists (select from payment_event as e where e.invoice_id = i.id) as is_heard,
        row_number() over (partition by i.processor order by i.paid_at desc) as place
    from invoice as i
    where i.state = 'paid' and i.paid_at > now() - make_interval(secs => $1) and i.paid_by = ''
        and i.processor_ref is not null and i.processor = any($3::text[])
) as newest
where place <= $2 group by processor having count(*) = $2 and bool_and(not is_heard) order by processor
"""


async def without_hooks(db: Db, processors: Sequence[str], seconds: float, payments: int) -> list[str]:
    """The processors whose newest so many payments were all found by asking."""
    return [row["processor"] for row in await db.fetch(UNHEARD, seconds, payments, list(processors))]


@dataclass(frozen=True)
class Received:
    """An invoice whose money is there, while it is not paid."""

    id: UUID
    state: str
    received_cents: int
    amount_cents: int
    currency: str


# What somebody has to decide about is told as that; what went back, or was decided about, is nobody's trouble any more.
UNPAID = """
select i.id, i.state, i.received_cents, i.amount_cents, i.currency from invoice as i
where i.state <> 'paid' and i.received_cents >= i.amount_cents and i.received_cents > 0 and i.trouble = ''
    and i.created_at > now() - interval '30 days'
    and not exists (select from refund as r where r.invoice_id = i.id and r.state <> 'failed')
    and not exists (select from audit as a where a.subject = i.id::text and a.action = 'invoice.dealt_with')
order by i.created_at
"""


async def received_unpaid(db: Db) -> list[Received]:
    return [Received(**row) for row in await db.fetch(UNPAID)]


@dataclass(frozen=True)
class Machine:
    """What a living process says of the machine under it. ``clock``: seconds ahead of the database; ``free``: percent."""

    role: str
    host: str
    clock: float | None
    path: str | None
    free: float | None
    bytes: float | None


MACHINES = """
select role, host, (machine ->> 'clock')::float8 as clock, machine ->> 'path' as path, (machine ->> 'free')::float8 as free,
    (machine ->> 'bytes')::float8 as bytes
from worker where state <> 'stopped' and machine is not null and seen_at > now() - make_interval(secs => $1)
order by role, host, id
"""


async def machines(db: Db, lease: float) -> list[Machine]:
    """What the living say, one for each process."""
    return [Machine(**row) for row in await db.fetch(MACHINES, lease)]


@dataclass(frozen=True)
class Reading:
    """What a process found out for the watchman; ``age`` in seconds."""

    name: str
    value: float | None
    words: str
    age: float


NOTE = """
insert into alert_reading (name, value, words) values ($1, $2, $3)
on conflict (name) do update set value = excluded.value, words = excluded.words, read_at = now()
"""


async def note(db: Db, name: str, value: float | None, words: str) -> None:
    """The newest reading of this name."""
    await db.execute(NOTE, name, value, words)


IS_BROKEN = "select exists (select from alert_reading where name = $1 and value > 0)"


async def mended(db: Db, name: str) -> None:
    """What was wrong by the last reading is not any more. Writes nothing where nothing was."""
    if await db.fetchval(IS_BROKEN, name):
        await note(db, name, 0, "")


FORGET = "delete from alert_reading where name = $1"


async def forget(db: Db, name: str) -> None:
    """There is nothing of this name to be read any more."""
    await db.execute(FORGET, name)


IS_TIME = """
insert into alert_reading as r (name) values ($1)
on conflict (name) do update set read_at = now() where r.read_at <= now() - make_interval(secs => $2) returning true
"""


async def is_time(db: Db, name: str, seconds: float) -> bool:
    """True for one look in so many seconds."""
    return bool(await db.fetchval(IS_TIME, name, seconds))


READINGS = "select name, value, words, extract(epoch from now() - read_at)::float8 as age from alert_reading"


async def readings(db: Db) -> dict[str, Reading]:
    return {row["name"]: Reading(**row) for row in await db.fetch(READINGS)}
