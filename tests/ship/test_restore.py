"""Restores: what comes back is what was there; and what must not be restored leaves everything as it is."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import asyncpg
import pytest

from limner.actors.archivist import tools
from limner.runtime import passwords
from limner.runtime.folder import Folder
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.vault import generate_key
from limner.sql import accounts, audit, backups, books, chain, schema, sessions
from tests.ship.conftest import Studio, digests, programs

WIPE = "drop schema public cascade"
OTHER_KEY = generate_key("k1")


async def test_backup_wipe_restore_and_all_is_as_it_was(studio: Studio) -> None:
    async with open_database(studio.dsn, role="test", pool=2) as db:
        alice = await accounts.find(db, "alice@example.com")
        assert alice
        token = await sessions.start(db, alice.id, ip="127.0.0.1", agent="test")
    before = await studio.rows(), studio.objects()
    assert (await studio.report("backup"))[0] == 0
    await studio.ask(WIPE)
    shutil.rmtree(studio.pictures)
    code, states, words = await studio.report("restore", "latest", "--yes")
    assert code == 0, words
    assert {"files", "rows", "audit", "secrets", "pictures", "books", "restored", "restore_point"} <= set(states)
    assert (await studio.rows(), studio.objects()) == before
    async with open_database(studio.dsn, role="test", pool=2) as db:
        found = await accounts.with_password(db, "alice@example.com")
        assert found
        assert await passwords.matches("alice-likes-vermilion", found[1])
        assert await sessions.find(db, token)
        findings = await books.verify(db, Folder(studio.pictures), deep=True)
        assert [each.cases for each in findings if each.broken] == []
        await audit.record(db, "test", "look", "books", None, None)
        assert (await chain.verify(db)).is_whole, "what is added to a restored audit is chained as well"
        run = await backups.latest(db, "backup")
        assert run
        assert (run.name, run.state) == (studio.names()[0], "done")
        assert await backups.latest(db, "restore")


async def test_a_database_that_is_gone_altogether_comes_back(studio: Studio) -> None:
    before = await studio.rows()
    await studio.report("backup")
    name = tools.database_of(studio.dsn)
    boss = await asyncpg.connect(tools.at_database(studio.dsn, "postgres"))
    await boss.execute(f'drop database "{name}"')
    await boss.close()
    code, states, words = await studio.report("restore", studio.names()[0], "--yes")
    assert code == 0, words
    assert "restore_point" not in states
    assert await studio.rows() == before


async def test_what_was_replaced_is_kept(studio: Studio) -> None:
    await studio.report("backup")
    await studio.ask("update account set locale = 'fr'")
    changed = await studio.rows()
    code, _, words = await studio.report("restore", "latest", "--yes")
    assert code == 0, words
    (point,) = await studio.databases() - {tools.database_of(studio.dsn)}
    assert point in words
    assert await studio.rows(tools.at_database(studio.dsn, point)) == changed
    assert await studio.ask("select count(*) from account where locale = 'fr'") == 0


async def test_without_yes_somebody_is_asked(studio: Studio) -> None:
    await studio.report("backup")
    before = await studio.rows()
    done = await studio.limner("restore", "latest")
    assert done.exit_code == 1
    assert await studio.rows() == before


# What is refused


async def refused(studio: Studio, *options: str, **changes: str) -> str:
    """Restore: it must fail, and leave all as it is. Returns what was said."""
    databases = await studio.databases()
    before = await studio.rows()
    code, states, words = await studio.report("restore", "latest", "--yes", *options, **changes)
    assert (code, states["restore"]) == (2, "fail"), words
    assert await studio.databases() == databases
    assert await studio.rows() == before
    return words


async def test_a_database_with_a_session_is_live(studio: Studio) -> None:
    await studio.report("backup")
    async with open_database(studio.dsn, role="worker", pool=2):
        assert "is in use by limner-worker" in await refused(studio)


async def test_a_database_where_a_worker_beat_a_moment_ago_is_live(studio: Studio) -> None:
    await studio.report("backup")
    async with open_database(studio.dsn, role="test", pool=2) as db:
        await Presence(db, "worker", lease=300).beat()
    assert "a worker on" in await refused(studio, LIMNER_LEASE="300")
    await studio.ask("update worker set seen_at = now() - interval '1 hour'")
    assert (await studio.report("restore", "latest", "--yes", LIMNER_LEASE="300"))[0] == 0


async def test_a_role_that_may_not_create_databases_is_told_so(studio: Studio) -> None:
    await studio.report("backup")
    await studio.ask("create role humble login")
    try:
        dsn = studio.dsn.replace("limner@/", "humble@/")
        code, _, words = await studio.report("restore", "latest", "--yes", LIMNER_DATABASE_URL=dsn)
        assert (code, "alter role humble createdb" in words) == (2, True), words
        await studio.ask("alter role humble createdb")
        code, _, words = await studio.report("restore", "latest", "--yes", LIMNER_DATABASE_URL=dsn)
        assert (code, "belongs to another role than humble" in words) == (2, True), words
    finally:
        await studio.ask("drop role humble")


async def test_a_schema_that_takes_only_newer_images_is_refused(studio: Studio) -> None:
    await studio.ask("update schema_window set min_image_head = 99")
    await studio.report("backup")
    await studio.ask("update schema_window set min_image_head = 9")
    assert "takes images that know schema 99" in await refused(studio)


@pytest.mark.parametrize("name", ["20260101-000000-aaaaaa", "../etc", "latest"])
async def test_a_backup_that_is_not_there_is_refused(name: str, studio: Studio) -> None:
    code, _, words = await studio.report("restore", name, "--yes")
    assert (code, "limner backup" in words) == (2, True), words


# What is damaged


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def gzip_of_nothing(path: Path) -> None:
    path.write_bytes(bytes.fromhex("1f8b08000000000002030300000000000000 0000".replace(" ", "")))


FILES = ("database.dump", "inventory.jsonl", "manifest.json")
DAMAGE = {
    "a truncated dump": lambda made: truncate(made / "database.dump"),
    "a flipped bit in the dump": lambda made: flip(made / "database.dump"),
    "twenty bytes of gzip for a dump": lambda made: gzip_of_nothing(made / "database.dump"),
    "no dump": lambda made: (made / "database.dump").unlink(),
    "a flipped bit in the inventory": lambda made: flip(made / "inventory.jsonl"),
    "a truncated manifest": lambda made: truncate(made / "manifest.json"),
    "the manifest of another": lambda made: (made / "manifest.json").write_text(
        (made / "manifest.json").read_text().replace(made.name, "20200101-000000-aaaaaa")
    ),
    "a manifest that counts another row": lambda made: (made / "manifest.json").write_text(
        (made / "manifest.json").read_text().replace('"account": 3', '"account": 4')
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_neither_restored_nor_proved_with(damage: str, studio: Studio) -> None:
    await studio.report("backup")
    DAMAGE[damage](studio.backups / studio.names()[0])
    await refused(studio)
    code, states, words = await studio.report("drill")
    assert (code, states["drill"]) == (2, "fail"), words


async def test_neither_restored_nor_proved_with_another_vault_key(studio: Studio) -> None:
    await studio.report("backup")
    words = await refused(studio, LIMNER_VAULT_KEYS=OTHER_KEY)
    assert "LIMNER_VAULT_KEYS: the key 'k1' is another" in words
    assert OTHER_KEY.partition(":")[2] not in words
    assert "LIMNER_VAULT_KEYS lacks the key 'k1'" in await refused(studio, LIMNER_VAULT_KEYS=generate_key("k2"))
    code, _, words = await studio.report("drill", LIMNER_VAULT_KEYS=OTHER_KEY)
    assert (code, "is another" in words) == (2, True), words


@pytest.mark.parametrize("damage", [Path.unlink, flip, truncate])
async def test_a_damaged_picture_is_no_loss_while_the_storage_has_it(damage, studio: Studio) -> None:  # type: ignore[no-untyped-def]
    await studio.report("backup")
    key = str(await studio.ask("select storage_key from image limit 1"))
    damage(studio.backups / "objects" / key) if damage is not truncate else _shorten(studio.backups / "objects" / key)
    code, _, words = await studio.report("restore", "latest", "--yes")
    assert code == 0, words
    (studio.pictures / key).unlink()
    words = await refused(studio)
    assert key in words


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


# Halfway


HALF = """
import time
if '--list' in sys.argv or '--version' in sys.argv:
    os.execv(REAL + '/pg_restore', sys.argv)
