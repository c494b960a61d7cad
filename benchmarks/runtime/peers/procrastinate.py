"""procrastinate over its psycopg connector; a hundred jobs at once (deleting what is done makes it no faster)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Handle, Peer


class Procrastinate(Peer):
    name = "procrastinate"
    package = "procrastinate"
    unfinished = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"

    async def install(self, dsn: str) -> None:
        async with _app(dsn).open_async() as app:
            await app.schema_manager.apply_schema_async()

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Filler]:
        async with _app(dsn).open_async() as app:
            yield Filler(app.configure_task("work", queue="bench"))

    async def work(self, dsn: str, handle: Handle) -> None:
        app = _app(dsn)

        async def work(number: int) -> None:
            await handle(number)

        app.task(name="work", queue="bench")(work)
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=CONCURRENCY)


class Filler:
    def __init__(self, task: Any) -> None:
        self.task = task

    async def one(self, number: int) -> None:
        await self.task.defer_async(number=number)

    async def many(self, numbers: range) -> None:
        await self.task.batch_defer_async(*({"number": number} for number in numbers))


def _app(dsn: str) -> App:
    return App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=CALLERS))


PEER = Procrastinate()
