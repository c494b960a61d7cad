"""Producers, workers and connections are killed at random: nothing acknowledged is lost, and no two hold one message."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from limner.runtime import embedded
from tests.faults.clerk import DRAIN, LEASE, LIMIT
from tests.faults.crew import death_of, happens, until

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long forms, FAULT_SEED=… to repeat one."""
SEED = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))
DONE = "select not exists (select from message)"
PROGRAM = Path(__file__).with_name("clerk.py")

pytestmark = pytest.mark.timeout(900 if FULL else 90)


@dataclass
class Office:
    """Clerks at work on one database, each with a log of its own."""

    dsn: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self) -> subprocess.Popen[bytes]:
        return self._start("work")

    def producer(self, first: int, count: int, takes: float = 0.01) -> subprocess.Popen[bytes]:
        return self._start("produce", first, count, takes)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """What all of them wrote down, by time. A line that a kill cut short counts for nothing."""
        lines = [line for path in self.folder.glob("*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
        found = [event for event in map(orjson.loads, lines) if event["event"] in kinds]
        return sorted(found, key=lambda event: event["at"])

    def _start(self, role: str, *rest: object) -> subprocess.Popen[bytes]:
        log = self.folder / f"{role}-{len(self.processes)}.jsonl"
        with (self.folder / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), role, self.dsn, str(log), *map(str, rest)],
                env=os.environ | {"PYTHONSAFEPATH": "1"},
                stdout=output,
                stderr=output,
                preexec_fn=embedded.die_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "office"
    folder.mkdir()
    opened = Office(dsn, folder)
    yield opened
    for process in opened.processes:
        process.kill()
        process.wait(10)


async def test_nothing_acknowledged_is_lost_and_no_two_hold_one_message_while_anything_is_killed(office, db):
    dice = random.Random(SEED)
    print(f"FAULT_SEED={SEED}")
    workers = [office.worker() for _ in range(3)]
    overfull = list[str]()
    kills = 0
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_limits, db, overfull)
        for turn in range(40 if FULL else 6):
            producer = office.producer(1 + turn * 10_000, 2000)
            await anyio.sleep(dice.uniform(0.6, 1.2))
            producer.kill()
            match dice.choice(["worker", "worker", "connections"]):
                case "worker":
                    victim = dice.randrange(len(workers))
                    workers[victim].kill()
                    workers[victim] = office.worker()
                case _:
                    await db.execute(CUT, dice.randint(1, 4))
            kills += 1
        await until(office.dsn, DONE, within=60)
        group.cancel_scope.cancel()
    sent = {event["number"] for event in office.events("sent")}
    ended = {event["number"] for event in office.events("end")}
    buried = await db.fetch("select reason, attempts from dead_letter")
    starts = office.events("start")
    print(f"{kills} kills; {len(sent)} sent, {len(ended)} done, {len(starts)} starts, {len(buried)} buried")
    assert len(sent) > 300
    assert sent <= ended, "acknowledged, and lost"
    assert [tuple(row) for row in buried] == []
    assert overfull == []
    await _attempts_are_counted(starts)
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


async def _attempts_are_counted(starts: list[dict[str, Any]]) -> None:
    """Each start has an attempt of its own, and there are never more starts than attempts."""
    attempts = defaultdict(list)
    for event in starts:
        attempts[event["number"]].append(event["attempt"])
    for number, counted in attempts.items():
        assert len(counted) <= counted[-1] <= 50, f"{number}: {counted}"
        assert counted == sorted(set(counted)), f"{number}: {counted}"


async def _no_two_overlap(office: Office, db: Any) -> None:
    """Whoever begins what another had begun begins it after that one ended it, or after its lease did."""
    seen = {
        str(row["id"]): row["seen"]
        for row in await db.fetch("select id, extract(epoch from seen_at)::float8 as seen from worker")
    }
    over = {(event["number"], event["attempt"]): event["at"] for event in office.events("end", "stopped")}
    by_number = defaultdict(list)
    for event in office.events("start"):
        by_number[event["number"]].append(event)
    handed_over = 0
    for number, tries in by_number.items():
        for earlier, later in itertools.pairwise(tries):
            free_at = min(over.get((number, earlier["attempt"]), float("inf")), seen[earlier["owner"]] + LEASE)
            assert later["at"] >= free_at, f"{number} was begun again {free_at - later['at']:.3f} s too early"
            handed_over += 1
    assert handed_over > 0, "nobody was killed with anything in hand: this proves nothing"


async def test_workers_that_are_replaced_one_after_another_lose_and_blame_nothing(office, db):
    workers = [office.worker(), office.worker()]
    producer = office.producer(1, 1500 if FULL else 500, 0.05)
    for turn in range(20 if FULL else 4):
        await anyio.sleep(0.7)
        leaver = workers[turn % 2]
        workers[turn % 2] = office.worker()
        await happens(lambda arrived=turn + 3: len(office.events("up")) == arrived)
        leaver.send_signal(signal.SIGTERM)
        assert await death_of(leaver, within=DRAIN + 8) == 0
    assert await death_of(producer) == 0
    await until(office.dsn, DONE, within=60)
    sent = {event["number"] for event in office.events("sent")}
    assert sent == {event["number"] for event in office.events("end")}
    assert await db.fetchval("select count(*) from dead_letter") == 0
    assert {event["attempt"] for event in office.events("start")} == {1}, "being replaced cost an attempt"


async def test_what_outlasts_the_drain_is_given_back_without_an_attempt(office, db):
    leaver = office.worker()
    producer = office.producer(1, 4, 100_000)  # far longer than anybody drains
    await until(office.dsn, "select count(*) = 4 from message where state = 1")
    assert await death_of(producer) == 0
    leaver.send_signal(signal.SIGTERM)
    assert await death_of(leaver, within=DRAIN + 8) == 0
    rows = await db.fetch("select state, attempts, owner from message")
    assert [tuple(row) for row in rows] == [(0, 0, None)] * 4
    assert len(office.events("stopped")) == len(office.events("start")) > 0
