"""Drills: the operator's own backup proved in a Postgres of its own, on time, and told when it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from limner.actors import watchman
from limner.actors.archivist.role import Duty
from limner.runtime.cron import Calendar
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.sql import alerts, backups, gauges
from limner.sql.backups import Run
from tests.ship.conftest import Studio, programs

SYSTEM = "select system_identifier::text from pg_control_system()"


async def test_a_drill_proves_the_newest_backup_without_touching_the_live_server(studio: Studio) -> None:
    await studio.report("backup")
    await studio.report("backup")
    before, databases = await studio.rows(), await studio.databases()
    code, states, words = await studio.report("drill")
    assert (code, set(states.values())) == (0, {"ok"}), words
    assert {"files", "scratch", "rows", "audit", "secrets", "books", "pictures", "drilled"} == set(states)
    assert f"the live one is {await studio.ask(SYSTEM)}" in words
    assert await studio.ask(SYSTEM) not in re.findall(r"system (\d+),", words)
    assert "10 read" in words
    assert (await studio.rows(), await studio.databases()) == (before, databases)
    assert await studio.ask("select name from backup_run where kind = 'drill' and state = 'done'") == studio.names()[-1]
    assert "drilled 20" in (await studio.limner("backups")).stdout.splitlines()[0]


MEANWHILE = """
import asyncio, asyncpg
async def write():
    connection = await asyncpg.connect({dsn!r})
    await connection.execute("insert into account (email, password_hash) values ('dora@example.com', '')")
    await connection.close()
if '--version' not in sys.argv:
    asyncio.run(write())
