"""Messages by the thousand while workers are replaced and killed, and Postgres too: none is lost, doubled, or left for long."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
import asyncpg
import pytest

from tests.faults.clerk import DRAIN, ENTRIES, LEASE
from tests.faults.cluster import Cluster
from tests.faults.crew import death_of, happens, until
from tests.faults.office import BEATS, DONE, Office, by_number, heartbeats, overlaps, read, uncounted

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long form, FAULT_SEED=… to repeat one."""
SEED = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))
MESSAGES, REPLACED, KILLED, STOPPED = (10_000, 20, 20, 3) if FULL else (500, 2, 2, 1)
RATE = 100.0 if FULL else 60.0
TAKES = 0.05
"""Seconds a message, on average: of twelve slots, five are at work."""
SPARE = 0.0 if FULL else 4.0
"""What the short form allows beyond the promise, since all of the suite runs beside it."""

pytestmark = pytest.mark.timeout(600 if FULL else 150)


@dataclass
class Siege:
    """What is done to the workers and to Postgres, one thing after another."""

    cluster: Cluster
    office: Office
    dice: random.Random
    workers: list[Any] = field(default_factory=list)
    producer: Any = None
    kills: list[tuple[str, float]] = field(default_factory=list)
    """Of each killed worker: its id, and when."""
    stall: float = 0.0
    """The longest that this machine stood still for us, in seconds: no promise can be kept meanwhile."""

    async def arrive(self) -> None:
        self.workers += [await self._newcomer() for _ in range(3)]

    async def run(self) -> None:
        plan = ["replace"] * REPLACED + ["kill"] * (KILLED - 1) + ["stop"] * STOPPED
        self.dice.shuffle(plan)
        for place, event in enumerate(["kill", *plan]):
            share = int((place + self.dice.random()) * MESSAGES / len(plan) * 0.7)
            await until(self.cluster.dsn, "select count(*) >= $1 from entry", share, within=60)
            await getattr(self, event)()

    async def replace(self) -> None:
        """The newcomer is there before anybody goes."""
        place = self.dice.randrange(len(self.workers))
        leaver, self.workers[place] = self.workers[place], await self._newcomer()
        leaver.send_signal(signal.SIGTERM)
        assert await death_of(leaver, within=DRAIN + 20) == 0, self.office.output()

    async def kill(self) -> None:
        """As long as there are orders: in the midst of something."""
        await self._all_is_taken_over()
        place = self.dice.randrange(len(self.workers))
        victim = self.workers[place]
        owner = self.office.owner(victim)
        await happens(lambda: self._is_busy(victim) or self.producer.poll() is not None)
        victim.kill()
        self.kills.append((owner, time.time()))
        await death_of(victim)
        self.workers[place] = await self._newcomer()

    async def stop(self) -> None:
        await self._all_is_taken_over()
        await self.cluster.stop(self.dice.choice([signal.SIGKILL, signal.SIGQUIT]))
        await self.cluster.start()
        working = "select count(*) >= $1 + 50 or not exists (select from message) from entry"
        await until(self.cluster.dsn, working, await _value(self.cluster.dsn, "select count(*) from entry"))

    async def _all_is_taken_over(self) -> None:
        """What a killed worker had in hand is promised to come back in time if Postgres and its next owner live."""
        if self.kills:
            await anyio.sleep(max(0.0, self.kills[-1][1] + LEASE + 1 - time.time()))

    async def watch(self) -> None:
        while True:
            began = time.monotonic()
            await anyio.sleep(0.1)
            self.stall = max(self.stall, time.monotonic() - began - 0.1)

    def _is_busy(self, worker: Any) -> bool:
        events = read(self.office.log_of(self.office.processes.index(worker)))
        return 2 * sum(event["event"] == "start" for event in events) >= len(events) + 1

    async def _newcomer(self) -> Any:
        process = self.office.start("keep")
        await happens(lambda: self.office.owner(process) != "")
        return process


async def test_messages_outlive_all_that_happens_to_those_who_work_on_them(cluster, tmp_path):
    print(f"FAULT_SEED={SEED}")
    await cluster.start()
    await cluster.furnish(ENTRIES + BEATS)
    office = Office(cluster.dsn, tmp_path)
    siege = Siege(cluster, office, random.Random(SEED))
    try:
        await siege.arrive()
        siege.producer = office.start("order", MESSAGES, RATE, TAKES)
        async with anyio.create_task_group() as group:
            group.start_soon(siege.watch)
            await until(cluster.dsn, "select count(*) > 50 from entry")
            await siege.run()
            assert await death_of(siege.producer, within=300) == 0
            await until(cluster.dsn, DONE, within=90)
            group.cancel_scope.cancel()
        await _all_is_in_order(cluster.dsn, office, siege)
    finally:
        office.dismiss()


async def _all_is_in_order(dsn, office, siege):
    connection = await asyncpg.connect(dsn)
    entered = [row["number"] for row in await connection.fetch("select number from entry")]
    buried = await connection.fetchval("select count(*) from dead_letter")
    beats = await heartbeats(connection)
    await connection.close()
    sent, unsure = office.numbers("sent"), office.numbers("unsure")
    events = office.events("start", "stopped", "end")
    waits = _waits(events, set(entered), siege.kills)
    print(
        f"{len(sent)} sent, {len(unsure)} unsure, {len(entered)} entered; {len(siege.kills)} workers killed with "
        f"{len(waits)} in hand, the slowest begun again after {max(waits):.2f} s (lease {LEASE} s), stall {siege.stall:.2f} s"
    )
    assert len(sent) >= MESSAGES, "some were on their way when the last one was acknowledged"
    assert sent <= set(entered), "acknowledged, and lost"
    assert set(entered) <= sent | unsure
    assert len(entered) == len(set(entered)), "entered twice"
    assert buried == 0
    assert overlaps(events, beats, LEASE) == []
    assert uncounted(events) == []
    assert max(waits) <= LEASE + 1 + SPARE + siege.stall, office.output()


def _waits(events, entered, kills):
    """Seconds from the death of its worker until each message that it was at work on was begun again."""
    tries, ends = by_number(events, "start"), by_number(events, "stopped", "end")
    waits = []
    for owner, died in kills:
        for number, starts in tries.items():
            mine = [event for event in starts if event["owner"] == owner]
            over = [event for event in ends.get(number, []) if event["owner"] == owner]
            again = [event["at"] for event in starts if event["at"] > died and event["owner"] != owner]
            if len(mine) > len(over) and (again or number not in entered):
                waits.append(min(again, default=float("inf")) - died)
    return waits


async def _value(dsn, sql):
    connection = await asyncpg.connect(dsn)
    value = await connection.fetchval(sql)
    await connection.close()
    return value
