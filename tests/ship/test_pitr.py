"""Recovery to a moment: a durable server, its log, bases that build on each other, and a mistake that is undone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from limner.actors.archivist import wal
from limner.runtime import embedded, placement
from limner.runtime.errors import Refused
from limner.sql import schema
from tests.conftest import settings
from tests.ship.conftest import Studio

MB = 1 << 20
ARCHIVING = """
archive_mode = on
archive_timeout = 60s
summarize_wal = on
archive_command = 'test ! -f {wal}/%f && cp %p {wal}/.%f && mv {wal}/.%f {wal}/%f'
"""


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Studio]:
    """A durable Postgres that archives, with the schema and a table of numbers; all of it under one folder."""
    folder = Path(tempfile.mkdtemp(prefix="limner-test-", dir="/tmp"))
    folder.chmod(0o755)  # the user of Postgres must be able to enter it
    config = settings("", folder / "var")
    config.data_dir.mkdir()
    found = Studio(config, config.dsn)
    place = embedded.prepare(config)
    log = config.pitr_base / "wal"
    log.mkdir(parents=True)
    if place.owner:
        os.chown(log, place.owner.uid, place.owner.gid)
    with (place.cluster / "postgresql.conf").open("a") as conf:
        conf.write(ARCHIVING.format(wal=log))
    process = found.process("postgres", LIMNER_DATABASE_URL="")
    try:
        await _until_up(found.dsn, process)
        await schema.migrate(found.dsn)
        await found.ask("create table number (n bigint)")
        yield found
    finally:
        embedded.stop(place)
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


async def _until_up(dsn: str, process: subprocess.Popen[bytes]) -> None:
    with anyio.fail_after(60):
        while True:
            assert process.poll() is None, process.communicate()
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                connection = await asyncpg.connect(dsn, timeout=5)
                await connection.close()
                return
            await anyio.sleep(0.05)


async def pitr(server: Studio, *arguments: str) -> tuple[int, dict[str, str], str]:
    return await server.report("pitr", *arguments, LIMNER_DATABASE_URL="")


async def write(server: Studio, first: int, last: int) -> None:
    await server.ask("insert into number select generate_series($1::bigint, $2::bigint)", first, last)


async def archived(server: Studio) -> None:
    """All that was written so far is in the archive."""
    name = await server.ask("select pg_walfile_name(pg_switch_wal())")
    with anyio.fail_after(60):
        while not (server.config.pitr_base / "wal" / str(name)).exists():
            await anyio.sleep(0.05)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[str]:
    """A server on the recovered files; yields the address of its database."""
    owner = placement.owner_of(folder)
    found = placement.find_binaries(None)
    sockets = folder.with_name("run2")
    embedded.open_folder(sockets, owner)
    them: dict[str, Any] = {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}
    process = subprocess.Popen(
        [placement.runnable(found, owner) / "postgres", "-D", folder, "-k", sockets, "-c", "listen_addresses="],
        cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **them,
    )  # fmt: skip
    try:
        yield f"postgresql://limner@/limner?host={sockets}&port=5432"
    finally:
        process.terminate()
        process.wait(30)


async def recovered(folder: Path) -> tuple[int, int]:
    """How many numbers there are, and their sum."""
    with started(folder) as dsn, anyio.fail_after(60):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                connection = await asyncpg.connect(dsn, timeout=5)
                try:
                    row = await connection.fetchrow("select count(*), coalesce(sum(n), 0)::bigint from number")
                    assert not await connection.fetchval("select pg_is_in_recovery()")
                    return tuple(row)
                finally:
                    await connection.close()
            await anyio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_a_mistake_is_undone_to_the_moment(server: Studio) -> None:
    await write(server, 1, 1000)
    code, _, words = await pitr(server, "base")
    assert (code, "whole" in words) == (0, True), words
    await write(server, 1001, 2000)
    code, _, words = await pitr(server, "base")
    assert (code, "what changed since" in words) == (0, True), words
    await write(server, 2001, 3000)
    moment = str(await server.ask("select clock_timestamp()::text"))
    await server.ask("delete from number")
    await write(server, 5, 5)
    await archived(server)
    code, states, words = await pitr(server, "check")
    assert (code, set(states.values())) == (0, {"ok"}), words

    into = server.config.data_dir.parent / "recovered"
    code, _, words = await pitr(server, "restore", "--to", moment, "--into", str(into))
    assert (code, "2 bases" in words) == (0, True), words
    assert await recovered(into) == (3000, 3000 * 3001 // 2)
    assert await server.ask("select count(*) from number") == 1

    code, _, words = await pitr(server, "restore", "--to", moment, "--into", str(into))
    assert (code, "is not empty" in words) == (2, True), words
    again = into.with_name("again")
    code, _, words = await pitr(server, "restore", "--to", "2020-01-01 00:00:00+00", "--into", str(again))
    assert (code, "no base is as old as that" in words) == (2, True), words
    code, _, words = await pitr(server, "restore", "--to", "2099-01-01 00:00:00+00", "--into", str(again))
    assert (code, "could not be played up to there" in words, again.exists()) == (2, True, False), words

    segments = wal.segments(server.config.pitr_base / "wal")
    (server.config.pitr_base / "wal" / segments[-2]).unlink()
    code, states, words = await pitr(server, "check")
    assert (code, states["pitr.log"], segments[-2] in words) == (2, "fail", True), words


@pytest.mark.timeout(120)
async def test_a_damaged_base_is_neither_built_on_nor_restored(server: Studio) -> None:
    await write(server, 1, 1000)
    assert (await pitr(server, "base"))[0] == 0
    moment = str(await server.ask("select clock_timestamp()::text"))
    await write(server, 1, 1)
    await archived(server)
    (path,) = (server.config.pitr_base / "base").glob("*/backup_manifest")
    path.write_text("{}")
    code, states, words = await pitr(server, "base")
    assert (code, states["pitr.whole"], "whole" in words) == (1, "warn", True), words
    into = server.config.data_dir.parent / "recovered"
    code, _, words = await pitr(server, "restore", "--to", moment, "--into", str(into))
    assert (code, "pg_verifybackup failed" in words, into.exists()) == (2, True, False), words


async def test_what_is_not_set_up_is_told(studio: Studio) -> None:
    code, states, words = await studio.report("pitr", "check")
    assert (code, states["pitr.archiving"], states["pitr.base"]) == (2, "fail", "fail"), words
    code, _, words = await studio.report(
        "pitr", "restore", "--to", "2026-01-01 00:00:00+00", "--into", str(studio.config.data_dir / "x")
    )
    assert (code, "there is none at all" in words or "cannot enter" in words) == (2, True), words


async def test_a_time_without_a_zone_is_refused(studio: Studio) -> None:
    done = await studio.limner("pitr", "restore", "--to", "2026-01-01 00:00:00", "--into", "/nowhere")
    assert (done.exit_code, "has no time zone" in done.output) == (2, True)


# The archive


def test_a_segment_is_kept_once_and_never_replaced(tmp_path: Path) -> None:
    source, name = tmp_path / "source", "000000010000000000000001"
    source.write_bytes(b"log" * 1000)
    assert wal.archive(source, name, tmp_path / "wal") == f"{name} is kept"
    assert wal.archive(source, name, tmp_path / "wal") == f"{name} was there already"
    source.write_bytes(b"another server's")
    with pytest.raises(Refused, match="does another server archive into this folder"):
        wal.archive(source, name, tmp_path / "wal")
    assert (tmp_path / "wal" / name).read_bytes() == b"log" * 1000
    assert [path.name for path in (tmp_path / "wal").iterdir()] == [name]


@pytest.mark.parametrize("name", ["../x", "x", "", "000000010000000000000001x"])
def test_what_is_no_log_is_not_archived(name: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"")
    with pytest.raises(Refused, match="is no file of Postgres' log"):
        wal.archive(tmp_path / "source", name, tmp_path / "wal")


def test_the_command_needs_no_settings(tmp_path: Path) -> None:
    """The server calls it, in an environment of its own."""
    (tmp_path / "source").write_bytes(b"log")
    command = [sys.executable, "-P", "-m", "limner.runtime.cli", "pitr", "archive", str(tmp_path / "source")]
    name = "00000001.history"
    for text, code in ((b"log", 0), (b"log", 0), (b"gol", 1)):
        (tmp_path / "source").write_bytes(text)
        done = subprocess.run(
            [*command, name, "--into", str(tmp_path / "wal")], env={}, capture_output=True, check=False
        )
        assert done.returncode == code, done


def segment(number: int, line: int = 1) -> str:
    return f"{line:08X}{number // 256:08X}{number % 256:08X}"


@pytest.mark.parametrize(
    ("there", "first", "missing"),
    [
        ([1, 2, 3], 2, []),
        ([2, 3], 1, [1]),
        ([1, 3], 1, [2]),
        ([254, 255, 256, 257], 255, []),
        ([254, 255, 257, 258, 260], 254, [256, 259]),
        ([], 5, [5]),
    ],
)
def test_gaps_in_the_log_are_found(there: list[int], first: int, missing: list[int]) -> None:
    assert wal.gaps(map(segment, there), segment(first), 16 * MB) == [segment(each) for each in missing]


def test_a_new_timeline_is_no_gap() -> None:
    names = [segment(1), segment(2), segment(3), segment(3, 2), segment(4, 2)]
    assert wal.gaps(names, segment(2), 16 * MB) == []
    assert wal.gaps([*names, segment(6, 2)], segment(2), 16 * MB) == [segment(5, 2)]


def test_the_log_before_the_oldest_base_goes(tmp_path: Path) -> None:
    for number in range(1, 6):
        (tmp_path / segment(number)).touch()
    (tmp_path / "00000002.history").touch()
    assert wal.prune(tmp_path, segment(4)) == 3
    assert wal.segments(tmp_path) == [segment(4), segment(5)]
    assert (tmp_path / "00000002.history").exists()
