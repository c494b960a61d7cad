"""Who is alive: heartbeats, and how soon what the dead had in hand is free."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import anyio

from limner.runtime import mailbox, presence
from limner.runtime.database import Database
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence

SILENT = "update worker set seen_at = now() - make_interval(secs => $2) where id = $1"
IS_FREE = "select state = 0 from message"


@dataclass(frozen=True)
class Carry(Message):
    mailbox = "porters"
    what: str


async def holding(db: Database, *, lease: float = 3) -> Presence:
    """A worker that has one message in hand and beats no more."""
    worker = Presence(db, "worker", lease=lease)
    await worker.beat()
    await mailbox.send(db, Carry("a trunk"))
    assert len(await mailbox.claim(db, "porters", worker.id, 1)) == 1
    return worker


@contextlib.asynccontextmanager
async def alive(*workers: Presence) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        for worker in workers:
            group.start_soon(worker.run)
        yield
        group.cancel_scope.cancel()


async def until_free(db: Database, within: float) -> float:
    """Seconds until the only message is free."""
    began = time.monotonic()
    with anyio.fail_after(within):
        while not await db.fetchval(IS_FREE):
            await anyio.sleep(0.02)
    return time.monotonic() - began


async def queries(db: Database, worker: Presence, *beats: float) -> list[presence.Beat]:
    """What it hears at its next beats, when the others have been silent for so many seconds."""
    heard = []
    for silence in beats:
        await db.execute(
            "update worker set seen_at = now() - make_interval(secs => $2) where id <> $1", worker.id, silence
        )
        heard.append(await worker.beat())
    return heard


async def test_what_a_dead_worker_had_in_hand_is_free_a_second_after_its_lease_at_the_latest(db):
    dead, others = await holding(db), [Presence(db, "worker", lease=3) for _ in range(3)]
    for other in others:
        await other.beat()
    await db.execute(SILENT, dead.id, 0.0)
    async with alive(*others):
        assert 2.5 < await until_free(db, within=10) < 6  # a lease, a second, and whatever else this machine does


async def test_a_worker_that_beats_keeps_what_it_has_in_hand(db):
    holder, other = await holding(db, lease=2), Presence(db, "worker", lease=2)
    async with alive(holder, other):
        for _ in range(35):
            await anyio.sleep(0.1)
            assert not await db.fetchval(IS_FREE)


async def test_while_everybody_is_healthy_a_beat_is_one_statement(db):
    worker, other = Presence(db, "worker", lease=15), Presence(db, "web", lease=15)
    await worker.beat()
    await other.beat()
    for silence, end in ((0.0, 15.0), (2.9, 12.1)):
        (heard,) = await queries(db, worker, silence)
        assert end - 2.5 < heard.next_end <= end
        assert heard.next_end > worker.lease / 5, "no look in between"
        assert not heard.is_lost


async def test_the_end_of_a_silent_ones_lease_is_known_beforehand(db):
    dead, worker = await holding(db, lease=15), Presence(db, "worker", lease=15)
    first, second = await queries(db, worker, 10.0, 15.0)
    assert 2 < first.next_end <= 5
    assert not first.is_lost
    assert second == (None, True)
    await db.execute("update worker set state = 'stopped', seen_at = now() where id = $1", dead.id)
    assert await worker.beat() == (None, True)


async def test_what_belongs_to_nobody_on_record_is_freed(db):
    await holding(db)
    await db.execute("update message set owner = $1", uuid4())
    async with alive(Presence(db, "worker", lease=60)):
        await until_free(db, within=30)


async def test_by_the_databases_clock_a_worker_that_stood_still_lets_go(db):
    worker = await holding(db)
    await db.execute(SILENT, worker.id, 3.0)  # as after a machine was frozen, clocks and all
    with worker.guard() as scope, anyio.CancelScope(shield=True):
        assert worker.is_sure
        await worker.beat()
        assert scope.cancel_called
    with worker.guard() as scope:
        await worker.beat()
        assert not scope.cancel_called


async def test_a_worker_that_was_forgotten_signs_in_again_and_lets_go(db):
    worker = Presence(db, "worker", lease=3)
    worker.children = lambda: [{"name": "bus", "state": "running"}]
    await worker.beat()
    await db.execute("delete from worker")
    with worker.guard() as scope, anyio.CancelScope(shield=True):
        await worker.beat()
        assert scope.cancel_called
    assert await db.fetchval("select children -> 0 ->> 'name' from worker where id = $1", worker.id) == "bus"


async def test_children_are_written_when_there_is_news_of_them(db):
    worker, report = Presence(db, "worker", lease=3), [{"name": "bus", "state": "running"}]
    worker.children = lambda: [dict(each) for each in report]
    written = "select children -> 0 ->> 'state' from worker where id = $1"
    await worker.beat()
    await db.execute("update worker set children = '[]'")
    await worker.beat()
    assert await db.fetchval(written, worker.id) is None, "no news, nothing written"
    report[0]["state"] = "degraded"
    await worker.beat()
    assert await db.fetchval(written, worker.id) == "degraded"


async def test_a_beat_finds_lost_messages_by_their_index(db):
    async with db.transaction() as tx:
        await tx.execute("set local enable_seqscan = off")  # an empty table is read whole, whatever there is
        plan = await tx.fetch(f"explain {presence.BEAT}", uuid4(), "running", None, 15.0, None, None)
    assert "message_in_hand" in str(plan)
