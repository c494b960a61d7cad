"""pgqueuer over an asyncpg pool, with the large batches and the autovacuum settings of its page on performance."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Handle, Peer

BATCH = 500
"""Its page says: more for short jobs. 100 drains a fifth less, 1000 no more, and latency is the same with all of them."""


class Pgqueuer(Peer):
    name = "pgqueuer"
    package = "pgqueuer"
    unfinished = "select count(*) from pgqueuer where status in ('queued', 'picked')"

    async def install(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()  # what `pgq autovac` does
        await connection.close()

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Filler]:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=CALLERS) as pool:
            yield Filler(Queries(AsyncpgPoolDriver(pool)))

    async def work(self, dsn: str, handle: Handle) -> None:
        async with asyncpg.create_pool(dsn, min_size=2, max_size=10) as pool:
            queue = PgQueuer(AsyncpgPoolDriver(pool))

            async def work(job: Job) -> None:
                await handle(int(job.payload or b""))

            queue.entrypoint("work")(work)
            await queue.run(batch_size=BATCH, max_concurrent_tasks=max(CONCURRENCY, 2 * BATCH))


class Filler:
    def __init__(self, queries: Queries) -> None:
        self.queries = queries

    async def one(self, number: int) -> None:
        await self.queries.enqueue("work", str(number).encode())

    async def many(self, numbers: range) -> None:
        payloads: list[bytes | None] = [str(number).encode() for number in numbers]
        await self.queries.enqueue(["work"] * len(payloads), payloads, [0] * len(payloads))


PEER = Pgqueuer()
