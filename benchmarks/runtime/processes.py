"""The producer and the worker of a peer, as processes to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import IO, Any

from benchmarks.runtime.peer import Peer
from limner.runtime.embedded import die_with_parent

START = 40.0
"""Seconds that a process may take to answer for the first time."""
STOP = 3.0


class Failed(Exception):
    """A process of a peer did not do what was asked; the message ends with what it wrote to standard error."""


class Role:
    """A running process. ``line`` waits for what it says next."""

    def __init__(self, process: Process, errors: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.pid = process.pid
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._errors = errors

    async def line(self, patience: float = START) -> str:
        """Raises TimeoutError, or Failed when the process has ended."""
        async with asyncio.timeout(patience):
            line = await self._stdout.readline()
        if not line:
            raise Failed(f"the process ended: {self.errors()}")
        return line.decode().strip()

    def say(self, *words: object) -> None:
        self._stdin.write((" ".join(map(str, words)) + "\n").encode())

    async def ask(self, *words: object, patience: float = START) -> Any:
        """A producer's answer to a command. Raises Failed, with the last words of a process that says none in time."""
        self.say(*words)
        return await self.answer(patience)

    async def answer(self, patience: float = START) -> Any:
        """A producer's answer to an earlier command."""
        try:
            return json.loads(await self.line(patience))
        except TimeoutError:
            raise Failed(f"no answer in {patience:.0f} s: {self.errors()}") from None

    async def started(self, number: int, patience: float = START) -> int:
        """The moment at which a worker started this job."""
        while True:
            said, moment = (await self.line(patience)).split()
            if said == str(number):
                return int(moment)

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-1500:].strip()

    async def stop(self) -> None:
        """Kindly, then by force: what is measured is measured by now."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def producing(peer: Peer, dsn: str) -> AsyncIterator[Role]:
    """A producer that is ready for commands."""
    async with _running(peer, "produce", dsn) as role:
        await role.line()
        yield role


@contextlib.asynccontextmanager
async def working(peer: Peer, dsn: str, *options: str) -> AsyncIterator[Role]:
    """A worker that has been started, and may not be ready yet."""
    async with _running(peer, "work", dsn, *options) as role:
        yield role


@contextlib.asynccontextmanager
async def _running(peer: Peer, role: str, dsn: str, *options: str) -> AsyncIterator[Role]:
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *peer.command(role, dsn, *options),
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            env=os.environ | peer.environment(),
            preexec_fn=die_with_parent(signal.SIGKILL),
            limit=2**24,  # the longest answer lists the moments of a whole phase
        )
        started = Role(process, errors)
        try:
            yield started
        finally:
            await started.stop()
