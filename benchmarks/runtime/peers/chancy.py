"""chancy with its asyncio executor and eager polling, as its documents advise for many short jobs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from chancy import Chancy, Job, Queue, Worker

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Handle, Peer

QUEUE = Queue("bench", concurrency=CONCURRENCY, executor=Chancy.Executor.Async, eager_polling=True)
_handles: list[Handle] = []


async def work(*, number: int) -> None:
    """Chancy finds the function of a job by its name, so that it can't be a closure."""
    await _handles[0](number)


JOB = Job.from_func(work, queue="bench")


class ChancyPeer(Peer):
    name = "chancy"
    package = "chancy"
    unfinished = "select count(*) from chancy_jobs where state not in ('succeeded', 'failed')"

    async def install(self, dsn: str) -> None:
        async with _chancy(dsn) as chancy:
            await chancy.migrate()
            await chancy.declare(QUEUE)

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Filler]:
        async with _chancy(dsn) as chancy:
            yield Filler(chancy)

    async def work(self, dsn: str, handle: Handle) -> None:
        _handles.append(handle)
        async with _chancy(dsn) as chancy, Worker(chancy) as worker:
            await worker.wait_for_shutdown()


class Filler:
    def __init__(self, chancy: Chancy) -> None:
        self.chancy = chancy

    async def one(self, number: int) -> None:
        await self.chancy.push(JOB.with_kwargs(number=number))

    async def many(self, numbers: range) -> None:
        async for _ in self.chancy.push_many([JOB.with_kwargs(number=number) for number in numbers]):
            pass


def _chancy(dsn: str) -> Chancy:
    # Its own logger writes a line for each event: a null one costs nothing.
    return Chancy(dsn, max_connection_pool_size=CALLERS, log=logging.getLogger("chancy"))


PEER = ChancyPeer()
