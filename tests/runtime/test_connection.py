"""Connections share what they learned about Postgres's own types."""

from __future__ import annotations

import asyncpg

from limner.runtime.connection import Connection


async def test_a_type_is_looked_up_once_for_all_connections(dsn):
    times = []
    for _ in range(2):
        asked: list[str] = []
        connection = await asyncpg.connect(dsn, connection_class=Connection)
        connection.add_query_logger(lambda record, asked=asked: asked.append(record.query))
        spans = [asyncpg.Range(1, 5), asyncpg.Range(7, 9)]
        assert await connection.fetchval("select $1::int8range[]", spans) == spans
        await connection.close()
        times.append(len(asked))
    assert times[0] > times[1] == 1


async def test_types_of_ones_own_are_looked_up_in_each_database(dsn):
    for words in (("rye", "oats"), ("figs", "dates")):
        connection = await asyncpg.connect(dsn, connection_class=Connection)
        await connection.execute(f"drop type if exists crop; create type crop as enum {words!r}")
        assert await connection.fetchval("select $1::crop[]", list(words)) == list(words)
        await connection.close()
