"""A program for tests to kill: a worker that stamps forms, or a producer of forms, with a log of its own outside of Postgres."""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import anyio
import orjson

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import TROUBLE, Database, open_database
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.runtime.supervisor import Child, Supervisor, supervise

LEASE = 1.5
DRAIN = 0.5
"""Seconds that a worker has for what it has in hand when it is told to stop."""
LIMIT = 2
"""Of each guest's forms, so many may be in hand."""
GUESTS = ("ann", "ben", "cy")


@dataclass(frozen=True)
class Stamp(Message):
    """Stamp a form."""

    mailbox = "desk"
    number: int
    takes: float


@dataclass(frozen=True)
class Ask(Message):
    """Answer a guest."""

    mailbox = "window"
    fair = True
    number: int
    takes: float


class Log:
    """Lines that outlive this process: each is with the kernel when ``write`` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def write(self, **event: object) -> None:
        os.write(self._file, orjson.dumps({"at": time.time(), **event}) + b"\n")


class Clerk(Actor):
    concurrency = 4
    pause = 1.0

    def __init__(self, db: Database, bus: Bus, presence: Presence, log: Log) -> None:
        super().__init__(db, bus, presence)
        self._log = log

    async def receive(self, message: Stamp | Ask) -> None:
        fence = message.fence
        about = {"number": message.number, "owner": str(fence.owner), "attempt": fence.attempt}
        self._log.write(event="start", **about)
        try:
            await anyio.sleep(message.takes)
        except BaseException:
            self._log.write(event="stopped", **about)
            raise
        self._log.write(event="end", **about)


class Desk(Clerk):
    mailbox = "desk"
    messages = (Stamp,)


class Window(Clerk):
    mailbox = "window"
    messages = (Ask,)


async def work(dsn: str, log: Log) -> int:
    async with open_database(dsn, role="clerk", pool=4) as db:
        presence, bus = Presence(db, "clerk", lease=LEASE), Bus(db)
        await presence.beat()
        actors = [kind(db, bus, presence, log) for kind in (Desk, Window)]

        async def arrive() -> None:
            log.write(event="up")  # from here on a signal finds somebody to drain
            await anyio.sleep_forever()

        try:
            await supervise(
                Supervisor(
                    [
                        Child("presence", presence.run),
                        Child("bus", bus.run),
                        *(Child(each.mailbox, each.run, drain=each.drain, patience=DRAIN) for each in actors),
                        Child("arrival", arrive),
                    ]
                )
            )
        finally:
            await presence.leave()
    return 0


async def produce(dsn: str, log: Log, first: int, count: int, takes: float) -> int:
    """Send forms one after another in four lines; each that was acknowledged is in the log."""
    numbers = iter(range(first, first + count))

    async def line(db: Database) -> None:
        for number in numbers:
            seconds = random.uniform(0, takes * 2)
            try:
                if number % 2:
                    await mailbox.send(db, Stamp(number, seconds), max_attempts=50)
                else:
                    guest = GUESTS[number // 2 % len(GUESTS)]
                    await mailbox.send(
                        db, Ask(number, seconds), partition=guest, partition_limit=LIMIT, max_attempts=50
                    )
            except TROUBLE:
                log.write(event="unsure", number=number)
                continue
            log.write(event="sent", number=number)

    async with open_database(dsn, role="clerk", pool=4) as db, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(line, db)
    return 0


def main(role: str, dsn: str, path: str, *rest: str) -> int:
    log = Log(Path(path))
    if role == "work":
        return anyio.run(work, dsn, log)
    first, count, takes = rest
    return anyio.run(produce, dsn, log, int(first), int(count), float(takes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
