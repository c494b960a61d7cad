"""awa, whose core is Rust: defaults but for the workers, as its own documents leave them; bulk by its COPY."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from awa import AsyncClient

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Handle, Peer


@dataclass
class Work:
    number: int


class Awa(Peer):
    name = "awa"
    package = "awa-pg"
    unfinished = """
    select (select count(*) from awa.ready_entries)
        - coalesce((select sum(completed_count) from awa.receipt_completion_batches), 0)
    """
    # From its receipts: its own view of jobs takes seconds over some thousand rows, and its queue_stats() likewise.

    async def install(self, dsn: str) -> None:
        client = AsyncClient(dsn)
        await client.migrate()
        _register(client, _nothing)
        await client.start([("bench", 1)])  # the first start of a worker turns its queue storage on, which COPY needs
        await client.shutdown()
        await client.close()

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Filler]:
        client = AsyncClient(dsn, max_connections=CALLERS)
        yield Filler(client)
        await client.close()

    async def work(self, dsn: str, handle: Handle) -> None:
        client = AsyncClient(dsn, max_connections=CALLERS)
        _register(client, handle)
        await client.start([("bench", CONCURRENCY)])
        await asyncio.Event().wait()


class Filler:
    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def one(self, number: int) -> None:
        await self.client.insert(Work(number), queue="bench")

    async def many(self, numbers: range) -> None:
        await self.client.enqueue_many_copy([Work(number) for number in numbers], queue="bench")


def _register(client: AsyncClient, handle: Handle) -> None:
    async def work(job: Any) -> None:
        await handle(job.args.number)

    client.task(Work, queue="bench")(work)


async def _nothing(number: int) -> None:
    pass


PEER = Awa()
