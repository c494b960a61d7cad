"""Ours: the actor runtime as a worker runs it, with supervisor, presence, bus and group commit."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.runtime.peer import CONCURRENCY, Handle, Peer
from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.mailbox import Message
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.supervisor import Child, Supervisor, supervise
from limner.sql import schema

LEASE = 15.0
"""Seconds: the default of LIMNER_LEASE."""


@dataclass(frozen=True)
class Work(Message):
    mailbox: ClassVar[str] = "bench"

    number: int


class Limner(Peer):
    name = "limner"
    package = "limner"
    unfinished = "select count(*) from message"

    def version(self) -> str:
        return "this tree"

    async def install(self, dsn: str) -> None:
        await schema.migrate(dsn)

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Sender]:
        async with open_database(dsn, role="bench", pool=10) as db:
            yield Sender(db)

    async def work(self, dsn: str, handle: Handle) -> None:
        async with open_database(dsn, role="bench", pool=10) as db:
            presence, bus = Presence(db, "bench", lease=LEASE), Bus(db)
            await presence.beat()
            bench = Bench(db, bus, presence, handle)
            supervisor = Supervisor(
                [
                    Child("presence", presence.run),
                    Child("bus", bus.run),
                    Child("Bench", bench.run, drain=bench.drain, patience=1.0),
                ]
            )
            presence.children = supervisor.report
            await supervise(supervisor)
            await presence.leave()


class Bench(Actor):
    mailbox = "bench"
    messages = (Work,)
    concurrency = CONCURRENCY

    def __init__(self, db: Database, bus: Bus, presence: Presence, handle: Handle) -> None:
        super().__init__(db, bus, presence)
        self.handle = handle

    async def receive(self, message: Work) -> None:
        await self.handle(message.number)


class Sender:
    def __init__(self, db: Database) -> None:
        self.db = db

    async def one(self, number: int) -> None:
        await mailbox.send(self.db, Work(number))

    async def many(self, numbers: range) -> None:
        await mailbox.send_many(self.db, [Work(number) for number in numbers])


PEER = Limner()
