"""Clerks at work on one database, and what must be true of what they wrote down, whoever was killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from limner.runtime import embedded
from limner.runtime.database import Db

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "sql" / "migrations"
MAILBOXES = "\n".join(
    [
        *((MIGRATIONS / name).read_text("utf-8") for name in ("V0007__mailboxes.sql", "V0036__claims_that_tell.sql")),
        "alter table worker add column machine jsonb, add column about jsonb not null default '{}';",
    ]
)
DONE = "select not exists (select from message)"
Event = dict[str, Any]


def surroundings() -> dict[str, str]:
    """The environment of a test's own program: it finds the tests, and our rooms where we found them."""
    return os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}


@dataclass
class Office:
    """Starts roles of clerk.py, each with a log of its own. Whatever still runs at the end is dismissed."""

    dsn: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, role: str, *rest: object, dsn: str = "") -> subprocess.Popen[bytes]:
        log = self.log_of(len(self.processes))
        with (self.folder / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.clerk", role, dsn or self.dsn, str(log), *map(str, rest)],
                env=surroundings(),
                cwd=ROOT,
                stdout=output,
                stderr=output,
                preexec_fn=embedded.die_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("work")

    def producer(self, first: int, count: int, takes: float = 0.01) -> subprocess.Popen[bytes]:
        return self.start("produce", first, count, takes)

    def log_of(self, place: int) -> Path:
        return self.folder / f"{place}.jsonl"

    def owner(self, process: subprocess.Popen[bytes]) -> str:
        """Its id among the workers; empty until it is up."""
        return next((e["owner"] for e in read(self.log_of(self.processes.index(process))) if e["event"] == "up"), "")

    def events(self, *kinds: str) -> list[Event]:
        """What all of them wrote down, by time."""
        found = [event for path in self.folder.glob("*.jsonl") for event in read(path) if event["event"] in kinds]
        return sorted(found, key=lambda event: event["at"])

    def numbers(self, *kinds: str) -> set[int]:
        return {event["number"] for event in self.events(*kinds)}

    def output(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")[-20_000:]

    def dismiss(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)


def read(path: Path) -> list[Event]:
    """The events of a log. A line that a kill cut short counts for nothing."""
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


# Each sign of life that a worker gave.
BEATS = """
create table beat (owner uuid not null, at timestamptz not null);
create function keep_beat() returns trigger language plpgsql as $$
begin insert into beat values (new.id, new.seen_at); return null; end $$;
create trigger keep_beat after insert or update on worker for each row execute function keep_beat();
"""
ALL_BEATS = """
select owner::text, array_agg(extract(epoch from at)::float8 order by at) as at from beat group by owner
"""


async def heartbeats(db: Db | Any) -> dict[str, list[float]]:
    """When each worker gave a sign of life, in seconds since the epoch. BEATS was there before them."""
    return {row["owner"]: row["at"] for row in await db.fetch(ALL_BEATS)}


def overlaps(events: Sequence[Event], beats: dict[str, list[float]], lease: float) -> list[str]:
    """What was begun by one worker before another one that had begun it ended it, or its lease did."""
    over = {(e["number"], e["owner"]): e["at"] for e in events if e["event"] in ("parting", "stopped", "end")}
    found = []
    for number, tries in by_number(events, "start").items():
        for one, other in itertools.pairwise(tries):
            seen = max(at for at in beats[one["owner"]] if at <= other["at"])
            free_at = min(over.get((number, one["owner"]), float("inf")), seen + lease)
            if one["owner"] != other["owner"] and other["at"] < free_at:
                found.append(
                    f"{number} was begun again {free_at - other['at']:.3f} s too early: {told(events, number)}"
                )
    return found


def uncounted(events: Sequence[Event]) -> list[str]:
    """What was begun more often than it has attempts. Whoever was stopped may have put it back without blame."""
    stopped = by_number(events, "stopped", "parting")
    found = []
    for number, starts in by_number(events, "start").items():
        given_back = {(event["owner"], event["attempt"]) for event in stopped.get(number, [])}
        attempts = [event["attempt"] for event in starts]
        kept = [event for event in starts if (event["owner"], event["attempt"]) not in given_back]
        if len(kept) > max(attempts):
            found.append(f"{number} was begun at {attempts}: {told(events, number)}")
    return found


def told(events: Sequence[Event], number: int) -> str:
    """All that happened to it, for whoever must find out why."""
    mine = [event for event in events if event.get("number") == number]
    return ", ".join(
        f"{e['event']} {e.get('attempt', '')} by {e.get('owner', 'somebody')[:4]} at {e['at'] % 1000:.3f}" for e in mine
    )


def by_number(events: Sequence[Event], *kinds: str) -> dict[int, list[Event]]:
    found = defaultdict(list)
    for event in events:
        if event["event"] in kinds:
            found[event["number"]].append(event)
    return found
