"""A durable Postgres of a test's own, with the mailboxes and nothing else, to be stopped in any way and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import asyncpg

from limner.runtime import embedded
from limner.runtime.config import Config
from tests.conftest import settings
from tests.faults.crew import Crew, crew_at, death_of
from tests.faults.office import MAILBOXES


@dataclass
class Cluster:
    """Not running yet. ``dsn`` is the address of its one database."""

    crew: Crew
    config: Config
    process: Any = None

    @property
    def dsn(self) -> str:
        return self.config.dsn

    async def start(self) -> None:
        """Start it, as often as it takes: right after a kill its old processes are still ending."""
        with anyio.fail_after(60):
            while True:
                self.process = self.crew.start("postgres")
                while self.process.poll() is None:
                    if await self._serves():
                        return
                    await anyio.sleep(0.05)

    async def stop(self, how: signal.Signals) -> None:
        """SIGQUIT: it ends at once, without a checkpoint. SIGKILL: it does not even tell its children."""
        os.kill(self.process.pid, how)
        await death_of(self.process)

    async def furnish(self, more: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(MAILBOXES + more)
        await connection.close()

    async def _serves(self) -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
            connection = await asyncpg.connect(self.dsn, timeout=5)
            await connection.close()
            pid_file = self.config.data_dir / "postgres" / "postmaster.pid"
            return int(pid_file.read_text().split()[0]) == self.process.pid
        return False


@contextlib.contextmanager
def cluster_of_its_own() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="limner-test-", dir="/tmp"))
    folder.chmod(0o755)  # the user of Postgres must be able to enter it
    data = folder / "var"
    data.mkdir()
    config = settings("", data)
    try:
        with crew_at(None, data) as crew:
            yield Cluster(crew, config)
            embedded.stop(embedded.locate(config))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
