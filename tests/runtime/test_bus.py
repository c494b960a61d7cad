"""The bus: hears what is told after a commit, and survives the loss of its connection."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import pytest

from limner.runtime.bus import Bus
from limner.runtime.opening import LIMITS, open_database


@pytest.fixture
async def heard(db):
    """A running bus and what it heard on the channel "gossip"; None stands for a sweep."""
    bus = Bus(db)
    send, receive = anyio.create_memory_object_stream[str | None](100)
    await bus.on("gossip", send.send_nowait)
    task = asyncio.create_task(bus.run())
    with anyio.fail_after(15):
        assert await receive.receive() is None  # after LISTEN it sweeps, since anything may have been missed
    yield bus, receive
    task.cancel()
    with contextlib.suppress(BaseException):
        await task
    send.close()
    receive.close()


async def test_what_is_told_in_a_transaction_is_heard_after_its_commit(db, heard):
    _, receive = heard
    async with db.transaction() as tx:
        tx.tell("gossip", "committed")
        with anyio.move_on_after(0.2):
            assert await receive.receive() == "nothing may be heard yet"
    with anyio.fail_after(15):
        assert await receive.receive() == "committed"


async def test_what_is_told_in_a_transaction_that_fails_is_never_heard(db, heard):
    _, receive = heard
    with pytest.raises(RuntimeError):
        async with db.transaction() as tx:
            tx.tell("gossip", "rolled back")
            raise RuntimeError
    db.tell("gossip", "afterwards")
    with anyio.fail_after(15):
        assert await receive.receive() == "afterwards"


async def test_a_savepoint_that_rolls_back_takes_its_words_along(db, heard):
    _, receive = heard
    async with db.transaction() as tx:
        with contextlib.suppress(RuntimeError):
            async with tx.transaction() as inner:
                inner.tell("gossip", "inner")
                raise RuntimeError
        tx.tell("gossip", "outer")
    with anyio.fail_after(15):
        assert await receive.receive() == "outer"


async def test_equal_notifications_that_wait_together_are_sent_once(db, heard):
    _, receive = heard
    for _ in range(50):
        db.tell("gossip", "same")
    db.tell("gossip", "last")
    with anyio.fail_after(15):
        assert [await receive.receive(), await receive.receive()] == ["same", "last"]


async def test_after_its_connection_is_killed_it_listens_again_and_sweeps(db, heard):
    bus, receive = heard
    await db.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'limner-bus'")
    with anyio.fail_after(15):
        assert await receive.receive() is None
    db.tell("gossip", "again")
    with anyio.fail_after(15):
        assert await receive.receive() == "again"
    assert bus.is_connected


async def test_behind_a_pooler_it_asks_everybody_to_look_every_second(dsn):
    async with open_database(dsn, role="test", pool=2, pooled=True) as db, anyio.create_task_group() as group:
        bus, rounds = Bus(db), anyio.Semaphore(0)
        await bus.on("gossip", lambda payload: rounds.release() if payload is None else None)
        group.start_soon(bus.run)
        with anyio.fail_after(8):
            await rounds.acquire()
            assert bus.is_connected
            assert bus.about() == {"hears_by": "poll", "is_connected": True}
            await rounds.acquire()
        listening = "select count(*) from pg_stat_activity where application_name = 'limner-bus'"
        assert await db.fetchval(f"{listening} and datname = current_database()") == 0
        group.cancel_scope.cancel()
    assert not bus.is_connected


async def test_behind_a_pooler_it_listens_at_the_direct_address(dsn):
    opening = open_database(dsn, role="test", pool=2, pooled=True, direct=dsn)
    async with opening as db, anyio.create_task_group() as group:
        bus = Bus(db)
        send, receive = anyio.create_memory_object_stream[str | None](100)
        await bus.on("gossip", send.send_nowait)
        group.start_soon(bus.run)
        with anyio.fail_after(15), send, receive:
            assert await receive.receive() is None
            db.tell("gossip", "told through the pooler")
            assert await receive.receive() == "told through the pooler"
        assert bus.about() == {"hears_by": "listen", "is_connected": True}
        group.cancel_scope.cancel()


async def test_behind_a_pooler_whoever_forgot_the_limits_is_told(dsn, db, capsys):
    async with open_database(dsn, role="test", pool=2, pooled=True):
        assert "no_limits_behind_the_pooler" in "".join(capsys.readouterr())
    name = await db.fetchval("select current_database()")
    for limit in LIMITS:
        await db.execute(f"alter database {name} set {limit} = '8s'")
    async with open_database(dsn, role="test", pool=2, pooled=True):
        assert "no_limits_behind_the_pooler" not in "".join(capsys.readouterr())


async def test_whoever_begins_to_listen_while_others_do_is_heard_too(db):
    """The actors of a worker begin at once, and a connection takes one LISTEN at a time."""
    bus, names = Bus(db), [f"gossip_{number}" for number in range(12)]
    heard = {name: anyio.Event() for name in names}
    async with anyio.create_task_group() as group:
        group.start_soon(bus.run)
        for name in names:
            group.start_soon(bus.on, name, lambda payload, name=name: payload and heard[name].set())
            await anyio.sleep(0.002)
        with anyio.fail_after(15):
            while not bus.is_connected:
                await anyio.sleep(0.01)
            for name in names:
                db.tell(name, "hear, hear")
            for event in heard.values():
                await event.wait()
        group.cancel_scope.cancel()
