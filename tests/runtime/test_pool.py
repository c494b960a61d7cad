"""The pool: connections stay at hand while they are used, and nobody who waits goes without one for it."""

from __future__ import annotations

import anyio
import pytest

from limner.runtime import pool
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from tests.conftest import held


@pytest.fixture
async def narrow(dsn: str):
    async with held(open_database(dsn, role="test", pool=2)) as opened:
        yield opened


async def _pid(db: Database) -> int:
    return await db.fetchval("select pg_backend_pid()")


async def test_one_call_after_another_has_the_same_connection_without_asking_the_pool(narrow):
    assert len({await _pid(narrow) for _ in range(5)}) == 1
    assert narrow.pool.behind.get_idle_size() == 0


async def test_more_callers_than_connections_all_get_their_turn(narrow):
    done: list[int] = []

    async def call(number: int) -> None:
        async with narrow.transaction() as tx:
            await tx.execute("select pg_sleep(0.01)")
        await narrow.execute("select 1")
        done.append(number)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(call, number)
    assert sorted(done) == list(range(40))


async def test_a_connection_that_ended_while_it_was_at_hand_is_not_given_out(narrow, db):
    ended = await _pid(narrow)
    await db.fetchval("select pg_terminate_backend($1, 5000)", ended)
    with anyio.fail_after(5):
        while any(map(pool._is_open, narrow.pool._at_hand)):
            await anyio.sleep(0.01)
    assert await _pid(narrow) != ended


async def test_a_connection_goes_back_after_an_error_and_when_it_is_not_used(narrow):
    with pytest.raises(Exception, match="division by zero"):
        await narrow.execute("select 1 / 0")
    assert narrow.pool.behind.get_idle_size() == 1
    await narrow.execute("select 1")
    with anyio.fail_after(pool.COOL + 5):
        while narrow.pool.behind.get_idle_size() == 0:
            await anyio.sleep(0.05)
    assert await narrow.fetchval("select 1") == 1
