"""Real processes of Limner, started, killed and frozen by tests, and a way to wait for what they do to the truth."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import asyncpg

from limner.runtime import embedded
from limner.runtime.database import TROUBLE
from tests.conftest import VAULT_KEYS

SETTLED = "select not exists (select from job where state in ('queued', 'running'))"
"""All jobs have come to their ends."""


@dataclass
class Crew:
    """Starts roles on one database and one data folder; whatever still runs at the end of the test is killed."""

    dsn: str | None
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, role: str, *, fault: str = "", about: object = "", how: str = "SIGKILL", **settings: object) -> Any:
        """One process; ``fault`` is a kill point of runtime/faults.py, ``settings`` are LIMNER_ ones without the prefix."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LIMNER_", "FAULT_"))}
        environment |= {"PYTHONSAFEPATH": "1", "FAULT_POINT": fault, "FAULT_ABOUT": str(about), "FAULT_SIGNAL": how}
        environment |= {f"LIMNER_{name.upper()}": str(value) for name, value in (self._settings() | settings).items()}
        with self.log(role).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "limner.runtime.cli", role],
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=embedded.die_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process

    def log(self, role: str) -> Path:
        return self.folder / f"{role}.log"

    def said(self, role: str, word: str) -> bool:
        return word in self.log(role).read_text()

    def _settings(self) -> dict[str, object]:
        chosen = {
            "data_dir": self.folder,
            "vault_keys": VAULT_KEYS,
            "secret_key": "s" * 40,
            "sandbox_secret": "sandbox-secret-for-tests",
            "database_pool": 5,
            "worker_slots": 4,
            "lease": 3,
            "drain": 2,
        }
        return chosen | ({"database_url": self.dsn} if self.dsn else {})


@contextlib.contextmanager
def crew_at(dsn: str | None, folder: Path) -> Iterator[Crew]:
    crew = Crew(dsn, folder)
    try:
        yield crew
    finally:
        for process in crew.processes:
            process.kill()
            process.wait(10)


async def death_of(process: subprocess.Popen[bytes], within: float = 30) -> int:
    """Its exit code; minus the signal's number when one killed it."""
    return await asyncio.wait_for(asyncio.to_thread(process.wait, within), within + 1)


async def frozen(process: subprocess.Popen[bytes], within: float = 30) -> None:
    """Until the process is stopped, by a kill point that freezes or by ours."""
    stat = Path(f"/proc/{process.pid}/stat")
    await happens(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", within)


async def happens(condition: Callable[[], bool], within: float = 30) -> None:
    """Until a condition outside of the database is true. Raises TimeoutError."""
    with anyio.fail_after(within):
        while not condition():
            await anyio.sleep(0.05)


async def until(dsn: str, sql: str, *arguments: object, within: float = 30) -> None:
    """Until the statement gives true: looked at after each notification, twice a second, and over outages.

    Raises TimeoutError with the last answer.
    """
    answer: object = None
    with anyio.move_on_after(within):
        while True:
            try:
                async with _listening(dsn) as (connection, told):
                    while True:
                        told.clear()
                        answer = await connection.fetchval(sql, *arguments)
                        if answer is True:
                            return
                        with anyio.move_on_after(0.5):
                            await told.wait()
            except TROUBLE as error:
                answer = error
                await anyio.sleep(0.2)
    raise TimeoutError(f"not within {within:g} s, but {answer!r}: {' '.join(sql.split())}")


@contextlib.asynccontextmanager
async def _listening(dsn: str) -> AsyncIterator[tuple[Any, asyncio.Event]]:
    connection: Any = await asyncpg.connect(dsn, timeout=5, command_timeout=5)
    told = asyncio.Event()
    try:
        for channel in ("generation_changed", "message_sent", "key_changed"):
            await connection.add_listener(channel, lambda *_: told.set())
        yield connection, told
    finally:
        connection.terminate()


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
