"""Scale: what is scheduled or blocked costs the claim nothing, nor does a transaction that keeps dead rows alive."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import anyio
import asyncpg
import pytest

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long forms."""
SCHEDULED, BLOCKED = (1_000_000, 100_000) if FULL else (100_000, 10_000)
JOBS = 40_000 if FULL else 10_000

pytestmark = pytest.mark.timeout(900 if FULL else 90)

READY = """
insert into message (mailbox, kind, payload, partition)
select 'mill', 'Grind', '{"number": 1}', case when $2 then 'guest ' || n % 5 else '' end from generate_series(1, $1) as n
"""
LATER = """
insert into message (mailbox, kind, payload, state, ready_at, deadline)
select 'mill', 'Grind', '{"number": 1}', 2, now() + interval '1 hour' + make_interval(secs => n), now() + interval '30 days'
from generate_series(1, $1) as n
"""
# Ten partitions with a limit of one, each with one in hand.
STUCK = """
insert into message (mailbox, kind, payload, partition, partition_limit, state, owner, attempts)
select 'mill', 'Grind', '{"number": 1}', 'blocked ' || n % 10, 1, case when n <= 10 then 1 else 0 end,
    case when n <= 10 then $2::uuid end, case when n <= 10 then 1 else 0 end
from generate_series(1, $1) as n
"""


@dataclass(frozen=True)
class Grind(Message):
    """Grind a sack."""

    mailbox = "mill"
    number: int


class Mill(Actor):
    mailbox = "mill"
    messages = (Grind,)
    concurrency = 50
    pause = 1.0

    def __init__(self, db: Database, presence: Presence, count: int) -> None:
        super().__init__(db, Bus(db), presence)
        self._left = count
        self.done = anyio.Event()

    async def receive(self, message: Grind) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set()


@pytest.fixture
async def presence(db: Database) -> Presence:
    alive = Presence(db, "test", lease=900)
    await alive.beat()
    return alive


@pytest.mark.parametrize("fairly", [False, True], ids=["plain", "fair"])
async def test_what_is_scheduled_or_blocked_costs_the_claim_nothing(db, presence, fairly):
    await db.execute(READY, 12_000, fairly)
    before = await _claim_times(db, presence, fairly)
    async with db.pool.acquire() as connection:
        await connection.execute("set statement_timeout = 0")
        await connection.execute(LATER, SCHEDULED, timeout=300)
        await connection.execute(STUCK, BLOCKED, uuid4(), timeout=300)
        # What autovacuum and the checkpointer make of a bulk load is over before the second look.
        await connection.execute("vacuum (analyze) message", timeout=300)
        await connection.execute("checkpoint", timeout=300)
    after = await _claim_times(db, presence, fairly)
    print(f"claim of 10, p95: {before * 1000:.2f} ms alone, {after * 1000:.2f} ms beside {SCHEDULED} + {BLOCKED}")
    assert after <= (before * 1.5 + 0.0003 if FULL else before * 3 + 0.001)


async def _claim_times(db: Database, presence: Presence, fairly: bool) -> float:
    """The 95th percentile of claims of ten, in seconds: the quietest of four rounds, since others use this machine."""
    rounds = []
    for _ in range(4):
        times = []
        for _ in range(100):
            began = time.perf_counter()
            if fairly:
                took = await mailbox.claim_fairly(db, "mill", presence.id, 10)
            else:
                took = await mailbox.claim(db, "mill", presence.id, 10)
            times.append(time.perf_counter() - began)
            assert len(took) == 10
            await mailbox.ack_many(db, presence.id, [item.fence for item in took])
        rounds.append(sorted(times)[94])
    return min(rounds)


async def test_a_transaction_that_keeps_dead_rows_alive_does_not_slow_the_work(db, dsn, presence):
    free, pinned = [], []
    for _ in range(4 if FULL else 2):
        free.append(await _rate(db, presence))
        await db.execute("vacuum message")
        pin: Any = await asyncpg.connect(dsn)
        async with pin.transaction(isolation="repeatable_read"):
            await pin.fetchval("select count(*) from worker")
            pinned.append(await _rate(db, presence))
        await pin.close()
        await db.execute("vacuum message")
    print(
        f"{JOBS} jobs: {max(free):.0f}/s, beside a long transaction {max(pinned):.0f}/s: {max(pinned) / max(free):.2f}"
    )
    assert max(pinned) > max(free) * (0.9 if FULL else 0.5)


async def _rate(db: Database, presence: Presence) -> float:
    await mailbox.send_many(db, [Grind(number) for number in range(JOBS)])
    mill = Mill(db, presence, JOBS)
    async with anyio.create_task_group() as group:
        began = time.perf_counter()
        group.start_soon(mill.run)
        with anyio.fail_after(60):
            await mill.done.wait()
        took = time.perf_counter() - began
        mill.drain()
        with anyio.fail_after(10):
            while mill.in_hand:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert await db.fetchval("select count(*) from message") == 0
    return JOBS / took
