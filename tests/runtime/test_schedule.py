"""The schedule and its lease: each tick once, whoever leads."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import anyio

from limner.runtime import lease
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.runtime.schedule import Every, Schedule


@dataclass(frozen=True)
class Ring(Message):
    """Ring the bell."""

    mailbox = "bells"


async def test_two_leaders_by_mistake_send_each_tick_once(db):
    schedules = [Schedule(db, Presence(db, "test", lease=3), [Every("noon", 60, Ring())]) for _ in range(5)]
    async with anyio.create_task_group() as group:
        for schedule in schedules:
            group.start_soon(schedule.send_due)
    assert await db.fetchval("select count(*) from message where mailbox = 'bells'") == 1


async def test_the_next_tick_comes_when_its_time_has_come(db):
    schedule = Schedule(db, Presence(db, "test", lease=3), [Every("noon", 60, Ring())])
    assert (await schedule.send_due(), await schedule.send_due()) == (1, 0)
    await db.execute("update schedule set last_at = now() - interval '61 seconds'")
    await db.execute("delete from message")
    assert await schedule.send_due() == 1


async def test_a_tick_that_nobody_handled_yet_is_not_piled_up(db):
    schedule = Schedule(db, Presence(db, "test", lease=3), [Every("noon", 60, Ring())])
    await schedule.send_due()
    await db.execute("update schedule set last_at = now() - interval '1 hour'")
    await schedule.send_due()
    assert await db.fetchval("select count(*) from message where mailbox = 'bells'") == 1


async def test_a_lease_has_one_holder_until_it_runs_out_or_is_left(db):
    one, two = uuid4(), uuid4()
    assert await lease.take(db, "crown", one, 60)
    assert not await lease.take(db, "crown", two, 60)
    assert await lease.take(db, "crown", one, 60)
    await lease.leave(db, "crown", one)
    assert await lease.take(db, "crown", two, 60)
    await db.execute("update lease set expires_at = now() - interval '1 second'")
    assert await lease.take(db, "crown", one, 60)
