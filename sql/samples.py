"""Samples: how full the pool of keys and the queue are, seen each minute and kept as sums of an hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from limner.runtime.database import Db
from limner.runtime.mailbox import Message
from limner.sql.figures import ALL, Choice, Span

KEPT = 400
"""Days: a year, and what one looks back at."""


@dataclass(frozen=True)
class TakeSample(Message):
    """See how full pool and queue are."""

    mailbox = "chronicling"


# What a key that is switched off could do does not count. A key that rests, or whose way out is shut, has no free slot; one
# that is on trial has one. Rests for a single model are left out: they say nothing of the key.
SLOTS = """
select k.id as key_id, k.concurrency as slots, o.n as busy,
    case when p.active and k.state in ('active', 'cooldown') and not (k.state = 'cooldown' and k.rests_until > now())
            and exists (
                select from key_route(k.id, k.proxy_id, k.may_go_direct, now()) as w where w.shut is null
            )
        then greatest(case when k.state = 'cooldown' then 1 else k.concurrency end - o.n, 0) else 0 end as free
from provider_key as k join provider as p on p.id = k.provider_id
cross join lateral (
    select count(*) as n from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > now()
) as o
where k.state <> 'disabled'
"""

# A message that comes twice in a minute counts once.
TAKE = f"""
with slot as materialized ({SLOTS}),
queue as (
    select count(*) filter (where state = 'queued') as waiting, count(*) filter (where state = 'running') as running,
        coalesce(extract(epoch from now() - min(created_at) filter (where state = 'queued')), 0)::float8 as longest
    from job where state in ('queued', 'running')
),
pool as (
    select coalesce(sum(slots), 0) as slots, coalesce(sum(busy), 0) as busy, coalesce(sum(free), 0) as free from slot
),
taken as (
    insert into studio_hour as h (
        at, samples, last_at, waiting, running, slots, busy, free, most_waiting, longest_wait, least_free
    )
    select date_trunc('hour', now(), 'UTC'), 1, now(), waiting, running, slots, busy, free, waiting, longest, free
    from queue, pool
    on conflict (at) do update set samples = h.samples + 1, last_at = excluded.last_at,
        waiting = h.waiting + excluded.waiting, running = h.running + excluded.running, slots = h.slots + excluded.slots,
        busy = h.busy + excluded.busy, free = h.free + excluded.free,
        most_waiting = greatest(h.most_waiting, excluded.most_waiting),
        longest_wait = greatest(h.longest_wait, excluded.longest_wait), least_free = least(h.least_free, excluded.least_free)
    where h.last_at <= now() - interval '30 seconds'
    returning h.at
),
kept as (
    insert into pool_hour as h (at, key_id, samples, slots, busy, free, least_free)
    select taken.at, slot.key_id, 1, slot.slots, slot.busy, slot.free, slot.free from slot cross join taken
    on conflict (at, key_id) do update set samples = h.samples + 1, slots = h.slots + excluded.slots,
        busy = h.busy + excluded.busy, free = h.free + excluded.free, least_free = least(h.least_free, excluded.least_free)
)
select exists (select from taken)
"""


async def take(db: Db) -> bool:
    """Add what is to be seen now to the sums of this hour. False: that was done less than half a minute ago."""
    return bool(await db.fetchval(TAKE))


FORGET = """
with hours as (delete from studio_hour where at < now() - make_interval(days => $1) returning at)
delete from pool_hour where at < now() - make_interval(days => $1)
"""


async def forget_old(db: Db) -> None:
    await db.execute(FORGET, KEPT)


@dataclass(frozen=True)
class Room:
    """How much room the pool had, in slots: one paints one picture at a time. Averages, and the least that was free."""

    at: datetime
    slots: float
    busy: float
    free: float
    least_free: int


BUCKET = "case $1::text when 'whole' then $2::timestamptz else date_trunc($1::text, at, 'UTC') end"
AVERAGES = """
round(sum(slots) / sum(samples)::numeric, 2)::float8 as slots, round(sum(busy) / sum(samples)::numeric, 2)::float8 as busy,
round(sum(free) / sum(samples)::numeric, 2)::float8 as free
"""
ROOM = f"""
select {BUCKET} as at, {AVERAGES}, min(least_free)::int as least_free
from studio_hour where at >= $2 and at < $3 group by 1 order by 1
"""

# Hour by hour first: a key that came or went within the time was there for its own hours alone.
ROOM_OF = f"""
with hourly as (
    select h.at, sum(h.slots / s.samples::numeric) as slots, sum(h.busy / s.samples::numeric) as busy,
        sum(h.free / s.samples::numeric) as free, sum(h.least_free) as least_free
    from pool_hour as h join studio_hour as s on s.at = h.at
    where h.at >= $2 and h.at < $3 and ($4::bigint is null or h.key_id = $4) and ($5::text is null or h.key_id in (
        select k.id from provider_key as k join model as m on m.provider_id = k.provider_id where m.id = $5
    ))
    group by h.at
)
select {BUCKET} as at, round(avg(slots), 2)::float8 as slots, round(avg(busy), 2)::float8 as busy,
    round(avg(free), 2)::float8 as free, min(least_free)::int as least_free
from hourly group by 1 order by 1
"""


async def room(db: Db, span: Span, choice: Choice = ALL) -> list[Room]:
    """Of the pool, of a key, or of the keys that could paint with a model (whose least then is a lower bound).

    Hours that began within the span; those in which nobody looked are not there.
    """
    about = (span.unit, span.start, span.end)
    if choice.key is None and choice.model is None:
        return [Room(**row) for row in await db.fetch(ROOM, *about)]
    return [Room(**row) for row in await db.fetch(ROOM_OF, *about, choice.key, choice.model)]


@dataclass(frozen=True)
class Queue:
    """Pictures that waited and that were being painted: averages, and the worst; ``longest`` in seconds."""

    at: datetime
    waiting: float
    running: float
    most_waiting: int
    longest: float


QUEUE = f"""
select {BUCKET} as at, round(sum(waiting) / sum(samples)::numeric, 2)::float8 as waiting,
    round(sum(running) / sum(samples)::numeric, 2)::float8 as running, max(most_waiting)::int as most_waiting,
    max(longest_wait)::float8 as longest
from studio_hour where at >= $2 and at < $3 group by 1 order by 1
"""


async def queue(db: Db, span: Span) -> list[Queue]:
    """Hours that began within the span; those in which nobody looked are not there."""
    return [Queue(**row) for row in await db.fetch(QUEUE, span.unit, span.start, span.end)]


@dataclass(frozen=True)
class Headroom:
    """The pool at this moment, in slots."""

    slots: int
    busy: int
    free: int


NOW = f"""
select coalesce(sum(slots), 0)::int as slots, coalesce(sum(busy), 0)::int as busy, coalesce(sum(free), 0)::int as free
from ({SLOTS}) as s
"""


async def headroom(db: Db) -> Headroom:
    row = await db.fetchrow(NOW)
    assert row is not None
    return Headroom(**row)
