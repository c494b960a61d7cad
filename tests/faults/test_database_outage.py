"""Postgres dies, hangs or hangs up: nobody needs a restart, nothing is lost, and no call waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import OUTER_TIMEOUT, TROUBLE, Database, is_outage
from limner.runtime.mailbox import Message
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.vault import Vault
from limner.sql import accounts, generations, keys, seeds
from limner.sql.generations import Order
from tests.conftest import held
from tests.faults.books import audit
from tests.faults.cluster import cluster_of_its_own
from tests.faults.conftest import SMALL
from tests.faults.crew import SETTLED, until
from tests.faults.faultproxy import FaultProxy

pytestmark = pytest.mark.timeout(150)


async def test_the_death_of_postgres_under_load_needs_no_restart_of_ours():
    with cluster_of_its_own() as cluster:
        config = cluster.config
        await cluster.start()
        await seeds.migrate_and_sow(config)
        async with held(open_database(config.dsn, role="test", pool=4)) as db:
            workers = [cluster.crew.start("worker") for _ in range(2)]
            await _order(db, config, count=12)
            await until(config.dsn, "select count(*) filter (where state = 'delivered') >= 2 from job")
            await cluster.stop(signal.SIGKILL)
            await cluster.start()
            await until(config.dsn, SETTLED, within=60)
            assert [worker.poll() for worker in workers] == [None, None], cluster.crew.log("worker").read_text()
            await audit(db, config.pictures_folder)
            assert await db.fetchval("select count(*) from image") == 12


@pytest.mark.parametrize("turns", [0, 3])
async def test_a_session_that_ends_while_its_process_is_held_up_is_an_outage(db, turns):
    """asyncpg puts it in two ways: by whether the loop has read of the end before the next statement, or not."""
    with pytest.raises(Exception) as caught:
        async with db.transaction() as tx, tx.transaction():
            await tx.execute("set local idle_in_transaction_session_timeout = '50ms'")
            session = Path(f"/proc/{await tx.fetchval('select pg_backend_pid()')}")
            while session.exists():
                time.sleep(0.01)
            for _ in range(turns):
                await asyncio.sleep(0)
            await tx.fetchval("select 1")
    assert is_outage(caught.value), repr(caught.value)
    assert await db.fetchval("select 1") == 1


async def test_a_lost_listen_connection_comes_back_and_sweeps(db):
    heard: list[str | None] = []
    bus = Bus(db)
    await bus.on("news", heard.append)
    async with anyio.create_task_group() as group:
        group.start_soon(bus.run)
        await _until(lambda: heard == [None])
        db.tell("news", "one")
        await _until(lambda: heard[1:] == ["one"])
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'limner-bus'"
        assert await db.fetchval(cut + " and datname = current_database()")
        await _until(lambda: heard[2:] == [None], within=15)
        db.tell("news", "two")
        await _until(lambda: heard[3:] == ["two"])
        group.cancel_scope.cancel()


async def test_an_order_is_painted_while_nobody_can_listen(crew, db, pictures, painter, order):
    await painter("ok")
    crew.start("worker")
    await until(crew.dsn, "select count(*) > 0 from pg_stat_activity where application_name = 'limner-bus'")
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'limner-bus'"
    async with anyio.create_task_group() as group:

        async def cut_again_and_again() -> None:
            while True:
                await db.execute(cut)
                await anyio.sleep(0.1)

        group.start_soon(cut_again_and_again)
        await order()
        await until(crew.dsn, SETTLED)
        group.cancel_scope.cancel()
    await audit(db, pictures)


class Hold(Message):
    """Hold on until the test says so."""

    mailbox = "holding"


class Holder(Actor):
    mailbox = "holding"
    messages = (Hold,)
    pause = 0.5

    def __init__(self, db: Database, bus: Bus, presence: Presence) -> None:
        super().__init__(db, bus, presence)
        self.began = 0
        self.let_go = 0
        self.may_end = False

    async def receive(self, message: Hold) -> None:
        self.began += 1
        if self.may_end:
            return
        try:
            await anyio.sleep_forever()
        finally:
            self.let_go += 1


@contextlib.asynccontextmanager
async def _far_away(dsn: str) -> AsyncIterator[tuple[FaultProxy, Database]]:
    async with FaultProxy(dsn).serve() as proxy, open_database(proxy.dsn, role="test", pool=4) as db:
        yield proxy, db


async def test_calls_into_a_black_hole_return_in_time(dsn):
    async with _far_away(dsn) as (proxy, db):
        assert await db.fetchval("select 1") == 1
        proxy.blackhole()
        began = time.monotonic()
        async with anyio.create_task_group() as group:
            for call in (_ask(db), _write(db)):
                group.start_soon(_fails, call)
        assert time.monotonic() - began < OUTER_TIMEOUT + 3
        proxy.heal()
        with anyio.fail_after(OUTER_TIMEOUT):
            assert await db.fetchval("select 2") == 2


async def test_a_worker_cut_off_lets_go_and_takes_up_again(dsn, db):
    async with _far_away(dsn) as (proxy, far):
        presence, bus = Presence(far, "worker", lease=3), Bus(far)
        holder = Holder(far, bus, presence)
        async with anyio.create_task_group() as group:
            for work in (presence.run, bus.run, holder.run):
                group.start_soon(work)
            await _send_hold(db)
            await _until(lambda: holder.began == 1)
            proxy.blackhole()
            began = time.monotonic()
            await _until(lambda: holder.let_go == 1)
            assert time.monotonic() - began < presence.lease, "others may take over after a lease"
            proxy.heal()
            holder.may_end = True
            await until(dsn, "select count(*) = 0 from message", within=60)
            assert holder.began == 2
            group.cancel_scope.cancel()


async def test_slow_answers_are_no_outage(dsn, db):
    async with _far_away(dsn) as (proxy, far):
        presence, bus = Presence(far, "worker", lease=6), Bus(far)
        holder = Holder(far, bus, presence)
        holder.may_end = True
        proxy.latency = 0.1
        async with anyio.create_task_group() as group:
            for work in (presence.run, bus.run, holder.run):
                group.start_soon(work)
            await _send_hold(db)
            await until(dsn, "select count(*) = 0 from message", within=20)
            group.cancel_scope.cancel()
        assert (holder.began, holder.let_go) == (1, 0)


async def _send_hold(db: Database) -> None:
    from limner.runtime import mailbox

    await mailbox.send(db, Hold())


async def _ask(db: Database) -> None:
    await db.fetchval("select 1")


async def _write(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("select 1")


async def _fails(call: Any) -> None:
    with pytest.raises(TROUBLE):
        await call


async def _until(condition: Any, within: float = 10) -> None:
    with anyio.fail_after(within):
        while not condition():
            await anyio.sleep(0.02)


async def _order(db: Database, config: Config, count: int) -> None:
    vault = Vault.from_config(config)
    await db.execute("update plan set concurrency = 8")
    await keys.add(db, vault, "simulator", "brush", "simulated", actor="test", switch="slow seconds=0.5", concurrency=4)
    alice = await accounts.find(db, "alice@example.com")
    assert alice is not None
    for number in range(count):
        await generations.order(db, Order(alice.id, f"fox {number}", "simulator", SMALL), deadline=300)