data, parent = sys.stdin.buffer.read(), os.getppid()
child = subprocess.Popen([REAL + '/pg_restore', *sys.argv[1:]], stdin=subprocess.PIPE)
child.stdin.write(data[: len(data) // 2])
child.stdin.flush()
open(os.path.dirname(__file__) + '/reached', 'w').close()
while os.getppid() == parent:
    time.sleep(0.05)
child.kill()
"""


async def test_a_killed_restore_leaves_the_database_as_it_was(studio: Studio, tmp_path: Path) -> None:
    await studio.report("backup")
    before = await studio.rows()
    folder = programs(tmp_path / "programs", "pg_restore", HALF)
    process = studio.process("restore", "latest", "--yes", LIMNER_PG_BIN=str(folder))
    with anyio.fail_after(60):
        while not (folder / "reached").exists():
            assert process.poll() is None, process.communicate()
            await anyio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert await studio.rows() == before
    name = tools.database_of(studio.dsn)
    left = {each for each in await studio.databases() if each.startswith(f"{name}_restoring_")}
    assert len(left) == 1
    with anyio.fail_after(60):  # its last session ends when its program does
        while (await studio.report("restore", "latest", "--yes"))[0] != 0 or left & await studio.databases():
            await anyio.sleep(0.2)
    assert await studio.rows() == before


async def test_a_restore_that_fails_leaves_the_database_as_it_was(studio: Studio, tmp_path: Path) -> None:
    await studio.report("backup")
    script = "sys.stdin.buffer.read()\nsys.exit('no room')"
    folder = programs(tmp_path / "programs", "pg_restore", HALF.partition("data, parent")[0] + script)
    assert "pg_restore failed (1): no room" in await refused(studio, LIMNER_PG_BIN=str(folder))


# Database and pictures of different days


async def test_a_database_older_than_the_pictures_comes_back_and_the_rest_is_counted(studio: Studio) -> None:
    await studio.report("backup")
    (studio.pictures / "pictures/late").mkdir()
    (studio.pictures / "pictures/late/1.webp").write_bytes(b"painted after the backup")
    code, _, words = await studio.report("restore", "latest", "--yes")
    assert code == 0, words
    assert "1 objects are younger than this backup, or named by no row: pictures/late/1.webp" in words
    assert (studio.pictures / "pictures/late/1.webp").exists()


async def test_pictures_older_than_the_database_are_refused_unless_one_says_so(studio: Studio) -> None:
    await studio.report("backup")
    key = str(await studio.ask("select storage_key from image limit 1"))
    (studio.pictures / key).unlink()
    (studio.backups / "objects" / key).unlink()
    words = await refused(studio)
    assert f"1 objects are neither in the storage nor in the backup: {key}" in words
    code, states, words = await studio.report("restore", "latest", "--yes", "--without-pictures")
    assert (code, states["books"]) == (1, "warn"), words


async def test_a_picture_deleted_while_the_copy_was_made_is_deleted_in_what_comes_back(studio: Studio) -> None:
    await studio.report("backup")
    made = studio.backups / studio.names()[0]
    key = str(await studio.ask("select storage_key from image limit 1"))
    thumb = str(await studio.ask("select thumb_key from image where storage_key = $1", key))
    _say_gone(made, {key, thumb})
    for each in (key, thumb):
        (studio.pictures / each).unlink()
        (studio.backups / "objects" / each).unlink()
    code, _, words = await studio.report("restore", "latest", "--yes")
    assert code == 0, words
    assert await studio.ask("select wiped_at is not null from image where storage_key = $1", key)
    assert await studio.ask("select count(*) from image where wiped_at is not null") == 1


def _say_gone(made: Path, keys: set[str]) -> None:
    """Write the inventory as it is when these pictures were deleted at the wrong moment."""
    entries = [json.loads(line) for line in (made / "inventory.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(each | ({"state": "gone"} if each["key"] in keys else {})) + "\n" for each in entries)
    (made / "inventory.jsonl").write_text(text)
    about = json.loads((made / "manifest.json").read_text())
    about["pictures"] |= {
        "bytes": len(text), "sha256": digests(made)["inventory.jsonl"], "kept": len(entries) - len(keys), "gone": len(keys)
    }  # fmt: skip
    (made / "manifest.json").write_text(json.dumps(about))


async def test_a_backup_of_an_older_schema_is_brought_up(studio: Studio) -> None:
    """An upgrade backs up first, with the new image, and migrates afterwards."""
    name = f"{tools.database_of(studio.dsn)}_old"
    old = replace(studio, dsn=tools.at_database(studio.dsn, name))
    await studio.ask(f'create database "{name}"')
    try:
        subprocess.run(
            [sys.executable, "-m", "pgmigrate", "migrate", "-t", str(schema.head() - 1), "--force_mixed", "-c", old.dsn,
             "-d", str(schema.FOLDER)], check=True, capture_output=True,
        )  # fmt: skip
        await old.ask("insert into account (email, password_hash) values ('dora@example.com', '')")
        shutil.rmtree(studio.pictures)
        assert (await old.report("backup"))[0] == 0
        code, states, words = await old.report("restore", "latest", "--yes")
        assert (code, states["schema"]) == (0, "ok"), words
        assert await old.ask("select max(version) from schema_version") == schema.head()
        assert await old.ask("select email from account") == "dora@example.com"
    finally:
        for each in await old.databases():
            await studio.ask(f'drop database "{each}" with (force)')
