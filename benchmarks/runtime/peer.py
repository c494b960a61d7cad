"""What the harness asks of a queue: one adapter file for each, all of the same shape."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar, Protocol

ROOT = Path(__file__).resolve().parents[2]
CONCURRENCY = 100
"""Jobs that a worker may run at once: the same for every peer that lets one choose."""
CALLERS = 16

Handle = Callable[[int], Awaitable[None]]
"""What a worker calls for each job, with the job's number."""


class Producer(Protocol):
    """An open queue, from the side that fills it."""

    async def one(self, number: int) -> None:
        """Enqueue one job; returns when it is committed."""

    async def many(self, numbers: range) -> None:
        """Enqueue all by the peer's own bulk call; returns when they are committed."""


class Peer:
    """A queue under test. Subclasses stand in ``peers/``, one a file, as its only ``PEER``."""

    name: ClassVar[str]
    package: ClassVar[str]
    """The distribution whose version is recorded."""
    unfinished: ClassVar[str]
    """Counts the jobs that are not done: waiting or running."""
    language: ClassVar[str] = "python"

    def version(self) -> str:
        return importlib.metadata.version(self.package)

    def absent(self) -> str:
        """Why it can't run here, or an empty string."""
        try:
            self.version()
        except importlib.metadata.PackageNotFoundError:
            return f"{self.package} is not installed: it is in the extra `bench`"
        return ""

    def command(self, role: str, dsn: str, *options: str) -> list[str]:
        """The command line of a process that plays ``produce`` or ``work``; roles.py has what they say and hear."""
        return [sys.executable, "-m", "benchmarks.runtime.roles", role, self.name, dsn, *options]

    def environment(self) -> dict[str, str]:
        paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}

    async def install(self, dsn: str) -> None:
        """Make the peer's tables in an empty database."""
        raise NotImplementedError(self.name)

    def produce(self, dsn: str) -> AbstractAsyncContextManager[Producer]:
        raise NotImplementedError(self.name)

    async def work(self, dsn: str, handle: Handle) -> None:
        """Run a worker with the peer's own fast settings, until cancelled or told by SIGTERM."""
        raise NotImplementedError(self.name)


def load(name: str) -> Peer:
    """The adapter of this name, with its peer's package imported only now. Raises ModuleNotFoundError."""
    peer = importlib.import_module(f"benchmarks.runtime.peers.{name}").PEER
    assert isinstance(peer, Peer)
    return peer