os.execv(REAL + '/pg_dump', sys.argv)
"""


async def test_a_backup_made_while_people_write_is_of_one_moment(studio: Studio, tmp_path: Path) -> None:
    folder = programs(tmp_path / "programs", "pg_dump", MEANWHILE.format(dsn=studio.dsn))
    code, _, words = await studio.report("backup", LIMNER_PG_BIN=str(folder))
    assert code == 0, words
    assert await studio.ask("select count(*) from account") == 4
    assert json.loads((studio.backups / studio.names()[0] / "manifest.json").read_text())["tables"]["account"] == 3
    code, _, words = await studio.report("drill")
    assert code == 0, words


async def test_a_backup_is_drilled_by_name(studio: Studio) -> None:
    for _ in range(2):
        await studio.report("backup")
    code, _, words = await studio.report("drill", studio.names()[0])
    assert (code, studio.names()[0] in words) == (0, True), words


async def test_what_a_killed_drill_left_is_removed(studio: Studio) -> None:
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    left = Path(tempfile.mkdtemp(prefix=f"limner-drill-{dead.pid}-"))
    alive = Path(tempfile.mkdtemp(prefix=f"limner-drill-{os.getppid()}-"))
    try:
        (left / "postgres").mkdir()
        await studio.report("backup")
        assert (await studio.report("drill"))[0] == 0
        assert (left.exists(), alive.exists()) == (False, True)
    finally:
        for each in (left, alive):
            shutil.rmtree(each, ignore_errors=True)


async def test_without_a_backup_there_is_nothing_to_prove(studio: Studio) -> None:
    code, _, words = await studio.report("drill")
    assert (code, "there is no backup in" in words) == (2, True)


def spoil_all_but_nine(objects: Path) -> None:
    """Of ten that are drawn one at least is spoilt."""
    for path in sorted(objects.rglob("*.webp"))[9:]:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)


def lose_one(objects: Path) -> None:
    next(objects.rglob("*.webp")).unlink()


def lose_what_was_sent_in(objects: Path) -> None:
    """No rule of the books asks for it."""
    (objects / "uploads/one.webp").unlink()


def shorten_one(objects: Path) -> None:
    path = next(objects.rglob("*.webp"))
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [spoil_all_but_nine, lose_one, lose_what_was_sent_in, shorten_one])
async def test_damaged_pictures_are_found(damage: Callable[[Path], None], studio: Studio) -> None:
    await studio.report("backup")
    damage(studio.backups / "objects")
    code, states, words = await studio.report("drill")
    assert (code, states["drill"]) == (2, "fail"), words
    assert await studio.ask("select state from backup_run where kind = 'drill'") == "failed"


async def test_books_that_were_wrong_when_the_copy_was_made_are_found(studio: Studio) -> None:
    await studio.ask("update balance set available = available + 1 where spent > 0")
    await studio.report("backup")
    code, _, words = await studio.report("drill")
    assert (code, "a balance is the sum of its entries" in words) == (2, True), words


async def test_a_secret_that_does_not_open_is_found(studio: Studio) -> None:
    await studio.ask("update provider_key set sealed_secret = (select max(sealed_secret) from provider_key)")
    await studio.report("backup")
    code, _, words = await studio.report("drill")
    assert (code, "does not open" in words) == (2, True), words


# On time

DAILY, HOUR = Calendar.parse("17 3 * * *"), timedelta(hours=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def run(at: datetime, state: str = "done") -> Run:
    return Run(1, "backup", state, "", 0, "", at, at, 0.0)


@pytest.mark.parametrize(
    ("good", "last", "due"),
    [
        (None, None, True),
        (NOON - 2 * HOUR, "the same", False),
        (NOON - 24 * HOUR, "the same", True),
        (NOON - 24 * HOUR, run(NOON - 2 * HOUR, "failed"), True),
        (NOON - 24 * HOUR, run(NOON - HOUR / 2, "failed"), False),
        (NOON - 24 * HOUR, run(NOON - HOUR / 2, "running"), False),
        (None, run(NOON - 2 * HOUR, "failed"), True),
    ],
)
def test_what_was_missed_is_made_up_for_and_a_failure_is_tried_again(
    good: datetime | None, last: Run | str | None, due: bool
) -> None:
    async def nothing(say: object) -> None:
        raise AssertionError

    done = run(good) if good else None
    found = done if isinstance(last, str) else last
    assert Duty("backup", DAILY, nothing).is_due(done, found, NOON) is due


async def test_the_role_backs_up_and_drills_by_itself(studio: Studio) -> None:
    process = studio.process("archivist")
    try:
        with anyio.fail_after(60):
            while await studio.ask("select count(*) from backup_run where state = 'done'") != 2:
                assert process.poll() is None, process.communicate()
                await anyio.sleep(0.1)
        done = await studio.limner("health", "archivist")
        assert (done.exit_code, "archivist: healthy" in done.output) == (0, True), done.output
        assert "archivist" in (await studio.limner("actors")).output
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(30):
            while process.poll() is None:
                await anyio.sleep(0.05)
        assert process.returncode == 0
        assert len(studio.names()) == 1
    finally:
        process.kill()
        process.communicate()


async def test_what_was_cut_off_is_made_up_for(studio: Studio) -> None:
    await studio.ask("insert into backup_run (kind, started_at) values ('backup', now() - interval '2 hours')")
    process = studio.process("archivist", LIMNER_BACKUP_AT="0 0 1 1 *", LIMNER_BACKUP_DRILL_AT="0 0 1 1 *")
    try:
        with anyio.fail_after(60):
            while not await studio.ask(
                "select exists (select from backup_run where kind = 'backup' and state = 'done')"
            ):
                assert process.poll() is None, process.communicate()
                await anyio.sleep(0.1)
        assert await studio.ask("select why from backup_run order by id limit 1") == "it was cut off"
    finally:
        process.kill()
        process.communicate()


# Told

NOTE = """
insert into backup_run (kind, state, name, bytes, started_at, ended_at)
values ($1, $2, 'x', 5, now() - make_interval(hours => $3), now() - make_interval(hours => $3))
"""


async def troubles(db: Database, studio: Studio) -> set[str]:
    await watchman.look(db, studio.config)
    return {alert.cause for alert in await alerts.still_open(db)} & {"backup_overdue", "drill_overdue"}


async def test_nobody_is_told_of_missing_backups_before_the_first_was_begun(studio: Studio) -> None:
    async with open_database(studio.dsn, role="test", pool=2) as db:
        assert await troubles(db, studio) == set()
        await db.execute(NOTE, "backup", "failed", 25)
        assert await troubles(db, studio) == set()


async def test_late_backups_and_drills_are_told_and_so_is_their_end(studio: Studio) -> None:
    async with open_database(studio.dsn, role="test", pool=2) as db:
        await db.execute(NOTE, "backup", "failed", 27)
        assert await troubles(db, studio) == {"backup_overdue"}
        await db.execute(NOTE, "backup", "done", 25)
        assert await troubles(db, studio) == set()
        await db.execute(NOTE, "backup", "done", 24 * 8 + 1)
        assert await troubles(db, studio) == {"drill_overdue"}
        await db.execute(NOTE, "drill", "done", 24 * 8 - 1)
        assert await troubles(db, studio) == set()


async def test_the_gauges_tell_ages_and_size_once_there_are_any(studio: Studio) -> None:
    async with open_database(studio.dsn, role="test", pool=2) as db:
        found = {each.name: each.values for each in await gauges.read(db, 15)}
        assert (found["archivist_age_seconds"], found["backup_bytes"]) == ({}, {})
        await db.execute(NOTE, "backup", "done", 3)
        await db.execute(NOTE, "backup", "failed", 1)
        await db.execute(NOTE, "drill", "done", 30)
        found = {each.name: each.values for each in await gauges.read(db, 15)}
        assert found["backup_bytes"] == {(): 5}
        ages = {kind: round(age / 3600) for (kind,), age in found["archivist_age_seconds"].items()}
        assert ages == {"backup": 3, "drill": 30}
        latest = await backups.latest(db, "backup")
        assert latest
        assert latest.state == "done"
