"""An order's way to its worker's hands, for tests of what guards its charge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from limner.runtime import mailbox
from limner.runtime.database import Database
from limner.runtime.presence import Presence
from limner.runtime.vault import Vault
from limner.sql import generations, jobs, keys
from limner.sql.generations import Order
from limner.sql.jobs import Job
from limner.sql.models import Size
from tests.conftest import Cast


@pytest.fixture
async def begun(db: Database, cast: Cast, vault: Vault) -> Callable[[], Awaitable[Job]]:
    """A picture of Alice's that a worker has begun."""
    await keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test")
    presence = Presence(db, "worker", lease=30)
    await presence.beat()

    async def begin() -> Job:
        await generations.order(db, Order(cast.alice.id, "a red boat", "simulator", Size(512, 512)), deadline=60)
        (item,) = await mailbox.claim_fairly(db, "painting", presence.id, 1)
        job = await jobs.start(db, item.payload["job_id"], item.fence)
        assert job is not None
        return job

    return begin
