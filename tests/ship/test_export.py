"""What the all-in-one mode has moves to Compose: packed, restored by the commands of its own page, and verified."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from limner.actors import luggage
from limner.runtime import allinone, placement
from limner.runtime.config import Config
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.runtime.vault import Vault
from limner.sql import accounts, books, seeds, vaults
from tests.conftest import address, settings
from tests.flows.test_painting import Stage

pytestmark = pytest.mark.timeout(180)
LIMNER = Path(sys.executable).with_name("limner")
# The page's commands run containers; here their programs run by themselves.
DOCKER = """#!/bin/sh
case "$1 $2" in
"build "*) exit 0 ;;
"run "*) while [ "$1" != limner:local ]; do shift; done; shift; exec {limner} "$@" ;;
"compose up") exit 0 ;;
"compose exec") shift 4 ;;
"compose run") while [ "$1" != web ]; do shift; done; shift; exec tar -C {pictures} -x ;;
esac
case "$1" in
limner) shift; exec env {settings} {limner} "$@" ;;
psql) exec {postgres}/psql -d "{dsn}" -c "$7" ;;
*) exec {postgres}/"$1" -d "{dsn}" --no-owner --single-transaction --exit-on-error ;;
esac
"""


def limner(data: Path, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    env |= {"LIMNER_DATA_DIR": str(data), "PYTHONSAFEPATH": "1"}
    env |= {f"LIMNER_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.run([LIMNER, *words], env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The data folder of an all-in-one studio that has painted two pictures and does not run."""
    folder = Path(tempfile.mkdtemp(prefix="limner-test-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "var" / "secrets").mkdir(parents=True)
    for name, make in allinone.SECRETS.items():
        (folder / "var" / "secrets" / name).write_text(make())
    asyncio.run(_live(folder / "var"))
    yield folder / "var"
    shutil.rmtree(folder)


async def _live(data: Path) -> None:
    with subprocess.Popen([LIMNER, "postgres"], env=os.environ | {"LIMNER_DATA_DIR": str(data)}) as server:
        config = Config(data_dir=data)
        async with _once_it_answers(config):
            await seeds.migrate_and_sow(config)
        async with open_database(config.dsn, role="test", pool=5) as db:
            alice = await accounts.find(db, "alice@example.com")
            assert alice
            stage = Stage(db, config, Vault.from_config(config), alice.id)
            await stage.key()
            await stage.order(count=2)
            await stage.painted()
        server.send_signal(signal.SIGINT)


@contextlib.asynccontextmanager
async def _once_it_answers(config: Config) -> AsyncIterator[None]:
    async with asyncio.timeout(60):
        while True:
            try:
                await (await asyncpg.connect(config.dsn)).close()
                break
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)
    yield


@pytest.fixture
def export(data, tmp_path):
    """An export with pictures; its folder."""
    done = limner(data, "export", "--to", str(tmp_path / "it's out"), "--pictures")
    assert done.returncode == 1, done.stderr
    assert "alice@example.com, bob@example.com, carol@example.com come along" in done.stdout
    return tmp_path / "it's out"


@pytest.fixture
async def restored(export, postgres, tmp_path) -> AsyncIterator[tuple[Path, str]]:
    """A clone in which somebody followed the page, and the address of the database that came of it."""
    boss = await asyncpg.connect(postgres)
    await boss.execute("create database compose")
    dsn, clone, pictures = address(postgres, "compose"), tmp_path / "clone", tmp_path / "volume"
    for folder in (clone / "deploy", pictures, tmp_path / "bin"):
        folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "deploy" / "compose.env.example", clone / "deploy")
    secrets = {name: f"{clone}/secrets/{name}" for name in ("vault_keys", "secret_key", "sandbox_secret")}
    chosen = {f"LIMNER_{name.upper()}_FILE": path for name, path in secrets.items()}
    chosen |= {"LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(tmp_path), "LIMNER_STORAGE_FOLDER": str(pictures)}
    (tmp_path / "bin" / "docker").write_text(
        DOCKER.format(
            limner=LIMNER,
            pictures=pictures,
            dsn=dsn,
            postgres=placement.find_binaries(None),
            settings=" ".join(f"'{name}={value}'" for name, value in chosen.items()),
        )
    )
    (tmp_path / "bin" / "docker").chmod(0o755)
    (script,) = re.findall(r"^```sh\n(.*?)^```", (export / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", script], cwd=clone, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "BROKEN" not in done.stdout
    yield clone, dsn
    await boss.execute("drop database compose with (force)")
    await boss.close()


async def test_the_page_of_an_export_leads_to_the_same_studio(restored, data, tmp_path):
    clone, dsn = restored
    keys = (clone / "secrets" / "vault_keys").read_text()
    config = settings(dsn, tmp_path, vault_keys=keys, storage_folder=tmp_path / "volume")
    async with open_database(dsn, role="test", pool=3) as db, open_storage(config) as storage:
        assert [finding for finding in await books.verify(db, storage, deep=True) if finding.broken] == []
        assert await db.fetchval("select count(*) from image") == 2
        await vaults.admit(db, config)
        rows = await vaults.page(db, None, 100)
        assert len(rows) == 4
        assert [why for row in rows if (why := vaults.trouble(Vault.from_config(config), row))] == []
        for name in ("alice", "bob", "carol"):
            shut_out = await accounts.find(db, f"{name}@example.com")
            assert shut_out.banned_at
            assert shut_out.role == "user"
    made = {path.name for path in (clone / "secrets").iterdir()}
    assert {"postgres_password", "database_url", "vault_keys", "secret_key", "sandbox_secret"} <= made
    assert (clone / "secrets" / "secret_key").read_text() == (data / "secrets" / "secret_key").read_text()
    assert (clone / "secrets").stat().st_mode & 0o777 == 0o700
    assert "LIMNER_DEMO_PAINTER=true\n" in (clone / ".env").read_text()


def test_nobody_else_may_read_what_was_exported(export):
    for path in (export, *export.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert [path.name for path in export.parent.iterdir() if path.name.startswith(".")] == []


def test_an_export_holds_no_pictures_unless_it_is_asked_to(data, tmp_path):
    done = limner(data, "export", "--to", str(tmp_path / "out"), "--json")
    said = json.loads(done.stdout)
    assert [line["state"] for line in said["lines"] if line["code"] == "export.pictures"] == ["skip"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "database.dump", "secrets", "settings.env", "README.md"
    }  # fmt: skip
    assert "docker compose run" not in (tmp_path / "out" / "README.md").read_text()


def test_what_is_there_already_is_never_overwritten(data, tmp_path):
    (tmp_path / "out").mkdir()
    done = limner(data, "export", "--to", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (1, f"limner: --to: {tmp_path}/out is there already\n")


def test_a_folder_without_a_studio_is_refused(tmp_path):
    (tmp_path / "var").mkdir()
    done = limner(tmp_path / "var", "export", "--to", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("limner: LIMNER_DATA_DIR: there is no database in ")
    assert not (tmp_path / "out").exists()


def test_a_studio_that_runs_is_refused_unless_it_is_said(data, tmp_path):
    with allinone.claim(data):
        done = limner(data, "export", "--to", str(tmp_path / "out"))
    assert done.returncode == 1
    assert re.fullmatch(r"limner: Limner already runs on .*: stop it, or say --online\n", done.stderr)
    assert not (tmp_path / "out").exists()


async def test_processes_at_work_are_refused_too_and_online_takes_what_there_is(dsn, db, cast, tmp_path):
    """A studio whose database stands elsewhere."""
    presence = Presence(db, "worker", lease=3)
    await presence.beat()
    chosen = {"database_url": dsn, "vault_keys": settings(dsn, tmp_path).vault_keys.get_secret_value()}
    done = await asyncio.to_thread(limner, tmp_path, "export", "--to", str(tmp_path / "out"), **chosen, lease=600)
    assert done.returncode == 1
    assert f"processes work on this database: worker {os.getpid()}" in done.stderr
    assert not (tmp_path / "out").exists()
    done = await asyncio.to_thread(limner, tmp_path, "export", "--to", str(tmp_path / "out"), "--online", **chosen)
    assert (tmp_path / "out" / "database.dump").stat().st_size > 10_000, done.stderr


def test_a_dump_that_fails_leaves_nothing_behind(data, tmp_path):
    """A pg_dump that ends badly, such as an older one."""
    tools = tmp_path / "tools"
    shutil.copytree(placement.find_binaries(None).parent, tools, symlinks=True)
    (tools / "bin" / "pg_dump").unlink()
    (tools / "bin" / "pg_dump").write_text(
        "#!/bin/sh\necho 'pg_dump: error: aborting because of server version' >&2; exit 1\n"
    )
    (tools / "bin" / "pg_dump").chmod(0o755)
    config = Config(data_dir=data, pg_bin=tools / "bin")
    with pytest.raises(luggage.Refused, match="pg_dump failed: pg_dump: error: aborting"):
        asyncio.run(luggage.dump(config, tmp_path / "database.dump", lambda line: None))
