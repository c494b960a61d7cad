"""oban for Python, its open-source half; a queue's limit is its one switch for speed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from oban import Oban, worker
from oban.job import Job
from oban.schema import install

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Handle, Peer


class Work:
    handle: ClassVar[Handle]

    async def process(self, job: Job) -> None:
        await Work.handle(job.args["number"])


WORKER: Any = worker(queue="bench")(Work)


class ObanPeer(Peer):
    name = "oban"
    package = "oban"
    unfinished = "select count(*) from oban_jobs where state not in ('completed', 'discarded', 'cancelled')"

    async def install(self, dsn: str) -> None:
        async with await Oban.create_pool(dsn, min_size=1, max_size=2) as pool:
            await install(pool)

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Filler]:
        async with await Oban.create_pool(dsn, min_size=1, max_size=CALLERS) as pool:
            yield Filler(Oban(pool=pool))

    async def work(self, dsn: str, handle: Handle) -> None:
        Work.handle = staticmethod(handle)
        async with await Oban.create_pool(dsn, min_size=1, max_size=CALLERS) as pool:
            async with Oban(pool=pool, queues={"bench": CONCURRENCY}):
                await asyncio.Event().wait()


class Filler:
    def __init__(self, oban: Oban) -> None:
        self.oban = oban

    async def one(self, number: int) -> None:
        await self.oban.enqueue(WORKER.new({"number": number}))

    async def many(self, numbers: range) -> None:
        await self.oban.enqueue_many(*(WORKER.new({"number": number}) for number in numbers))


PEER = ObanPeer()
