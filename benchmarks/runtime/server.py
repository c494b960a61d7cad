"""One throw-away, fully durable Postgres on TCP loopback: fresh databases, what it costs, and its restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from limner.runtime import placement
from limner.runtime.embedded import die_with_parent
from limner.runtime.placement import Owner, Place

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",  # checkpoints are asked for between the phases, so that none falls into one
    "max_connections": "700",
}
USER = "bench"
TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a restart looks like to a client; the last is what asyncpg's pool raises when a connection breaks on its way back."""
READY_WITHIN = 60.0


class Server:
    """A running Postgres. ``restart`` keeps its address and its data."""

    def __init__(self, place: Place, port: int) -> None:
        self.place = place
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        """Returns when connections are accepted. Raises RuntimeError with the end of the server's log."""
        log = self.place.cluster.with_name("postgres.log")
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.place.sockets)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [self.place.binaries / "postgres", "-D", self.place.cluster, *options],
                cwd="/", env=_environment(), stdout=output, stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGQUIT), **_as(self.place.owner),
            )  # fmt: skip
        if not await _until(self._is_ready, READY_WITHIN):
            raise RuntimeError(f"Postgres did not start: {log.read_text(errors='replace')[-1000:]}")

    async def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is Postgres' fast stop: it ends all sessions, and then itself after a checkpoint."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            if not await _until(lambda: self._process is None or self._process.poll() is not None, 30):
                self._process.kill()
            self._process.wait()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    @contextlib.asynccontextmanager
    async def fresh(self, template: str) -> AsyncIterator[str]:
        """A database of its own for one phase, cloned from ``template``: yields its DSN, and drops it at the end."""
        self._made += 1
        name = f"phase_{self._made}"
        await self.execute(f"create database {name} template {template}", "checkpoint")
        try:
            yield self.dsn(name)
        finally:
            await self.execute(f"drop database {name} with (force)")

    async def execute(self, *statements: str) -> None:
        async with connected(self.dsn()) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def version(self) -> str:
        async with connected(self.dsn()) as connection:
            return str(await connection.fetchval("show server_version")).split()[0]

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, IndexError):
            lines = (self.place.cluster / "postmaster.pid").read_text().splitlines()
            return int(lines[0]) == self.pid and lines[7].strip() == "ready"
        return False


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """A new cluster in a temporary folder, gone at the end."""
    with _folder() as folder:
        server = Server(_make(folder), _free_port())
        try:
            await server.start()
            yield server
        finally:
            await server.stop(signal.SIGQUIT)


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "harness"})
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-", dir="/tmp"))
    folder.chmod(0o755)  # the user of Postgres has to pass through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path) -> Place:
    owner = placement.owner_of(folder)
    chosen = os.environ.get("LIMNER_PG_BIN")
    found = placement.find_binaries(Path(chosen) if chosen else None)
    place = Place(found, placement.runnable(found, owner), folder / "data", folder / "run", owner)
    placement.copy_binaries(place)
    for made in (place.cluster, place.sockets):
        made.mkdir(mode=0o700)
        if owner:
            os.chown(made, owner.uid, owner.gid)
    initdb: list[str | Path] = [
        place.binaries / "initdb",
        "-D",
        place.cluster,
        "-U",
        USER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    subprocess.run(initdb, check=True, cwd="/", env=_environment(), stdout=subprocess.DEVNULL, **_as(owner))
    return place


def _as(owner: Owner | None) -> dict[str, Any]:
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}


def _environment() -> dict[str, str]:
    """Ours without PGPORT and the like; PGHOST of a developer's shell must not lead anybody elsewhere."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"HOME": home}


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


async def _until(happened: Callable[[], bool], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not happened():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True
