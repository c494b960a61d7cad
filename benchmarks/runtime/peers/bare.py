"""The limit: the least SQL on plain asyncpg that is still a durable at-least-once queue."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Handle, Peer
from benchmarks.runtime.server import TROUBLE, connected

SCHEMA = """
create table job (
    id bigint generated always as identity primary key,
    leased_until timestamptz,
    payload jsonb not null
);
create index job_ready on job (id) where leased_until is null;
"""
ONE = "with job as (insert into job (payload) values ($1)) select pg_notify('job', '')"
MANY = "insert into job (payload) select * from unnest($1::jsonb[])"
WAKE = "notify job"
LEASE = 15
CLAIM = f"""
update job set leased_until = now() + interval '{LEASE} s'
where id = any(array(select id from job where leased_until is null order by id limit $1 for update skip locked))
returning id, payload
"""
DONE = "delete from job where id = any($1::bigint[])"
RESCUE = "update job set leased_until = null where leased_until < now()"
BATCH = 200


class Bare(Peer):
    name = "bare"
    package = "asyncpg"
    unfinished = "select count(*) from job"

    def version(self) -> str:
        return f"asyncpg {super().version()}"

    async def install(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(SCHEMA)
        await connection.close()

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Filler]:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=CALLERS) as pool:
            yield Filler(pool)

    async def work(self, dsn: str, handle: Handle) -> None:
        while True:
            try:
                await _work(dsn, handle)
            except TROUBLE:
                await asyncio.sleep(0.1)


def _payload(number: int) -> str:
    return orjson.dumps({"number": number}).decode()


class Filler:
    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def one(self, number: int) -> None:
        await self.pool.execute(ONE, _payload(number))

    async def many(self, numbers: range) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(MANY, [_payload(number) for number in numbers])
        await self.pool.execute(WAKE)


async def _work(dsn: str, handle: Handle) -> None:
    """Claim a batch with the deletion of the one before in the same statement; wait when both are empty."""
    woken = asyncio.Event()
    async with connected(dsn) as connection, connected(dsn) as listener:
        listener.add_termination_listener(lambda _: woken.set())
        await listener.add_listener("job", lambda *_: woken.set())
        rescued_at = 0.0
        while not listener.is_closed():
            if time.monotonic() - rescued_at > LEASE / 3:
                await connection.execute(RESCUE)
                rescued_at = time.monotonic()
            woken.clear()
            rows = await connection.fetch(CLAIM, BATCH)
            for start in range(0, len(rows), CONCURRENCY):
                batch = rows[start : start + CONCURRENCY]
                await asyncio.gather(*(handle(orjson.loads(row["payload"])["number"]) for row in batch))
            await connection.execute(DONE, [row["id"] for row in rows])
            if not rows:
                await _wait(woken)


async def _wait(woken: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(woken.wait(), 1.0)


PEER = Bare()
