"""No queue at all: an ordinary table and ordinary writers, for what enqueueing costs those beside it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from benchmarks.runtime.peer import CALLERS, Peer

SCHEMA = "create table plain (id bigint generated always as identity primary key, payload jsonb not null)"
ONE = "insert into plain (payload) values (jsonb_build_object('number', $1::bigint))"
MANY = "insert into plain (payload) select jsonb_build_object('number', number) from unnest($1::bigint[]) as number"


class Plain(Peer):
    name = "plain"
    package = "asyncpg"
    unfinished = "select 0"

    async def install(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(SCHEMA)
        await connection.close()

    @contextlib.asynccontextmanager
    async def produce(self, dsn: str) -> AsyncIterator[Writer]:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=CALLERS) as pool:
            yield Writer(pool)


class Writer:
    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def one(self, number: int) -> None:
        await self.pool.execute(ONE, number)

    async def many(self, numbers: range) -> None:
        await self.pool.execute(MANY, list(numbers))


PEER = Plain()
