"""Processes that a run starts and ends, what they cost, and what memory they hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.click_to_picture import memory_of
from benchmarks.runtime.cost import family
from limner.runtime.embedded import die_with_parent

ROOT = Path(__file__).parents[2]
READY_WITHIN = 300.0


class Failed(Exception):
    """A process did not do what was asked; the message ends with what it wrote last."""


@dataclass(frozen=True)
class Started:
    """A process with all below it. ``name`` is what the tables call it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return family(self.process.pid)

    def memory(self) -> tuple[float, float]:
        """MiB of RSS and of PSS, which shares out the pages that processes have in common."""
        found = memory_of(self.process.pid)
        return sum(each.rss for each in found), sum(each.pss for each in found)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]


@contextlib.contextmanager
def started(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    stop: int = signal.SIGTERM,
) -> Iterator[Started]:
    """A process until the block ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, preexec_fn=die_with_parent(signal.SIGKILL)
        )
    try:
        yield Started(name, process, log)
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


async def answers(process: Started, url: str) -> None:
    """Until somebody answers there with less than 500. Raises Failed."""
    give_up = time.monotonic() + READY_WITHIN
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() < give_up and process.process.poll() is None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as answer:
                    if answer.status < 500:
                        return
            await asyncio.sleep(0.2)
    raise Failed(f"{process.name} does not answer at {url}: {process.last_words()}")


@contextlib.asynccontextmanager
async def answering(
    name: str, command: Sequence[str | Path], log: Path, url: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Started]:
    with started(name, command, log, environment) as process:
        await answers(process, url)
        yield process


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """Ours without what would steer the measured programs."""
    ours = ("LIMNER_", "LITELLM_", "OPENAI_", "DATABASE_URL", "PG", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
