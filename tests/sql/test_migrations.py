"""Migrations: gapless, unchanged once committed, and safe whoever runs them how often."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path

import anyio
import asyncpg
import pytest
from click.testing import CliRunner

from limner.runtime.cli import commands as cli
from limner.runtime.opening import open_database
from limner.sql import keys, plans, schema, seeds
from tests.conftest import VAULT_KEYS

FOLDER = Path(schema.__file__).parent / "migrations"


@pytest.fixture
async def empty(postgres, tmp_path):
    """The address of a database with nothing in it."""
    boss = await asyncpg.connect(postgres)
    name = f"empty{os.getpid()}{abs(hash(tmp_path)) % 10**9}"
    await boss.execute(f'create database "{name}"')
    before, _, query = postgres.partition("?")
    yield f"{before.rsplit('/', 1)[0]}/{name}?{query}"
    await boss.execute(f'drop database "{name}" with (force)')
    await boss.close()


def test_numbers_are_gapless_and_unique():
    numbers = sorted(schema.version(path) for path in FOLDER.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_committed_migration_is_never_edited():
    """migrations.sha256 grows by a line with each new file; `sha256sum` in the folder writes it."""
    listed = dict(reversed(line.split()) for line in (FOLDER.parent / "migrations.sha256").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.sql")}
    assert found == listed


async def test_twenty_migrators_at_once_all_succeed_and_sow_one_of_each(empty, config):
    here = config.model_copy(update={"database_url": type(config.database_url)(empty)})

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(seeds.migrate_and_sow, here)
    async with open_database(empty, role="test", pool=2) as db:
        assert await schema.current(db) == schema.head()
        assert await db.fetchval("select count(*) from plan") == 1
        assert await db.fetchval("select count(*) from provider_key") == 3
        assert await db.fetchval("select count(*) from account") == 3


async def test_what_an_operator_edited_survives_the_next_migrate(db, config):
    await db.execute("update plan set price_cents = 1234, name = 'Atelier' where code = 'monthly'")
    await db.execute("update model set credits = 5 where id = 'demo'")
    await keys.set_state(db, (await keys.listing(db))[0]["id"], "disabled", "resting", actor="test")
    await seeds.migrate_and_sow(config)
    plan = await plans.by_code(db, "monthly")
    assert (plan.price_cents, plan.name) == (1234, "Atelier")
    assert await db.fetchval("select credits from model where id = 'demo'") == 5
    assert [key["state"] for key in await keys.listing(db)].count("disabled") == 1


async def test_a_migrator_killed_half_way_leaves_nothing_behind(empty):
    """All pending migrations share one transaction; the next one starts where the killed one did."""
    for milliseconds in (300, 600, 900):
        code = f"import asyncio; from limner.sql import schema; asyncio.run(schema.migrate({empty!r}))"
        process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", code, start_new_session=True)
        with anyio.move_on_after(milliseconds / 1000):
            await process.wait()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert (await schema.migrate(empty))[1] == schema.head()


AHEAD = "insert into schema_version (version, description, type, installed_by) values (99, 'from the future', 'auto', 'test')"
RAISED = "update schema_window set min_image_head = 99"


async def test_a_newer_schema_is_worked_on_as_long_as_its_window_allows_it(db):
    await db.execute(AHEAD)
    await schema.wait_until_ready(db, patience=5)
    await db.execute(RAISED)
    with pytest.raises(
        schema.SchemaTooNew, match=rf"at schema 99 .* schema 99 or later; this one knows {schema.head()}"
    ):
        await schema.wait_until_ready(db, patience=5)


async def test_an_image_that_is_too_old_ends_with_78_and_says_what_to_do(db, dsn, config):
    await db.execute(AHEAD)
    await db.execute(RAISED)
    environment = {
        "LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(config.data_dir), "LIMNER_VAULT_KEYS": VAULT_KEYS,
        "LIMNER_SECRET_KEY": "s" * 40,
    }  # fmt: skip
    for command in ("migrate", "worker"):
        done = await asyncio.to_thread(CliRunner(env=environment).invoke, cli.main, [command])
        assert done.exit_code == 78, done.output
        assert "restore the backup that was taken before the upgrade" in done.output
