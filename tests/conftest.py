"""The stage of all tests: a Postgres of their own, a fresh database for each test, and the known cast."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import hypothesis
import pytest
import structlog

from limner.runtime import embedded
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.vault import Vault
from limner.sql import accounts, schema, seeds
from limner.sql.accounts import Account

VAULT_KEYS = "k1:" + base64.b64encode(b"limner-test-key-0123456789abcdef").decode()
T = TypeVar("T")
MEMORY, ROOM = Path("/dev/shm"), 6 * 2**30
COUNTER = itertools.count(1)

# How long an example takes says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile("limner", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("limner")


@pytest.fixture(autouse=True)
def the_log_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that runs in this process sets up its log for good: the next test would find its own events nowhere."""
    configure = structlog.configure
    monkeypatch.setattr(structlog, "configure", lambda **how: configure(**how | {"cache_logger_on_first_use": False}))
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A throw-away Postgres for this test process; yields the address of its first database."""
    with _fast_folder() or contextlib.nullcontext(tmp_path_factory.mktemp("pg")) as folder:
        with embedded.throwaway(Path(folder)) as dsn:
            yield dsn


def _fast_folder() -> tempfile.TemporaryDirectory[str] | None:
    """In memory, where there is enough: a database for each test makes and deletes files by the thousand, and for each new one
    ext4 looks through all that were deleted in the last minutes."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    folder = tempfile.TemporaryDirectory(prefix="limner-tests-", dir=MEMORY, ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o755)
    return folder


def settings(dsn: str, folder: Path, **overrides: object) -> Config:
    """The settings of a small studio in development."""
    chosen = {
        "database_url": dsn,
        "data_dir": folder,
        "vault_keys": VAULT_KEYS,
        "secret_key": "s" * 40,
        "sandbox_secret": "sandbox-secret-for-tests",
        "lease": 3,
        "drain": 2,
        "log_level": "warning",
    }
    return Config.load(**(chosen | overrides))


@pytest.fixture(scope="session")
def template(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated and sown database that others are cloned from; its name."""

    async def make() -> str:
        connection = await asyncpg.connect(postgres)
        await connection.execute("create database stage")
        await connection.close()
        dsn = address(postgres, "stage")
        await schema.migrate(dsn)
        async with open_database(dsn, role="test", pool=2) as db:
            await seeds.sow(db, settings(dsn, tmp_path_factory.mktemp("seeds")))
        return "stage"

    return asyncio.run(make())


def address(dsn: str, database: str) -> str:
    before, _, query = dsn.partition("?")
    return f"{before.rsplit('/', 1)[0]}/{quote(database)}?{query}"


@pytest.fixture
async def dsn(postgres: str, template: str) -> AsyncIterator[str]:
    """The address of a fresh clone of the template, gone after the test."""
    name = f"t{next(COUNTER)}"
    boss = await asyncpg.connect(postgres)
    await boss.execute(f'create database "{name}" template "{template}"')
    yield address(postgres, name)
    await boss.execute(f'drop database "{name}" with (force)')
    await boss.close()


@dataclass
class OldDatabase:
    """One as it was before a migration, empty, and the text of that migration."""

    dsn: str
    db: Any
    migration: str

    async def migrate(self) -> None:
        await self.db.execute(self.migration)


@pytest.fixture
async def database_before(postgres: str) -> AsyncIterator[Callable[[str], Awaitable[OldDatabase]]]:
    """``await database_before("audit_chain")``: what it makes is gone after the test, and whoever is connected to it too."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(name: str) -> OldDatabase:
            files = sorted((schema.FOLDER / "migrations").glob("V*.sql"), key=schema.version)
            (this,) = [path for path in files if path.stem.endswith(f"__{name}")]
            dsn = await stack.enter_async_context(_empty(postgres, f"before_{name}"))
            old = await asyncpg.connect(dsn)
            stack.callback(old.terminate)
            for path in files[: files.index(this)]:
                await old.execute(path.read_text(encoding="utf-8"))
            return OldDatabase(dsn, old, this.read_text(encoding="utf-8"))

        yield make


@contextlib.asynccontextmanager
async def _empty(postgres: str, name: str) -> AsyncIterator[str]:
    boss = await asyncpg.connect(postgres)
    try:
        await boss.execute(f'create database "{name}"')
        yield address(postgres, name)
        await boss.execute(f'drop database "{name}" with (force)')
    finally:
        await boss.close()


@pytest.fixture
def config(dsn: str, tmp_path: Path) -> Config:
    return settings(dsn, tmp_path)


@contextlib.asynccontextmanager
async def held(context: contextlib.AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Keep a context open in one task of its own: pytest may run a fixture's two halves in different ones."""
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def hold() -> None:
        async with context as value:
            entered.set_result(value)
            await leave.wait()

    task = asyncio.create_task(hold())
    await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield entered.result()
    finally:
        leave.set()
        await task


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    async with held(open_database(dsn, role="test", pool=10)) as opened:
        yield opened


@pytest.fixture
def vault(config: Config) -> Vault:
    return Vault.from_config(config)


@dataclass
class Cast:
    """Alice has a plan, Bob has none, Carol runs the place."""

    alice: Account
    bob: Account
    carol: Account


@pytest.fixture
async def cast(db: Database) -> Cast:
    found = [await accounts.find(db, f"{name}@example.com") for name in ("alice", "bob", "carol")]
    assert all(found)
    return Cast(*found)  # type: ignore[arg-type]
