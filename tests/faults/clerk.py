"""Programs for tests to kill: workers, producers and a bell, each with a log of its own outside of Postgres."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import orjson

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import TROUBLE, Database
from limner.runtime.mailbox import Message
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.schedule import Every, Schedule
from limner.runtime.supervisor import Child, Supervisor, supervise
from tests.faults.trap import Trap

LEASE = 2.5
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


@dataclass(frozen=True)
class Enter(Message):
    """Enter a line in the book."""

    mailbox = "book"
    number: int
    takes: float


@dataclass(frozen=True)
class Ring(Message):
    """Ring the bell."""

    mailbox = "bell"


ENTRIES = """
create table entry (number integer not null, owner uuid not null, at timestamptz not null default clock_timestamp());
"""
"""The effect of each Enter and each Ring, written in the transaction of its acknowledgement."""


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

    async def receive(self, message: Stamp | Ask | Enter) -> None:
        fence = message.fence
        about = {"number": message.number, "owner": str(fence.owner), "attempt": fence.attempt}
        self._log.write(event="start", **about)
        try:
            await anyio.sleep(message.takes)
            await self.finish(message)
        except BaseException as why:
            self._log.write(event="stopped", why=repr(why), **about)
            raise
        self._log.write(event="end", **about)

    async def finish(self, message: Any) -> None:
        """What comes of it, if anything does."""


class Desk(Clerk):
    mailbox = "desk"
    messages = (Stamp,)


class Window(Clerk):
    mailbox = "window"
    messages = (Ask,)


class Book(Clerk):
    mailbox = "book"
    messages = (Enter,)

    async def finish(self, message: Enter) -> None:
        async with self.db.transaction() as tx:
            await tx.execute("insert into entry values ($1, $2)", message.number, message.fence.owner)
            await mailbox.ack(tx, message.fence)


class Bell(Actor):
    mailbox = "bell"
    messages = (Ring,)

    def __init__(self, db: Database, bus: Bus, presence: Presence, log: Log) -> None:
        super().__init__(db, bus, presence)

    async def receive(self, message: Ring) -> None:
        async with self.db.transaction() as tx:
            await tx.execute("insert into entry values (0, $1)", message.fence.owner)
            await mailbox.ack(tx, message.fence)


ROLES: dict[str, tuple[Callable[[Database, Bus, Presence, Log], Actor], ...]] = {
    "work": (Desk, Window),
    "keep": (Book,),
    "hear": (Bell,),
}


async def serve(role: str, dsn: str, log: Log, is_pooled: bool) -> None:
    """A worker, until it is told to stop."""
    async with open_database(dsn, role="clerk", pool=4, pooled=is_pooled) as db:
        presence, bus = Presence(db, "clerk", lease=LEASE), Bus(db)
        await presence.beat()
        actors = [kind(db, bus, presence, log) for kind in ROLES[role]]
        children = [Child("presence", presence.run), Child("bus", bus.run)]
        children += [Child(each.mailbox, each.run, drain=each.drain, patience=DRAIN) for each in actors]

        async def arrive() -> None:
            log.write(event="up", owner=str(presence.id))  # from here on a signal finds somebody to drain
            await anyio.sleep_forever()

        try:
            await supervise(Supervisor([*children, Child("arrival", arrive)]))
        finally:
            await presence.leave()


async def ring(dsn: str, log: Log, seconds: float, trap: Trap) -> None:
    """Lead the schedule if nobody else does; at the trap this process freezes."""
    trap.signal = "SIGSTOP"
    trap.heard = lambda name: log.write(event=name)
    async with open_database(dsn, role="clerk", pool=2) as db:
        trap.set(db)
        presence = Presence(db, "ringer", lease=LEASE)
        await presence.beat()
        log.write(event="up", owner=str(presence.id))
        await Schedule(db, presence, [Every("bell", seconds, Ring())]).run()


async def order(dsn: str, log: Log, count: int, rate: float, takes: float) -> None:
    """Send lines for the book, ``rate`` a second as far as Postgres lets us, until ``count`` were acknowledged."""
    acknowledged, number = 0, 0

    async def one(number: int) -> None:
        nonlocal acknowledged
        try:
            await mailbox.send(db, Enter(number, random.uniform(0, takes * 2)), max_attempts=50)
        except TROUBLE:
            log.write(event="unsure", number=number)
        else:
            log.write(event="sent", number=number)
            acknowledged += 1

    async with open_database(dsn, role="clerk", pool=4) as db, anyio.create_task_group() as group:
        log.write(event="up")
        while acknowledged < count:
            if number - acknowledged < 1000:
                group.start_soon(one, number := number + 1)
            await anyio.sleep(1 / rate)


async def produce(dsn: str, log: Log, first: int, count: int, takes: float, is_pooled: bool) -> None:
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

    async with open_database(dsn, role="clerk", pool=4, pooled=is_pooled) as db, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(line, db)


def main(role: str, dsn: str, path: str, *rest: str) -> int:
    log, is_pooled = Log(Path(path)), "pooled" in rest
    match role, *rest:
        case "produce", first, count, takes, *_:
            anyio.run(produce, dsn, log, int(first), int(count), float(takes), is_pooled)
        case "order", count, rate, takes:
            anyio.run(order, dsn, log, int(count), float(rate), float(takes))
        case "ring", seconds, trap:
            anyio.run(ring, dsn, log, float(seconds), Trap.parse(trap))
        case _:
            anyio.run(serve, role, dsn, log, is_pooled)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
