"""The stage of the pool's stories: that of the flows, with a locksmith and more ways to look at keys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import anyio
import pytest

from limner.actors.locksmith import Locksmith
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.sql import attempts, generations
from limner.sql.attempts import Lease, Wait
from limner.sql.keys import LookAfterKeys
from tests.faults.books import audit
from tests.faults.crew import SETTLED, until
from tests.flows.test_painting import Stage

ENOUGH = """
update plan set concurrency = 100, longest_wait_seconds = 86400;
insert into ledger_entry (account_id, kind, credits, why) select id, 'grant', 100000, 'for the test' from account
where email_key = 'alice@example.com'
"""


class PoolStage(Stage):
    """A studio whose keys somebody looks after."""

    @property
    async def provider(self) -> int:
        return int(await self.db.fetchval("select id from provider where code = 'simulator'"))

    async def jobs(self, count: int) -> list[UUID]:
        """That many jobs, ordered and not begun."""
        there = int(await self.db.fetchval("select count(*) from job"))
        for _ in range(there, count, 8):
            await self.order(count=min(8, count - there))
        rows = await self.db.fetch("select id from job order by created_at, position limit $1", count)
        return [row["id"] for row in rows]

    async def lease(
        self, job: UUID, *, tried: Sequence[int] = (), first: int | None = None, seconds: float = 60
    ) -> Lease | Wait:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        provider = await self.provider
        return await attempts.lease(self.db, provider, "simulator", job, tried=tried, until=until, first=first)

    async def leased(self, job: UUID) -> Lease:
        lease = await self.lease(job)
        assert isinstance(lease, Lease), lease
        return lease

    async def verdicts(self) -> dict[int, str]:
        """Why each key was passed over the last time that none was free."""
        passed = await self.db.fetchval("select considered -> 'passed' from decision order by decided_at desc limit 1")
        return {key: verdict for key, verdict, _ in passed}

    async def until(self, sql: str, *arguments: object, within: float = 30) -> None:
        await until(self.db.dsn, sql, *arguments, within=within)

    def locksmith(self, **settings: object) -> Locksmith:
        config = self.config.model_copy(update={"key_probe_seconds": 1.0} | settings)
        presence = Presence(self.db, "worker", lease=config.lease)
        return Locksmith(self.db, Bus(self.db), presence, config=config, vault=self.vault)

    @contextlib.asynccontextmanager
    async def looked_after(self, count: int = 1, every: float = 0.3, **settings: object) -> AsyncIterator[None]:
        """That many locksmiths, each at work every so often."""
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(self._look_after, self.locksmith(**settings), every)
            yield
            group.cancel_scope.cancel()

    @contextlib.asynccontextmanager
    async def traffic(self, every: float = 0.05) -> AsyncIterator[None]:
        """Somebody orders a picture every so often; what is left at the end is canceled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._order_on, every)
            yield
            group.cancel_scope.cancel()
        for row in await self.db.fetch("select id from generation where state in ('queued', 'running')"):
            await generations.cancel(self.db, row["id"], self.alice)
        await self.until(SETTLED)

    async def _order_on(self, every: float) -> None:
        while True:
            await self.order()
            await anyio.sleep(every)

    async def _look_after(self, locksmith: Locksmith, every: float) -> None:
        while True:
            await locksmith.receive(LookAfterKeys())
            await anyio.sleep(every)


@pytest.fixture
async def stage(db, config, vault, cast):
    for statement in ENOUGH.strip().split(";"):
        await db.execute(statement)
    return PoolStage(db, config, vault, cast.alice.id)


@pytest.fixture
async def audited(stage, db, config):
    """The same stage; the books are looked over when the story is told."""
    yield stage
    await audit(db, config.pictures_folder)
