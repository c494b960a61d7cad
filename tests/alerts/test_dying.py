"""A watchman that dies at any moment: nothing is told twice, nothing is lost; and the same of many at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from limner.actors import watchman
from limner.sql import rests


class Killed(BaseException):
    """What a kill -9 is to the code: nothing after it runs, and the server rolls back."""


class Mortal:
    """A database whose user dies with the ``moments``-th statement; "commit" is one as well."""

    def __init__(self, db: Any, moments: Iterator[int]) -> None:
        self.db, self.moments = db, moments

    def tell(self, *told: Any) -> None:
        self.db.tell(*told)

    def breathe(self) -> None:
        if next(self.moments, None) is None:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self.db, name)

        async def ask(*arguments: Any) -> Any:
            self.breathe()
            return await asked(*arguments)

        return ask if name in ("fetch", "fetchrow", "fetchval", "execute") else asked

    @contextlib.asynccontextmanager
    async def transaction(self, **limit: float) -> AsyncIterator[Any]:
        async with self.db.transaction(**limit) as tx:
            yield Mortal(tx, self.moments)
            self.breathe()


@pytest.mark.timeout(600)
async def test_whatever_moment_it_dies_at_each_trouble_is_told_once(watched):
    await watched.rule("model_cooled", is_on=False)
    key = await watched.db.fetchval("select min(id) from provider_key")
    await rests.die(watched.db, key, "401")
    deaths = 0
    for moment in range(1, 400):
        try:
            await watchman.look(Mortal(watched.db, iter(range(1, moment))), watched.config)
        except Killed:
            deaths += 1
            assert await watched.texts() == [] and await watched.db.fetchval("select count(*) from alert") == 0
        else:
            break
    assert deaths > 30, "it died often enough"
    for _ in range(3):
        await watched.look()
    assert len(await watched.texts()) == 1


async def test_many_watchmen_at_once_tell_each_trouble_and_each_end_once(watched):
    await watched.pair(8)
    await watched.rule("model_cooled", is_on=False)

    async def many() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(watchman.look, watched.db, watched.config)
        await watched.look()

    await rests.die(watched.db, await watched.db.fetchval("select min(id) from provider_key"), "401")
    await many()
    await watched.db.execute("update provider_key set state = 'active'")
    await many()
    told = await watched.db.fetch("select recipient, count(*) as n from notice group by recipient order by recipient")
    assert [(row["recipient"], row["n"]) for row in told] == [("7", 2), ("8", 2)]
