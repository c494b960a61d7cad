"""Two at once, on two real connections: the second begins while the first one's transaction is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from limner.runtime.database import Database, Transaction

WAITS = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"


async def beside(db: Database, first: Callable[[Transaction], Awaitable[object]], second: Awaitable[object]) -> None:
    """The first one commits as soon as the second one waits for it, or is over without."""
    is_over = anyio.Event()

    async def go() -> None:
        try:
            await second
        finally:
            is_over.set()

    async with anyio.create_task_group() as group:
        async with db.transaction() as tx:
            await first(tx)
            group.start_soon(go)
            with anyio.fail_after(10):
                while not is_over.is_set() and not await db.fetchval(WAITS):
                    await anyio.sleep(0.01)
