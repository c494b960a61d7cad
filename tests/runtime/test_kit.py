"""The test kit: messages handled in the test's own task, virtual time, and what a second delivery changes."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.errors import Busy
from limner.runtime.mailbox import Message
from limner.runtime.testing import Signals, alone, deliver_all, runs_once, travel


@dataclass(frozen=True)
class Sweep(Message):
    """Sweep a room."""

    mailbox = "sweeping"
    room: str


class Sweeper(Actor):
    mailbox = "sweeping"
    messages = (Sweep,)

    def __init__(self, *means: object) -> None:
        super().__init__(*means)
        self.swept: list[str] = []

    async def receive(self, message: Sweep) -> None:
        self.swept.append(message.room)
        match message.room:
            case "attic" if self.swept.count("attic") < 2:
                raise Busy("somebody sleeps there", after=60)
            case "stairs":
                await mailbox.send(self.db, Sweep("landing"))
            case "endless stairs":
                await mailbox.send(self.db, message)
            case "bath":
                raise ValueError("slipped")


@dataclass(frozen=True)
class Note(Message):
    """Note a word."""

    mailbox = "noting"
    how: str


class Clerk(Actor):
    """Notes a word: carelessly, carefully, or together with the end of its message."""

    mailbox = "noting"
    messages = (Note,)

    async def receive(self, message: Note) -> None:
        async with self.db.transaction() as tx:
            match message.how:
                case "carelessly":
                    await tx.execute("insert into word values ('fox')")
                case "carefully":
                    await tx.execute(
                        "insert into word select 'fox' where not exists (select from word where word = 'fox')"
                    )
                case "with its end":
                    await tx.execute("insert into word values ('fox')")
                    await mailbox.ack(tx, message.fence)


@pytest.fixture
def sweeper(db) -> Sweeper:
    return alone(db, Sweeper)


@pytest.fixture
async def clerk(db) -> Clerk:
    await db.execute("create table word (word text)")
    return alone(db, Clerk)


async def left(db) -> int:
    return await db.fetchval("select count(*) from message")


async def test_all_that_waits_is_handled_by_priority_and_age(db, sweeper):
    for room in ("hall", "kitchen"):
        await mailbox.send(db, Sweep(room))
    await mailbox.send(db, Sweep("nursery"), priority=5)
    assert await deliver_all(sweeper) == 3
    assert sweeper.swept == ["nursery", "hall", "kitchen"]
    assert await deliver_all(sweeper) == await left(db) == 0


async def test_what_a_handler_sends_is_handled_too(db, sweeper):
    await mailbox.send(db, Sweep("stairs"))
    assert await deliver_all(sweeper) == 2
    assert sweeper.swept == ["stairs", "landing"]


async def test_a_handler_that_sends_to_itself_for_ever_is_found_out(db, sweeper):
    await mailbox.send(db, Sweep("endless stairs"))
    with pytest.raises(RuntimeError, match="still holds messages after 5"):
        await deliver_all(sweeper, most=5)
    assert (len(sweeper.swept), await left(db)) == (5, 1)


async def test_a_delay_is_over_when_the_test_says_so(db, sweeper):
    await mailbox.send(db, Sweep("cellar"), delay=3600)
    assert await deliver_all(sweeper) == 0
    await travel(db, 3599)
    assert await deliver_all(sweeper) == 0
    await travel(db, 2)
    assert await deliver_all(sweeper) == 1


@pytest.mark.parametrize("room", ["attic", "bath"])
async def test_what_was_put_back_comes_again_after_its_pause(db, sweeper, room):
    await mailbox.send(db, Sweep(room))
    assert await deliver_all(sweeper) == 1
    assert await deliver_all(sweeper) == 0
    await travel(db, 61)
    assert await deliver_all(sweeper) == 1
    assert sweeper.swept == [room, room]


async def test_a_deadline_passes_when_the_test_says_so(db, sweeper):
    await mailbox.send(db, Sweep("garage"), deadline=600)
    await travel(db, 601)
    assert await deliver_all(sweeper) == 0
    assert await db.fetchval("select reason from dead_letter") == "its deadline passed"


@pytest.mark.parametrize("how, once", [("carelessly", False), ("carefully", True), ("with its end", True)])
async def test_an_effect_that_would_come_twice_after_a_crash_is_found(db, clerk, how, once):
    await mailbox.send(db, Note(how))
    assert await runs_once(clerk) is once
    assert await db.fetchval("select count(*) from word") == 1 + (not once)
    assert await left(db) == 0


async def test_an_effect_outside_the_database_is_found_by_a_witness(db, sweeper):
    for _ in range(2):
        await mailbox.send(db, Sweep("hall"))
    assert await runs_once(sweeper) is True
    assert await runs_once(sweeper, witness=lambda: sweeper.swept) is False


async def test_nothing_to_run_is_no_success(sweeper):
    with pytest.raises(LookupError, match="no message waits in sweeping"):
        await runs_once(sweeper)


async def test_signals_are_waited_for_and_not_slept_for(db):
    signals, bus = Signals(), Bus(db)
    await bus.on("gossip", signals.give)
    async with anyio.create_task_group() as group:
        group.start_soon(bus.run)
        await signals.until(1)  # the sweep after LISTEN
        db.tell("gossip", "heard it")
        assert await signals.until(2) == [None, "heard it"]
        group.cancel_scope.cancel()
    with pytest.raises(TimeoutError):
        await signals.until(3, within=0.01)
