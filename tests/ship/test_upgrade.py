"""Upgrades of real processes on a real database: what is sound takes over, what is broken never does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import asyncpg
import pytest

from limner.actors.shipwright.deployment import me
from limner.sql import schema
from tests.faults.crew import happens
from tests.ship.fleet import harbour, image, next_migration, running_images

pytestmark = pytest.mark.timeout(240)  # each starts many processes
FULL = "FAULT_FULL" in os.environ
ROLES = ("web-b", "web", "worker", "bot") if FULL else ("web", "worker")
ROLLBACK_WITHIN = 60
"""Seconds."""
ADDS = "alter table job add column mood text;"


async def asked(dsn, sql, *arguments):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()


async def test_every_role_is_replaced_after_a_backup_and_comes_back_with_a_rollback(dsn, tmp_path):
    async with harbour(dsn, tmp_path, ROLES) as here:
        target = image(tmp_path / "next", migrations=next_migration(ADDS))
        before = here.pids()
        said = await here.upgrade(target)
        assert said.code == 0, said.out + said.err
        assert running_images(here) == {str(target)}
        assert not set(before.values()) & set(here.pids().values())
        assert await asked(dsn, schema.CURRENT) == schema.head() + 1
        backup = here.book().in_service.backup
        assert (tmp_path / "data" / "backups" / backup / "manifest.json").exists()
        began = time.monotonic()
        rolled = await here.rollback()
        took = time.monotonic() - began
        assert rolled.code == 0, rolled.out + rolled.err
        assert running_images(here) == {str(here.before)}
        assert set(here.pids()) == set(ROLES)
    assert await asked(dsn, schema.CURRENT) == schema.head() + 1
    audit = json.loads(
        await asked(dsn, "select json_agg(json_build_array(action, after->>'result') order by id) from audit")
    )
    print(f"\nrollback of {len(ROLES)} roles: {took:.1f} s")
    assert took < ROLLBACK_WITHIN
    assert audit[-2:] == [["release.upgraded", "done"], ["release.rolled_back", "done"]]


SHORT = 3
"""So many of these in the short form."""
BROKEN = {
    "crashes at its start": ('[ "$1" = web ] && { echo "Segmentation fault of its own" >&2; exit 139; }', "has ended"),
    "hangs at its start": ('[ "$1" = web ] && exec sleep 240', "hangs"),
    "does not know its secrets": ('[ "$1" = web ] && unset LIMNER_SECRET_KEY', "LIMNER_SECRET_KEY"),
    "cannot even begin": ("exit 1", "does not run"),
}


async def test_a_broken_image_never_takes_over(dsn, tmp_path):
    async with harbour(dsn, tmp_path) as here:
        before = here.pids()
        for number, (trouble, (instead, words)) in enumerate(list(BROKEN.items())[: None if FULL else SHORT]):
            said = await here.upgrade(image(tmp_path / f"broken{number}", instead=instead), "--patience", "8")
            assert said.code == 2, (trouble, said.out, said.err)
            assert words in said.line("upgrade.failed")["words"], trouble
            assert here.pids() == before, trouble
            assert await here.fleet.knock("web", "/health/ready") == 200, trouble


async def test_an_image_that_is_too_old_for_the_schema_is_refused_before_anything_stops(dsn, tmp_path):
    await asked(dsn, "update schema_window set min_image_head = $1 returning true", schema.head())
    async with harbour(dsn, tmp_path, sails=False) as here:
        said = await here.upgrade(image(tmp_path / "old", without=1))
    assert said.code == 2
    assert said.line("preflight.path")["state"] == "fail"
    assert said.line("upgrade.failed")["words"] == "the preflight failed, so nothing was changed"


async def test_an_image_that_breaks_at_its_second_start_is_put_back(dsn, tmp_path):
    """It passes the rehearsal, and fails when it counts."""
    mark = tmp_path / "seen"
    instead = f'[ "$1" = web ] && {{ [ -e {mark} ] && {{ echo gone wrong >&2; exit 3; }}; touch {mark}; }}'
    async with harbour(dsn, tmp_path) as here:
        said = await here.upgrade(image(tmp_path / "next", instead=instead))
        assert said.code == 2
        assert "gone wrong" in said.line("upgrade.failed")["words"]
        assert here.book().in_service.images.app == str(here.before)
        assert said.line("deploy.put_back")["state"] == "ok"
        assert running_images(here) == {str(here.before)}
        assert await here.fleet.knock("web", "/health/ready") == 200


async def test_a_migration_that_fails_changes_nothing_and_names_the_backup(dsn, tmp_path):
    async with harbour(dsn, tmp_path) as here:
        before = here.pids()
        wrong = ADDS + "alter table job add column mood text;"
        said = await here.upgrade(image(tmp_path / "next", migrations=next_migration(wrong)))
        assert said.code == 2
        assert here.pids() == before
    (backup,) = (tmp_path / "data" / "backups").glob("*-*-*")
    assert backup.name in said.line("upgrade.failed")["words"]
    assert await asked(dsn, schema.CURRENT) == schema.head()


async def test_two_at_once_and_a_killed_one(dsn, tmp_path):
    """The second is refused with the name of the first, here and from elsewhere; a killed one holds nobody up."""
    reached = tmp_path / "reached"
    slow = image(
        tmp_path / "slow",
        instead=f'[ "$1" = migrate ] && {{ echo $$ > {reached}.pid; mv {reached}.pid {reached}; exec sleep 240; }}',
    )
    async with (
        harbour(dsn, tmp_path / "one", sails=False) as here,
        harbour(dsn, tmp_path / "two", sails=False) as there,
    ):
        words = ("upgrade", str(slow), "--yes", "--json", "--folder", str(here.folder))
        async with here.begun(*words) as first:
            await happens(reached.exists, within=90)
            second, elsewhere = await here.upgrade(here.before), await there.upgrade(there.before)
            assert (second.code, elsewhere.code) == (1, 1)
            assert f"(process {first.pid}) is under way" in second.err
            assert f"somebody else deploys to this database: limner-deploy {me()}"[:80] in elsewhere.err
            first.kill()
            await first.wait()
            os.kill(int(reached.read_text()), signal.SIGKILL)  # in a container it would have gone, too
        await _lock_is_free(dsn)
        third = await here.rollback()
        assert third.line("deploy.left_over")["state"] == "warn"
        assert f"(process {first.pid})" in third.line("deploy.left_over")["words"]


HELD = """
select exists (
    select from pg_stat_activity where application_name like 'limner-deploy%' and datname = current_database()
)
"""


async def _lock_is_free(dsn):
    async with asyncio.timeout(30):
        while await asked(dsn, HELD):
            await asyncio.sleep(0.05)


async def test_told_to_stop_it_puts_back_what_it_began(dsn, tmp_path):
    mark, reached = tmp_path / "seen", tmp_path / "reached"
    instead = f'[ "$1" = web ] && {{ [ -e {mark} ] && {{ touch {reached}; exec sleep 240; }}; touch {mark}; }}'
    async with harbour(dsn, tmp_path) as here:
        words = (
            "upgrade",
            str(image(tmp_path / "next", instead=instead)),
            "--yes",
            "--json",
            "--folder",
            str(here.folder),
        )
        async with here.begun(*words) as process:
            await happens(reached.exists, within=90)
            os.kill(process.pid, signal.SIGTERM)
            async with asyncio.timeout(90):
                out, err = await process.communicate()
        assert process.returncode == 2, out + err
        assert running_images(here) == {str(here.before)}
        assert await here.fleet.knock("web", "/health/ready") == 200
