"""The patient: a studio's settings, folder and surroundings, and its database and storage, opened when first asked for."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
import anyio

from limner.actors.doctor import discretion
from limner.actors.doctor.compose import Compose, read_env
from limner.runtime.config import Config, ConfigError
from limner.runtime.database import Database
from limner.runtime.errors import as_raised
from limner.runtime.opening import open_database
from limner.runtime.storage import Storage, open_storage
from limner.runtime.supervisor import contained

T = TypeVar("T")
GB = 2**30


class Skip(Exception):
    """The check cannot say: what it needs is not here. The message is why, in words for the operator."""


class Means(Generic[T]):
    """Something with a door. Opened once, in a task of its own, when first asked for; why it did not open is kept."""

    def __init__(self, door: Callable[[], AbstractAsyncContextManager[T]], missing: str, patience: float) -> None:
        self._door = door
        self._patience = patience
        self._missing = missing
        self._wanted, self._settled, self._done = anyio.Event(), anyio.Event(), anyio.Event()
        self._value: T | None = None
        self.error: Exception | None = None

    async def run(self) -> None:
        """Keeps it open until ``close``."""
        await self._wanted.wait()
        if not self._done.is_set():
            self.error = await contained(self._keep_open)
        self._settled.set()

    async def get(self) -> T:
        """Raises Skip when it does not open."""
        if await self.why_not() is not None or self._value is None:
            raise Skip(self._missing)
        return self._value

    async def why_not(self) -> Exception | None:
        """Why it does not open; None when it does. Raises Skip when nobody can know."""
        self._wanted.set()
        await self._settled.wait()
        if isinstance(self.error, Skip):
            raise self.error
        return self.error

    def close(self) -> None:
        self._done.set()
        self._wanted.set()

    async def _keep_open(self) -> None:
        with anyio.fail_after(self._patience) as clock:
            async with self._door() as self._value:
                clock.deadline = float("inf")
                self._settled.set()
                await self._done.wait()


@dataclass
class Patient:
    """What the checks look at, and where they begin to complain. Sizes are bytes, ages seconds, the rest fractions.

    ``deadline``: seconds that one check may take; ``opening``: those in which the database or the storage has to open.
    """

    settings: Config | ConfigError
    folder: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")
    temp: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    machine: str = field(default_factory=platform.machine)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    open_files: int = field(default_factory=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    clock: Callable[[], float] = time.time
    docker: str | None = field(default_factory=lambda: shutil.which("docker"))
    authorities: Path | None = None
    """A file with one more certificate authority to trust."""
    http_port: int = 80
    deadline: float = 12.0
    opening: float = 8.0

    least_disk: float = 0.10
    least_inodes: float = 0.05
    least_memory: float = 0.08
    least_temp: int = 64 * 2**20
    oldest_postgres: int = 15
    most_wal: int = 8 * GB
    most_xids: int = 1_000_000_000
    most_connections: float = 0.8
    long_transaction: float = 300.0
    long_lock: float = 10.0
    long_wait: float = 120.0
    long_round_trip: float = 10.0
    least_certificate_days: float = 14.0
    longest_backup_age: float = 26 * 3600.0
    longest_drill_age: float = 8 * 86400.0

    def __post_init__(self) -> None:
        self.database: Means[Database] = Means(self._open_database, "the database does not answer", self.opening)
        self.storage: Means[Storage] = Means(self._open_storage, "the storage does not answer", self.opening)
        self.web: Means[aiohttp.ClientSession] = Means(self._open_web, "nothing outside can be asked", self.opening)

    @property
    def config(self) -> Config:
        """Raises Skip when the settings are wrong."""
        if isinstance(self.settings, ConfigError):
            raise Skip("the settings are wrong")
        return self.settings

    async def db(self) -> Database:
        return await self.database.get()

    @cached_property
    def env_file(self) -> dict[str, str]:
        """What .env of the folder says; empty when there is none."""
        return read_env(self.folder / ".env")

    @cached_property
    def said(self) -> Mapping[str, str]:
        """All that was chosen: .env of the folder, and over it the environment of this process."""
        return {**self.env_file, **self.environ}

    @cached_property
    def compose(self) -> Compose:
        """Raises Skip when the folder holds no docker-compose.yml."""
        path = self.folder / "docker-compose.yml"
        if not path.is_file():
            raise Skip(f"there is no docker-compose.yml in {self.folder.resolve()}: tell --folder")
        return Compose.read(path, self.said)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What no line may show, the longest first."""
        known = None if isinstance(self.settings, ConfigError) else self.settings
        found = discretion.secrets_of(known, self.said, self.folder)
        return discretion.longest_first(found | (discretion.secrets_of(None, {}, known.data_dir) if known else set()))

    def hide(self, text: str) -> str:
        return discretion.hide(text, self.secrets)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Inside, the means open as they are asked for; all that is open closes at the end."""
        means: tuple[Means[Any], ...] = (self.database, self.storage, self.web)
        with as_raised():
            async with anyio.create_task_group() as group:
                for each in means:
                    group.start_soon(each.run)
                try:
                    yield
                finally:
                    for each in means:
                        each.close()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.authorities is not None:
            context.load_verify_locations(self.authorities)
        return context

    @asynccontextmanager
    async def _open_database(self) -> AsyncIterator[Database]:
        config = self.config
        async with open_database(
            config.dsn, role="doctor", pool=6, pooled=config.database_pooled, direct=config.direct_dsn
        ) as db:
            yield db

    @asynccontextmanager
    async def _open_storage(self) -> AsyncIterator[Storage]:
        async with open_storage(self.config) as storage:
            yield storage

    @asynccontextmanager
    async def _open_web(self) -> AsyncIterator[aiohttp.ClientSession]:
        limits = aiohttp.ClientTimeout(total=8, connect=4, sock_connect=4)
        connector = aiohttp.TCPConnector(ssl=self.tls)
        async with aiohttp.ClientSession(timeout=limits, connector=connector, trust_env=True) as session:
            yield session
