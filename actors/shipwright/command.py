"""Programs that we run: as lists of words, with a deadline, and what they said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from limner.runtime.errors import Refused

TIMED_OUT = 124
LAST_LINES = 40


@dataclass(frozen=True)
class Done:
    """A program that has ended. ``code`` is TIMED_OUT when it had to be killed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The last lines of both, what went wrong last."""
        lines = [line for line in (self.out + "\n" + self.err).splitlines() if line.strip()]
        return "\n".join(lines[-LAST_LINES:])


async def run(
    argv: Sequence[str | Path], *, within: float, folder: Path, environment: Mapping[str, str] | None = None
) -> Done:
    """Run to the end. Whatever it started is killed with it, at the deadline or when we are cancelled. Raises Refused."""
    async with started(argv, folder=folder, environment=environment, talks=False) as process:
        out, err = b"", b""
        with anyio.move_on_after(within) as scope:
            out, err = await process.communicate()
        if scope.cancelled_caught:
            return Done(TIMED_OUT, "", f"{argv[0]} did not end within {within:g} s")
        return Done(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


@contextlib.asynccontextmanager
async def started(
    argv: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None, talks: bool
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that does not outlive the block."""
    process = await spawn(argv, folder=folder, environment=environment, talks=talks)
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            await end(process)


async def spawn(
    argv: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None, talks: bool
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C is for us: we put back what was there before.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Refused(f"there is no program {str(argv[0])!r} here") from None


async def end(process: asyncio.subprocess.Process) -> None:
    """End it and all that it started, if it still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


class Talk:
    """A program that stays: it says one line at a time, and is told one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def hear(self, within: float) -> str:
        """Its next line; "" when it has ended or said nothing in time."""
        assert self._process.stdout
        with anyio.move_on_after(within):
            return (await self._process.stdout.readline()).decode(errors="replace").strip()
        return ""

    async def tell(self, line: str) -> None:
        """Say something to it; lost when it is gone."""
        assert self._process.stdin
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def close(self, within: float = 10) -> str:
        """Close its standard input, and return what it said on standard error by its end."""
        assert self._process.stdin
        assert self._process.stderr
        self._process.stdin.close()
        said = b""
        with anyio.move_on_after(within):
            said = await self._process.stderr.read()
            await self._process.wait()
        await end(self._process)
        return said.decode(errors="replace").strip()
