"""Actors: what becomes of a message by how its handler ends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import pytest

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from tests.faults.trap import Trap


@dataclass(frozen=True)
class Knock(Message):
    """Knock at the door."""

    mailbox = "door"
    how: str


@dataclass
class Heard:
    """What happened behind the door, and a bell for each time."""

    words: list[str] = field(default_factory=list)
    bell: anyio.Event = field(default_factory=anyio.Event)

    def add(self, word: str) -> None:
        self.words.append(word)
        self.bell.set()

    async def until(self, count: int) -> list[str]:
        with anyio.fail_after(10):
            while len(self.words) < count:
                self.bell = anyio.Event()
                await self.bell.wait()
        return self.words


class Door(Actor):
    mailbox = "door"
    messages = (Knock,)
    concurrency = 4
    pause = 0.5

    def __init__(self, *means: object) -> None:
        super().__init__(*means)
        self.heard = Heard()
        self.open = anyio.Event()

    async def receive(self, message: Knock) -> None:
        self.heard.add(message.how)
        match message.how:
            case "busy" if self.heard.words.count("busy") < 3:
                raise Busy("not now", after=0.05)
            case "hopeless":
                raise Hopeless("the wrong house")
            case "crash" if self.heard.words.count("crash") < 2:
                raise ValueError("slipped")
            case "poison":
                raise ValueError("always")
            case "wait":
                await self.open.wait()
            case "ack myself" | "ack myself and say so":
                async with self.db.transaction() as tx:
                    await mailbox.ack(tx, message.fence)
                if message.how.endswith("say so"):
                    self.acknowledged(message.fence)

    async def buried(self, message: Knock, reason: str) -> None:
        self.heard.add(f"buried: {reason}")


@pytest.fixture
async def door(db) -> Door:
    bus, presence = Bus(db), Presence(db, "test", lease=3)
    await presence.beat()
    return Door(db, bus, presence)


@contextlib.asynccontextmanager
async def at_work(actor: Actor) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(actor.bus.run)
        group.start_soon(actor.run)
        with anyio.fail_after(5):
            while not actor.bus.is_connected:
                await anyio.sleep(0.01)
        yield
        actor.drain()
        with anyio.fail_after(5):
            while actor.in_hand:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def beating(presence: Presence) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(presence.run)
        yield
        group.cancel_scope.cancel()


async def left(db) -> int:
    return await db.fetchval("select count(*) from message")


@pytest.mark.parametrize("how", ["plainly", "ack myself"])
async def test_a_handler_that_returns_ends_its_message(db, door, how):
    await mailbox.send(db, Knock(how))
    async with at_work(door):
        assert await door.heard.until(1) == [how]
    assert await left(db) == 0


@pytest.mark.parametrize(("how", "sent"), [("ack myself", 1), ("ack myself and say so", 0)])
async def test_what_acknowledged_itself_needs_no_second_receipt(db, door, how, sent):
    trap = Trap()
    trap.set(db)
    await mailbox.send(db, Knock(how))
    async with at_work(door):
        await door.heard.until(1)
    assert trap.passed["ACK_MANY"] + trap.passed["ACK_AND_CLAIM"] == sent
    assert await left(db) == 0


async def test_busy_means_later_without_blame(db, door):
    await mailbox.send(db, Knock("busy"), max_attempts=1)
    async with at_work(door):
        assert await door.heard.until(3) == ["busy"] * 3
    assert await left(db) == 0


async def test_hopeless_means_dead_letter_with_its_reason(db, door):
    await mailbox.send(db, Knock("hopeless"))
    async with at_work(door):
        assert await door.heard.until(2) == ["hopeless", "buried: the wrong house"]
    assert await db.fetchval("select reason from dead_letter") == "the wrong house"


async def test_a_crash_is_retried_and_takes_nobody_along(db, door):
    await mailbox.send(db, Knock("wait"))
    async with at_work(door):
        await door.heard.until(1)
        await mailbox.send(db, Knock("crash"))
        assert sorted(await door.heard.until(3)) == ["crash", "crash", "wait"]
        door.open.set()
    assert await left(db) == 0


async def test_a_poison_message_dies_after_its_attempts(db, door):
    await mailbox.send(db, Knock("poison"), max_attempts=2)
    async with at_work(door):
        assert await door.heard.until(3) == ["poison", "poison", "buried: ValueError: always"]
    assert await db.fetchval("select attempts from dead_letter") == 2


async def test_a_notification_wakes_it_and_without_one_the_pause_does(db, door):
    door.pause = 0.2
    async with at_work(door):
        await mailbox.send(db, Knock("first"))
        await door.heard.until(1)
        # Nobody is told of this one: it was written behind the notifier's back.
        await db.execute(
            "insert into message (mailbox, kind, payload) values ('door', 'Knock', '{\"how\": \"second\"}')"
        )
        assert await door.heard.until(2) == ["first", "second"]


async def test_what_is_in_hand_when_it_is_cancelled_goes_back_without_an_attempt(db, door):
    await mailbox.send(db, Knock("wait"))
    async with anyio.create_task_group() as group:
        group.start_soon(door.run)
        await door.heard.until(1)
        group.cancel_scope.cancel()
    row = await db.fetchrow("select owner, attempts from message")
    assert (row["owner"], row["attempts"]) == (None, 0)


async def test_a_worker_that_cannot_be_sure_of_its_lease_lets_go(db, door):
    await mailbox.send(db, Knock("wait"))
    async with anyio.create_task_group() as group:
        group.start_soon(door.run)
        await door.heard.until(1)
        door.presence._fresh_at -= 100  # as if no heartbeat had come through for long
        door.presence._let_go()
        with anyio.fail_after(3):
            while door.in_hand:
                await anyio.sleep(0.01)
        assert not door.presence.is_sure
        group.cancel_scope.cancel()


async def test_a_paused_worker_takes_nothing_new_and_finishes_what_it_has(db, door):
    door.pause = 0.1
    await mailbox.send(db, Knock("wait"))
    async with at_work(door):
        await door.heard.until(1)
        door.presence.is_paused = True
        await anyio.sleep(0.3)  # a claim that was on its way when it was paused is over by then
        await mailbox.send(db, Knock("later"))
        door.open.set()
        with anyio.fail_after(5):
            while door.in_hand:
                await anyio.sleep(0.01)
        await anyio.sleep(0.3)
        assert door.heard.words == ["wait"]
        door.presence.is_paused = False
        assert await door.heard.until(2) == ["wait", "later"]


async def test_a_message_that_is_taken_back_while_it_runs_is_stopped(db, door):
    await mailbox.send(db, Knock("wait"), key="guest")
    async with at_work(door):
        await door.heard.until(1)
        assert await mailbox.cancel(db, "door", "guest")
        with anyio.fail_after(5):
            while door.in_hand:
                await anyio.sleep(0.01)
        await mailbox.send(db, Knock("next"))
        assert await door.heard.until(2) == ["wait", "next"]
    assert await left(db) == 0


async def test_a_message_of_the_next_release_is_left_to_its_workers(db, door):
    await db.execute(
        "insert into message (mailbox, kind, payload) values ('door', 'Ring', '{}'), ('door', 'Knock', '{\"why\": 1}')"
    )
    await mailbox.send(db, Knock("hello"))
    async with at_work(door):
        assert await door.heard.until(1) == ["hello"]
        with anyio.fail_after(5):
            while await db.fetchval("select count(*) from message where state = 2") < 2:
                await anyio.sleep(0.01)
    rows = await db.fetch("select attempts, last_error from message order by id")
    assert [tuple(row) for row in rows] == [(0, "not understood here")] * 2
    assert await db.fetchval("select count(*) from dead_letter") == 0


async def test_suspects_are_handled_one_at_a_time_beside_the_others(db, door):
    for _ in range(3):
        await mailbox.send(db, Knock("wait"))
    await db.execute("update message set deaths = 2, state = 3")
    await mailbox.send(db, Knock("hello"))
    async with at_work(door), beating(door.presence):
        assert sorted(await door.heard.until(2)) == ["hello", "wait"]
        await anyio.sleep(1.2)  # another look or two
        assert sorted(door.heard.words) == ["hello", "wait"]
        door.open.set()
        assert await door.heard.until(4) == [*door.heard.words[:2], "wait", "wait"]
    assert await left(db) == 0


async def test_two_actors_of_one_process_share_one_look_and_the_second_looks_on_when_the_first_is_gone(db, door):
    other = Door(db, door.bus, door.presence)
    async with at_work(other), anyio.create_task_group() as group:
        group.start_soon(door.run)
        with anyio.fail_after(5):
            while len(door.presence.lookout._watchers) < 2:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
        await mailbox.send(db, Knock("later"), delay=0.3)
        assert await other.heard.until(1) == ["later"]


async def test_a_message_past_its_deadline_is_stopped_and_buried(db, door):
    await mailbox.send(db, Knock("wait"), deadline=0.5)
    async with at_work(door):
        assert await door.heard.until(2) == ["wait", "buried: its deadline passed"]
    assert await db.fetchval("select reason from dead_letter") == "its deadline passed"
