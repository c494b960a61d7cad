"""The two processes of a Python peer: `produce` obeys commands and answers in JSON, `work` tells what it starts."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.runtime.peer import Handle, Peer, Producer, load
from benchmarks.runtime.server import TROUBLE

# Every moment is of CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share. `produce` reads one command
# a line: `many COUNT`, `one NUMBER`, `storm SECONDS CALLERS`, `pace RATE SECONDS CALLERS`, `steady RATE SECONDS FIRST`.
# `work` writes `NUMBER MOMENT` for each start, or with `--every COUNT` just `first MOMENT` and `all MOMENT` for each so
# many; jobs below zero warm up and are always told.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("produce", "work"))
    parser.add_argument("peer")
    parser.add_argument("dsn")
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--hold", action="store_true", help="handlers never end")
    chosen = parser.parse_args()
    say = _speaker()
    peer = load(chosen.peer)
    if chosen.role == "produce":
        uvloop.run(_produce(peer, chosen.dsn, say))
    else:
        uvloop.run(peer.work(chosen.dsn, _handler(say, chosen.every, chosen.hold)))


def _speaker() -> Callable[[str], None]:
    """Answers alone go to standard output; what libraries print there goes to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return lambda line: _write(answers, line)


def _write(descriptor: int, line: str) -> None:
    os.write(descriptor, line.encode() + b"\n")


def _handler(say: Callable[[str], None], every: int, hold: bool) -> Handle:
    started = 0

    async def tell(number: int) -> None:
        say(f"{number} {time.monotonic_ns()}")
        if hold:
            await asyncio.Event().wait()

    async def count(number: int) -> None:
        nonlocal started
        if number < 0:
            return await tell(number)
        started += 1
        if started == 1:
            say(f"first {time.monotonic_ns()}")
        if started == every:
            say(f"all {time.monotonic_ns()}")
            started = 0

    return count if every else tell


async def _produce(peer: Peer, dsn: str, say: Callable[[str], None]) -> None:
    async with peer.produce(dsn) as producer:
        say(json.dumps({"ready": True}))
        async for words in _commands():
            say(json.dumps(await _obey(producer, words)))


async def _commands() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


async def _obey(producer: Producer, words: list[str]) -> dict[str, Any]:
    match words:
        case ["many", count]:
            return await _timed(producer.many(range(int(count))))
        case ["one", number]:
            return await _timed(producer.one(int(number)))
        case ["storm", seconds, callers]:
            return await _storm(producer, float(seconds), int(callers))
        case ["pace", rate, seconds, callers]:
            return await _storm(producer, float(seconds), int(callers), pause=float(callers) / float(rate))
        case ["steady", rate, seconds, first]:
            return await _steady(producer, float(rate), float(seconds), int(first))
    raise ValueError(f"no such command: {words}")


async def _timed(work: Awaitable[None]) -> dict[str, Any]:
    began = time.monotonic_ns()
    await work
    return {"began": began, "seconds": (time.monotonic_ns() - began) / 1e9}


async def _storm(producer: Producer, seconds: float, callers: int, pause: float = 0.0) -> dict[str, Any]:
    """Each caller enqueues one job after another, or one each ``pause`` seconds, and waits for the commit of each."""
    began = ended = time.monotonic()
    counts = [0] * callers

    async def call(caller: int) -> None:
        nonlocal ended
        if pause:
            await asyncio.sleep(pause * caller / callers)
        while time.monotonic() - began < seconds:
            await producer.one(caller)
            counts[caller] += 1
            ended = time.monotonic()
            if pause:
                await asyncio.sleep(max(0.0, began + pause * (counts[caller] + caller / callers) - time.monotonic()))

    await asyncio.gather(*map(call, range(callers)))
    return {"count": sum(counts), "seconds": ended - began}


async def _steady(producer: Producer, rate: float, seconds: float, first: int) -> dict[str, Any]:
    """Open loop: a slow commit holds up no later job. Tells when each was asked for, and retries until it is committed."""
    began = time.monotonic()
    asked: list[int] = []
    async with asyncio.TaskGroup() as group:
        for turn in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + turn / rate - time.monotonic()))
            asked.append(time.monotonic_ns())
            group.create_task(_insist(producer, first + turn))
    return {"first": first, "asked": asked}


async def _insist(producer: Producer, number: int) -> None:
    while True:
        try:
            return await producer.one(number)
        except TROUBLE:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
