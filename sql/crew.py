"""The crew: every living process with its actors, and how full their mailboxes are; for `limner actors`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from limner.runtime.database import Db

MOST = 100_000
"""Rows of one kind that are counted in a mailbox; with a million, that there are more is all one wants to know."""


@dataclass(frozen=True)
class Process:
    """A living process. ``up`` and ``silent``: seconds since its start, and since its last heartbeat.

    ``children`` are reports as the supervisor makes them: name, state, since (seconds in its state), restarts,
    last_error; for an actor also mailbox, in_hand, handled, failed, found_by_poll, pace, rate; children of its own.
    """

    id: UUID
    role: str
    host: str
    pid: int
    state: str
    paused: bool
    up: float
    silent: float
    children: list[dict[str, Any]]

    def actors(self) -> Iterator[dict[str, Any]]:
        """The reports of those that own a mailbox, at any depth."""
        yield from (child for child in _flat(self.children) if "mailbox" in child)


PROCESSES = """
select id, role, host, pid, state, paused, extract(epoch from now() - started_at)::float8 as up,
    extract(epoch from now() - seen_at)::float8 as silent, children, extract(epoch from now())::float8 as now
from worker where state <> 'stopped' and seen_at > now() - make_interval(secs => $1) order by role, started_at
"""


async def processes(db: Db, lease: float) -> list[Process]:
    """Those that gave a sign of life within ``lease`` seconds."""
    found = []
    for row in await db.fetch(PROCESSES, float(lease)):
        fields = dict(row)
        _count_from(fields["children"], fields.pop("now"))
        found.append(Process(**fields))
    return found


def _count_from(children: list[dict[str, Any]], now: float) -> None:
    """Turn the moments in ``since`` into seconds."""
    for child in _flat(children):
        if "since" in child:
            child["since"] = round(max(now - child["since"], 0), 1)


def _flat(children: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for child in children:
        yield child
        yield from _flat(child.get("children", []))


@dataclass(frozen=True)
class Depth:
    """How full a mailbox is. Counts end at MOST + 1, and then ``oldest`` is that of those that were counted.

    ``oldest``: the longest wait in seconds; ``dead``: dead letters of the last 24 hours.
    """

    mailbox: str
    waiting: int
    in_hand: int
    later: int
    oldest: float
    dead: int


# Mailboxes are found by skipping through the indexes, and nothing is counted beyond $1: a long line costs no more.
DEPTHS = """
with recursive line as (
    (select mailbox from message where state = 0 order by mailbox limit 1)
    union all
    select next.mailbox from line cross join lateral (
        select m.mailbox from message as m where m.state = 0 and m.mailbox > line.mailbox order by m.mailbox limit 1
    ) as next
),
coming as (
    (select mailbox from message where state >= 2 order by mailbox limit 1)
    union all
    select next.mailbox from coming cross join lateral (
        select m.mailbox from message as m where m.state >= 2 and m.mailbox > coming.mailbox order by m.mailbox limit 1
    ) as next
),
held as (
    select mailbox, count(*) as n from (select mailbox from message where state = 1 limit $1 + 1) as m group by mailbox
),
gone as (
    select mailbox, count(*) as n from (
        select mailbox from dead_letter where died_at > now() - interval '24 hours' limit $1 + 1
    ) as d group by mailbox
),
box as (
    select mailbox from line union select mailbox from coming union select mailbox from held union select mailbox from gone
)
select box.mailbox,
    least($1 + 1, plain.n + suspect.n)::int as waiting,
    coalesce(held.n, 0)::int as in_hand,
    (
        select count(*) from (select from message as m where m.state = 2 and m.mailbox = box.mailbox limit $1 + 1) as l
    )::int as later,
    coalesce(extract(epoch from now() - least(plain.oldest, suspect.oldest)), 0)::float8 as oldest,
    coalesce(gone.n, 0)::int as dead
from box
left join held using (mailbox) left join gone using (mailbox)
cross join lateral (
    select count(*) as n, min(ready_at) as oldest from (
        select ready_at from message as m where m.mailbox = box.mailbox and m.state = 0
        order by m.partition, m.priority desc, m.pos limit $1 + 1
    ) as l
) as plain
cross join lateral (
    select count(*) as n, min(ready_at) as oldest from (
        select ready_at from message as m where m.mailbox = box.mailbox and m.state = 3 limit $1 + 1
    ) as l
) as suspect
order by box.mailbox
"""


async def depths(db: Db) -> list[Depth]:
    """Every mailbox with something in it, or with dead letters."""
    return [Depth(**row) for row in await db.fetch(DEPTHS, MOST)]
