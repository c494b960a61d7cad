"""A data folder that an unprivileged Postgres can reach, and what supervisor does with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from limner.runtime.config import Config

POSTGRES = "from limner.runtime import embedded; raise SystemExit(embedded.main())"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="limner-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "var"
    shutil.rmtree(folder)


@pytest.fixture
def config(data_dir: Path) -> Config:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return Config(data_dir=data_dir, http_port=trial.getsockname()[1])


@pytest.fixture
def start_postgres() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts what supervisor starts, as often as it takes, and waits until the database answers."""
    started: list[subprocess.Popen[str]] = []

    def start(config: Config, *, tries: int = 1) -> subprocess.Popen[str]:
        said = ""
        for _ in range(tries):
            environment = os.environ | {"LIMNER_DATA_DIR": str(config.data_dir), "PYTHONSAFEPATH": "1"}
            with tempfile.TemporaryFile("w+") as output:
                command = [sys.executable, "-c", POSTGRES]
                server = subprocess.Popen(command, env=environment, stdout=output, stderr=output, text=True)
                started.append(server)
                if asyncio.run(_answers(config, server)):
                    return server
                output.seek(0)
                said += output.read()
        raise AssertionError(said)

    yield start
    for server in started:
        server.terminate()
        server.wait(10)


@pytest.fixture
def query() -> Callable[[Config, str], object]:
    """Asks the embedded database one thing."""

    async def ask(config: Config, sql: str) -> object:
        connection = await asyncpg.connect(config.dsn, timeout=5)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return lambda config, sql: asyncio.run(ask(config, sql))


async def _answers(config: Config, server: subprocess.Popen[str]) -> bool:
    while server.poll() is None:
        try:
            connection = await asyncpg.connect(config.dsn, timeout=5)
            server_pid = int((config.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
            await connection.close()
            if server_pid == server.pid:  # not the left-over one
                return True
        except (OSError, asyncpg.PostgresError):
            pass
        await asyncio.sleep(0.05)
    return False
