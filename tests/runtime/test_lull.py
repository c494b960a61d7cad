"""Lull: what can wait does so while somebody is served, and is done in the end."""

from __future__ import annotations

import anyio

from limner.runtime.lull import Lull


async def test_it_comes_at_once_when_nothing_stirs():
    with anyio.fail_after(10):
        await Lull().come(still=30, most=60)


async def test_it_waits_until_the_last_one_is_served():
    lull, served = Lull(), 0
    lull.stir()

    async def serve() -> None:
        nonlocal served
        for _ in range(5):
            await anyio.sleep(0.02)
            served += 1
            lull.stir()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await lull.come(still=1, most=60)
        assert served == 5


async def test_it_comes_in_the_end_however_much_stirs():
    lull = Lull()

    async def bustle() -> None:
        while True:
            lull.stir()
            await anyio.sleep(0.01)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(bustle)
            await lull.come(still=30, most=0.1)
            group.cancel_scope.cancel()
