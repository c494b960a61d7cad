"""Who is alive: one row per process, one heartbeat for all that it owns."""

from __future__ import annotations

import math
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import anyio
import asyncpg

from limner.runtime import upkeep
from limner.runtime.database import TROUBLE, Database, Db
from limner.runtime.log import logger
from limner.runtime.lookout import Lookout
from limner.runtime.machine import Machine

log = logger(__name__)

REGISTER = "insert into worker (id, role, host, pid) values ($1, $2, $3, $4) on conflict (id) do nothing"
HOLD = "update worker set holds = $2 where id = $1"
# One statement a beat, by the database's clock alone; what it selects is from before the update. "select true ... limit 1":
# an "exists" may be planned as a hash of the whole table.
BEAT = """
with mine as (
    update worker set seen_at = now(), state = $2, children = coalesce($3, children), about = coalesce($5, about),
        machine = coalesce($6, machine)
    where id = $1 returning paused
)
select mine.paused, extract(epoch from clock_timestamp())::float8 as clock,
    (select extract(epoch from now() - seen_at)::float8 from worker where id = $1) as silence,
    (
        select extract(epoch from min(seen_at) - now())::float8 + $4 from worker
        where id <> $1 and state <> 'stopped' and seen_at > now() - make_interval(secs => $4)
    ) as next_end,
    coalesce((
        select true from message where state = 1 and not exists (
            select from worker
            where worker.id = message.owner and (worker.id = $1 or worker.state <> 'stopped'
                and worker.seen_at > now() - make_interval(secs => $4))
        ) limit 1
    ), false) as is_lost
from mine
"""
PAUSE = (
    "update worker set paused = $2 where ($1 = 'all' or id::text like $1 || '%') and state <> 'stopped' returning id"
)
FORGET = """
delete from worker where seen_at < now() - interval '1 hour'
    and not exists (select from message where message.owner = worker.id and message.state = 1)
"""


LATEST = 0.3
"""Seconds after the end of a lease in which somebody looks; all who could do so look at different moments."""


class Beat(NamedTuple):
    """What a heartbeat brings back: the seconds until the first lease of the others ends, if there are others that live;
    and whether messages are in the hands of the dead."""

    next_end: float | None
    is_lost: bool


class Presence:
    """This process among the workers. Its id is new at every start: never a host name, never a pid."""

    def __init__(
        self, db: Database, role: str, *, lease: float, holds: Sequence[str] = (), machine: Machine | None = None
    ) -> None:
        """``holds``: fingerprints of the keys that this process was started with."""
        self.db = db
        self.role = role
        self.lease = lease
        self.holds = tuple(holds)
        self.machine = machine or Machine()
        self.id: UUID = uuid4()
        self.state = "running"
        self.is_paused = False
        """An operator asked this process to take nothing new."""
        self.lookout = Lookout(db)
        self.children: Callable[[], list[dict[str, Any]]] = list
        self.about: Callable[[], dict[str, Any]] = dict
        """What is to be known of this process beside its children; each change of it is written down."""
        self._registered = False
        self._reported: list[dict[str, Any]] | None = None
        self._told: dict[str, Any] | None = None
        self._fresh_at = time.monotonic()
        self._guards: set[anyio.CancelScope] = set()

    @property
    def is_sure(self) -> bool:
        """False when the heartbeat is so old that others may soon take over what we own."""
        return self._registered and time.monotonic() - self._fresh_at < self.lease * 2 / 3

    async def run(self) -> None:
        """Beat every fifth of a lease; without a fresh beat for two thirds of it, cancel what we own.

        Each beat also looks after the others: what one of them had in hand is free LATEST seconds after its lease
        has ended.
        """
        while True:
            if not self.is_sure:  # frozen for longer than a lease: the next beat would hide that others took over
                self._let_go()
            pause = self.lease / 5
            try:
                pause = min(pause, await self._look_around())
            except TROUBLE as error:
                log.warning("heartbeat_failed", error=str(error) or type(error).__name__)
            if not self.is_sure:
                self._let_go()
            await anyio.sleep(pause)

    async def beat(self) -> Beat:
        """Say that we are alive, and hear of the others. Raises one of TROUBLE."""
        began = time.monotonic()
        with anyio.fail_after(self.lease / 3):
            row = await self._beat() if self._registered else None
            if row is None:
                await self._register()
                row = await self._beat()
        assert row is not None
        self._fresh_at, self.is_paused = began, row["paused"]
        if row["silence"] >= self.lease:  # by the database's clock: ours may have stood still meanwhile
            self._let_go()
        return Beat(row["next_end"], row["is_lost"])

    async def _beat(self) -> asyncpg.Record | None:
        """None when the database has no row of ours, or none any more."""
        children, about = self.children(), self.about()
        news = None if children == self._reported else children
        more = None if about == self._told else about
        machine, before = await self.machine.report(), self.machine.clock()
        row = await self.db.fetchrow(BEAT, self.id, self.state, news, float(self.lease), more, machine)
        if row is not None:
            self.machine.compare(before, self.machine.clock(), row["clock"])
        self._reported, self._told = children, about
        return row

    async def _register(self) -> None:
        if self._registered:
            self._let_go()
        await self.db.execute(REGISTER, self.id, self.role, socket.gethostname(), os.getpid())
        if self.holds:
            await self.db.execute(HOLD, self.id, self.holds)
        self._registered, self._reported, self._told = True, None, None

    async def _look_around(self) -> float:
        """Beat, and free what the dead have left. Returns the seconds until the next one could be dead."""
        heard = await self.beat()
        if heard.is_lost:
            with anyio.fail_after(self.lease / 3):
                freed = await upkeep.rescue(self.db, self.lease)
            # None: somebody else is at it, and may die of it.
            return math.inf if freed else random.uniform(LATEST, 3 * LATEST)  # noqa: S311
        return math.inf if heard.next_end is None else heard.next_end + random.uniform(0.01, LATEST)  # noqa: S311

    async def leave(self) -> None:
        """Say goodbye, so that nobody waits for our lease to run out."""
        self.state = "stopped"
        try:
            await self.beat()
            await self.db.execute(FORGET)
        except TROUBLE as error:
            log.warning("goodbye_failed", error=str(error) or type(error).__name__)

    @contextmanager
    def guard(self) -> Any:
        """A scope for work on something we own: cancelled when we cannot be sure to own it any longer."""
        with anyio.CancelScope() as scope:
            self._guards.add(scope)
            try:
                yield scope
            finally:
                self._guards.discard(scope)

    def _let_go(self) -> None:
        if self._guards:
            log.error("lease_unsure", role=self.role, handlers=len(self._guards))
        for scope in self._guards:
            scope.cancel()


async def pause(db: Db, workers: str, *, paused: bool = True) -> int:
    """Have workers take nothing new, or go on: "all", or the beginning of one's id. Returns how many were asked.

    They hear of it with their next heartbeat.
    """
    return len(await db.fetch(PAUSE, workers, paused))
