"""Migrators that die: after any number of kill -9 the next one finds the schema whole, and finishes it."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import asyncpg
import pytest

from limner.sql import schema
from tests.conftest import VAULT_KEYS, address
from tests.ship.fleet import image, next_migration, plain_environment

FULL = "FAULT_FULL" in os.environ
KILLS = 50 if FULL else 8
SHAPE = """
select string_agg(table_name || '.' || column_name || ' ' || data_type, ', ' order by table_name, column_name)
from information_schema.columns where table_schema = 'public'
"""
SLOW = "create table slow (id int); select pg_sleep(3600); alter table job add column mood text;"
QUICK = "create table slow (id int); select pg_sleep(0); alter table job add column mood text;"
ASLEEP = "select exists (select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database())"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def empty(postgres, tmp_path):
    """The address of a database with nothing in it."""
    boss = await asyncpg.connect(postgres)
    name = f"killed{os.getpid()}"
    await boss.execute(f'create database "{name}"')
    yield address(postgres, name)
    await boss.execute(f'drop database "{name}" with (force)')
    await boss.close()


async def begin(image_folder, dsn, data):
    """`limner migrate` of an image, leading a group of its own, as a container does."""
    settings = {"DATABASE_URL": dsn, "DATA_DIR": str(data), "VAULT_KEYS": VAULT_KEYS, "SECRET_KEY": "s" * 40}
    environment = plain_environment() | {f"LIMNER_{name}": value for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        str(image_folder / "bin" / "limner"), "migrate", env=environment, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def kill(process):
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()


async def shape(dsn):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(SHAPE)
    finally:
        await connection.close()


async def test_migrators_killed_at_random_moments_leave_the_next_one_its_work(empty, dsn, tmp_path):
    seed = random.randrange(10**6)
    print(f"\nseed {seed}, {KILLS} kills")
    draw, target, died = random.Random(seed), image(tmp_path / "now"), 0
    for moment in [0.2, *(draw.uniform(0.1, 1.5) for _ in range(KILLS - 1))]:  # nobody is done after 0.2 s
        process = await begin(target, empty, tmp_path)
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=moment)
        died += process.returncode is None
        await kill(process)
    last = await begin(target, empty, tmp_path)
    said, _ = await asyncio.wait_for(last.communicate(), 120)
    assert last.returncode == 0, said.decode()
    assert await shape(empty) == await shape(dsn)
    assert died, "every migrator had ended before it was to be killed"


async def test_a_migrator_killed_inside_a_statement_leaves_nothing_of_it(dsn, tmp_path):
    before = await shape(dsn)
    slow = image(tmp_path / "slow", migrations=next_migration(SLOW))
    watch = await asyncpg.connect(dsn)
    for _ in range(3 if FULL else 1):
        process = await begin(slow, dsn, tmp_path)
        async with asyncio.timeout(60):
            while not await watch.fetchval(ASLEEP):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        await kill(process)
        # The server notices at the end of the statement, which is far away; an operator would end it, too.
        await watch.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
        assert await shape(dsn) == before
    await watch.close()
    last = await begin(image(tmp_path / "quick", migrations=next_migration(QUICK)), dsn, tmp_path)
    said, _ = await asyncio.wait_for(last.communicate(), 120)
    assert last.returncode == 0, said.decode()
    assert "job.mood text" in await shape(dsn)


@pytest.mark.skipif(not FULL, reason="twenty processes; FAULT_FULL=1 starts them (tests/sql has twenty in one process)")
async def test_of_twenty_migrators_at_once_exactly_one_applies(empty, tmp_path):
    target = image(tmp_path / "now")
    processes = [await begin(target, empty, tmp_path) for _ in range(20)]
    said = [(await asyncio.wait_for(each.communicate(), 180))[0].decode() for each in processes]
    assert [each.returncode for each in processes] == [0] * 20
    assert sum(f"schema 0 -> {schema.head()}" in each for each in said) == 1
    assert sum("nothing to do" in each for each in said) == 19
