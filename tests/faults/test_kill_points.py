"""A worker is killed right before and right after every statement that the mailbox sends; its heir loses and doubles nothing."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import orjson
import pytest

from limner.runtime import embedded
from tests.conftest import COUNTER, address
from tests.faults.office import BEATS, MAILBOXES, ROOT, Event, heartbeats, overlaps, read, surroundings, uncounted
from tests.faults.trap import COPY, NAMES
from tests.faults.victim import LEASE, TABLES

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1: before, too, and at the second and the third pass of each, not only after the first."""

ONLY_IN_TRANSACTIONS = {"SEND", "HOLD", "ACK"}
NOT_OF_A_WORKER = {"PAUSE", "LEAD", "TICK", "HARDEN"}
"""What operators send, the schedule, which has a test of its own, and what a web waits for."""
POINTS = [
    *sorted({*NAMES.values()} - ONLY_IN_TRANSACTIONS - NOT_OF_A_WORKER),
    *(f"{name} in a transaction" for name in ("SEND", "HOLD", "ACK", "RETRY")),
    *(f"commit of {name}" for name in ("SEND", "ACK", "RETRY")),
    COPY,
]
PASSES = (1, 2, 3) if FULL else (1,)
MOMENTS = ("before", "after") if FULL else ("after",)
ONCE = {"REGISTER", "FORGET", "REQUEUE", "COPY", "SEND in a transaction", "commit of SEND"}
"""What a victim does only once, or twice."""
TRAPS = [
    f"{when} {count} {name}"
    for name, when, count in itertools.product(POINTS, MOMENTS, PASSES)
    if count == 1 or name not in ONCE
]

# In the hands of a dead worker: the first of its kind, one that has killed two others, and the one that killed all who tried.
ORPHANS = """
insert into message (mailbox, kind, payload, owner, state, attempts, deaths)
select 'desk', 'Do', jsonb_build_object('number', 9000 + n, 'what', 'book'), id, 1, n, n - 1
from worker cross join (values (1), (3), (5)) as orphan (n)
"""
DEAD = """
insert into worker (id, role, host, pid, seen_at) values (gen_random_uuid(), 'dead', 'dead', 0, now() - interval '1 minute')
"""

pytestmark = pytest.mark.timeout(900 if FULL else 300)


@dataclass
class Story:
    """What is left of a victim and its heir: what they wrote down outside of Postgres, and what Postgres holds."""

    trap: str
    ends: dict[str, float]
    events: list[Event]
    beats: dict[str, list[float]] = field(default_factory=dict)
    effects: list[int] = field(default_factory=list)
    buried: dict[int, str] = field(default_factory=dict)
    left: int = 0

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event["event"] in kinds]

    def numbers(self, *kinds: str) -> set[int]:
        return {event["number"] for event in self.of(*kinds)}


async def test_every_statement_of_the_mailbox_can_be_the_last_one(postgres, tmp_path):
    stories = await _stories(postgres, tmp_path, ["", *TRAPS])
    untouched = stories.pop(0)
    passed = untouched.of("passed")[0]["statements"]
    assert untouched.ends["victim"] == 0
    assert set(POINTS) - passed.keys() == set(), "never sent, so nobody was killed there"
    complaints = [f"{story.trap}: {complaint}" for story in [untouched, *stories] for complaint in _faults(story)]
    kills = sum(story.ends["victim"] == -9 for story in stories)
    print(f"{kills} kills at {len(POINTS)} statements and commits; {len(untouched.events)} events undisturbed")
    assert not complaints, "\n".join(complaints)
    assert kills >= len(MOMENTS) * len(POINTS)


def _faults(story: Story) -> list[str]:
    """What is wrong with it, in words."""
    first = story.trap.split(" ")[1:2] == ["1"]
    done = story.numbers("end") | set(story.effects) | story.buried.keys() | story.numbers("canceling")
    begun_again = [
        event for event in story.of("start") for gone in story.of("canceled")
        if event["number"] == gone["number"] and event["at"] > gone["at"]
    ]  # fmt: skip
    found = {
        "was not killed there": first and story.ends["victim"] != -9,
        "ended badly": story.ends["victim"] not in (0, -9),
        "its heir ended badly": story.ends["heir"] != 0,
        f"left {story.left} messages": story.left > 0,
        f"lost {story.numbers('sent') - done}": not story.numbers("sent") <= done,
        f"doubled {story.effects}": len(story.effects) != len(set(story.effects)),
        f"buried and done {story.buried}": bool(story.buried.keys() & {*story.effects, *story.numbers("end")}),
        f"buried {story.buried}": not _may_be_buried(story),
        f"began again what was taken back: {begun_again}": bool(begun_again),
        "did not free the orphans": not {9001, 9003} <= {*story.effects},
        "did not bury the poison": 9005 not in story.buried or 9005 in story.numbers("start"),
    }
    complaints = [words for words, is_so in found.items() if is_so]
    return complaints + uncounted(story.events) + overlaps(story.events, story.beats, LEASE)


def _may_be_buried(story: Story) -> bool:
    """Nobody is buried for having been killed; the hopeless one may have been killed before its second life."""
    return all(
        reason == {9005: "its worker died every time"}.get(number, reason)
        and (number == 9005 or reason in ("its deadline passed", "nobody can do this"))
        for number, reason in story.buried.items()
    )


# The stage.


async def _stories(postgres: str, folder: Path, traps: list[str]) -> list[Story]:
    """Each trap springs in a process of its own on a database of its own; many at once."""
    boss = await asyncpg.connect(postgres)
    template = f"play{next(COUNTER)}"
    await boss.execute(f'create database "{template}"')
    await _furnish(address(postgres, template))
    tasks = []
    try:
        for number, trap in enumerate(traps):
            name = f"{template} {number}"
            await boss.execute(f'create database "{name}" template "{template}" strategy file_copy')
            tasks.append((trap, address(postgres, name), str(folder / f"{number}.jsonl"), trap))
        ends = await _performed(tasks)
        return [await _story(*task[:3], ends[task[0]]) for task in tasks]
    finally:
        for name in [template, *(f"{template} {number}" for number in range(len(tasks)))]:
            await boss.execute(f'drop database "{name}" with (force)')
        await boss.close()


async def _furnish(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(MAILBOXES + TABLES + BEATS)
    await connection.execute(DEAD)
    await connection.execute(ORPHANS)
    await connection.close()


async def _performed(tasks: list[tuple[str, ...]]) -> dict[str, dict[str, float]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.victim", cwd=ROOT, env=surroundings(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        preexec_fn=embedded.die_with_parent(signal.SIGKILL),
    )  # fmt: skip
    try:
        said, complaints = await process.communicate(orjson.dumps(tasks))
    finally:
        if process.returncode is None:
            process.kill()
    print(complaints.decode(errors="replace")[-20_000:])
    assert process.returncode == 0
    return orjson.loads(said)  # type: ignore[no-any-return]


async def _story(trap: str, dsn: str, path: str, ends: dict[str, float]) -> Story:
    story = Story(trap, ends, sorted(read(Path(path)), key=lambda event: event["at"]))
    connection = await asyncpg.connect(dsn)
    story.left = await connection.fetchval("select count(*) from message")
    story.effects = [row["number"] for row in await connection.fetch("select number from effect order by number")]
    buried = await connection.fetch("select (payload->>'number')::int as number, reason from dead_letter")
    story.buried = {row["number"]: row["reason"] for row in buried}
    story.beats = await heartbeats(connection)
    await connection.close()
    return story
