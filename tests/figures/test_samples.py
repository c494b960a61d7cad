"""How full pool and queue are: seen each minute, kept as sums of an hour, and forgotten after a year and a bit."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from limner.actors.chronicler import Chronicler
from limner.actors.worker import SCHEDULE
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.sql import samples
from limner.sql.closings import CloseDays
from limner.sql.figures import Choice, Span
from limner.sql.samples import TakeSample


@pytest.fixture
async def pool(db):
    """Two keys of three slots, one of them busy with one picture and the other resting."""
    await db.execute("update provider_key set state = 'disabled'")
    first, second = (row["id"] for row in await db.fetch("select id from provider_key order by id limit 2"))
    await db.execute("update provider_key set state = 'active', concurrency = 3, proxy_id = null where id = $1", first)
    await db.execute(
        "update provider_key set state = 'cooldown', concurrency = 3, rests_until = now() + interval '1 hour', proxy_id = null "
        "where id = $1", second,
    )  # fmt: skip
    return first, second


def minute_passes(db):
    return db.execute("update studio_hour set last_at = last_at - interval '1 minute'")


async def day(db) -> Span:
    now = (await db.fetchval("select now()")).astimezone(UTC)
    return Span(now - timedelta(hours=2), now + timedelta(hours=1), "whole")


async def occupied(db, cast, key, state="running"):
    """A picture of Alice's that a key paints."""
    job = await db.fetchval(
        "with g as (insert into generation (account_id, thread_id, model_id, prompt, width, height, count, credits) "
        "values ($1, gen_random_uuid(), 'demo', 'a boat', 512, 512, 1, 1) returning id) "
        "insert into job (generation_id, account_id, position, credits, seed, state, deadline, created_at) "
        "select id, $1, 1, 1, 7, $2, now() + interval '1 hour', now() - interval '100 seconds' from g returning id",
        cast.alice.id, state,
    )  # fmt: skip
    if state == "running":
        await db.execute(
            "insert into attempt (job_id, number, key_id, model_id, expires_at) "
            "values ($1, 1, $2, 'demo', now() + interval '1 hour')", job, key,
        )  # fmt: skip


async def test_free_slots_are_averaged_and_the_least_is_kept(db, cast, pool):
    assert await samples.take(db)
    await occupied(db, cast, pool[0])
    await minute_passes(db)
    assert await samples.take(db)
    whole = (await samples.room(db, await day(db)))[0]
    assert (whole.slots, whole.busy, whole.free, whole.least_free) == (6, 0.5, 2.5, 2)
    resting = (await samples.room(db, await day(db), Choice(key=pool[1])))[0]
    assert (resting.slots, resting.free) == (3, 0)
    can_paint = (await samples.room(db, await day(db), Choice(model="demo")))[0]
    assert (can_paint.slots, can_paint.free) == (6, 2.5)
    now = await samples.headroom(db)
    assert (now.slots, now.busy, now.free) == (6, 1, 2)


async def test_a_message_that_comes_twice_counts_once(db, pool):
    assert [await samples.take(db) for _ in range(3)] == [True, False, False]
    assert await db.fetchval("select sum(samples) from studio_hour") == 1
    assert await db.fetchval("select sum(samples) from pool_hour") == 2


async def test_the_queue_is_seen_with_the_one_that_waits_longest(db, cast, pool):
    await samples.take(db)
    await occupied(db, cast, pool[0], "queued")
    await minute_passes(db)
    await samples.take(db)
    line = (await samples.queue(db, await day(db)))[0]
    assert (line.waiting, line.most_waiting, line.running) == (0.5, 1, 0)
    assert 100 <= line.longest < 200


async def test_a_year_and_a_bit_is_kept(db, pool):
    await samples.take(db)
    await db.execute("update studio_hour set at = at - make_interval(days => $1)", samples.KEPT + 1)
    await db.execute("update pool_hour set at = at - make_interval(days => $1)", samples.KEPT + 1)
    await samples.take(db)
    await samples.forget_old(db)
    assert await db.fetchval("select count(*) from studio_hour") == 1
    assert await db.fetchval("select count(*) from pool_hour") == 2


async def test_the_chronicler_does_both_and_the_schedule_calls_for_it(db, pool):
    chronicler = Chronicler(db, Bus(db), Presence(db, "worker", lease=3))
    await db.execute(
        "insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at) "
        "select a.id, p.id, 'sandbox', 999, 'USD', 1, 'paid', now() - interval '3 days', now() "
        "from account as a cross join plan as p limit 1"
    )
    await chronicler.receive(TakeSample())
    await chronicler.receive(CloseDays())
    assert await db.fetchval("select count(*) from studio_hour") == 1
    assert await db.fetchval("select sum(paid_cents) from takings_day") == 999
    assert {type(entry.message) for entry in SCHEDULE} >= set(Chronicler.messages)
