"""Producers, workers and connections are killed at random: nothing acknowledged is lost, and no two hold one message."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import anyio
import pytest

from tests.faults.clerk import DRAIN, LEASE, LIMIT
from tests.faults.crew import death_of, happens, until
from tests.faults.office import BEATS, DONE, Office, by_number, heartbeats, overlaps, uncounted

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long forms, FAULT_SEED=… to repeat one."""
SEED = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))

pytestmark = pytest.mark.timeout(900 if FULL else 150)


async def test_nothing_acknowledged_is_lost_and_no_two_hold_one_message_while_anything_is_killed(office, db):
    dice = random.Random(SEED)
    print(f"FAULT_SEED={SEED}")
    await db.execute(BEATS)
    workers = [office.worker() for _ in range(3)]
    overfull = list[str]()
    kills = 0
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_limits, db, overfull)
        for turn in range(40 if FULL else 6):
            first = 1 + turn * 10_000
            producer = office.producer(first, 2000)
            await happens(lambda first=first: any(number > first + 100 for number in office.numbers("sent")))
            await anyio.sleep(dice.uniform(0, 0.5))
            producer.kill()
            match dice.choice(["worker", "worker", "connections"]) if turn else "worker":
                case "worker":
                    victim = dice.randrange(len(workers))
                    workers[victim].kill()
                    workers[victim] = office.worker()
                case _:
                    await db.execute(CUT, dice.randint(1, 4))
            kills += 1
        await until(office.dsn, DONE, within=60)
        group.cancel_scope.cancel()
    sent, ended, starts = office.numbers("sent"), office.numbers("end"), office.events("start")
    buried = await db.fetch("select reason, attempts from dead_letter")
    print(f"{kills} kills; {len(sent)} sent, {len(ended)} done, {len(starts)} starts, {len(buried)} buried")
    assert len(sent) > 300
    assert sent <= ended, "acknowledged, and lost"
    assert [tuple(row) for row in buried] == []
    assert overfull == []
    assert max(event["attempt"] for event in starts) <= 50
    assert uncounted(office.events("start", "stopped")) == []
    await _no_two_overlap(office, db)


CUT = """
select pg_terminate_backend(pid) from (
    select pid from pg_stat_activity where application_name in ('limner-clerk', 'limner-bus') order by random() limit $1
) as victim
"""
IN_HAND = "select partition, count(*) as n from message where state = 1 and partition <> '' group by partition"


async def _watch_limits(db: Any, overfull: list[str]) -> None:
    while True:
        overfull += [f"{row['partition']}: {row['n']}" for row in await db.fetch(IN_HAND) if row["n"] > LIMIT]
        await anyio.sleep(0.01)


async def _no_two_overlap(office: Office, db: Any) -> None:
    events = office.events("start", "stopped", "end")
    assert overlaps(events, await heartbeats(db), LEASE) == []
    owners = [{event["owner"] for event in tries} for tries in by_number(events, "start").values()]
    assert any(len(each) > 1 for each in owners), "nobody was killed with anything in hand: this proves nothing"


async def test_workers_that_are_replaced_one_after_another_lose_and_blame_nothing(office, db):
    workers = [office.worker(), office.worker()]
    producer = office.producer(1, 1500 if FULL else 500, 0.05)
    for turn in range(20 if FULL else 4):
        await anyio.sleep(0.7)
        leaver = workers[turn % 2]
        workers[turn % 2] = office.worker()
        await happens(lambda arrived=turn + 3: len(office.events("up")) == arrived)
        leaver.send_signal(signal.SIGTERM)
        assert await death_of(leaver, within=DRAIN + 20) == 0
    assert await death_of(producer) == 0
    await until(office.dsn, DONE, within=60)
    assert office.numbers("sent") == office.numbers("end")
    assert await db.fetchval("select count(*) from dead_letter") == 0
    assert {event["attempt"] for event in office.events("start")} == {1}, "being replaced cost an attempt"


async def test_what_outlasts_the_drain_is_given_back_without_an_attempt(office, db):
    leaver = office.worker()
    producer = office.producer(1, 4, 100_000)  # far longer than anybody drains
    await until(office.dsn, "select count(*) = 4 from message where state = 1")
    assert await death_of(producer) == 0
    leaver.send_signal(signal.SIGTERM)
    assert await death_of(leaver, within=DRAIN + 20) == 0
    rows = await db.fetch("select state, attempts, owner from message")
    assert [tuple(row) for row in rows] == [(0, 0, None)] * 4
    assert len(office.events("stopped")) == len(office.events("start")) > 0
