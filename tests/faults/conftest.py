"""A crew and an office on the test's own database, a Postgres to be stopped, obedient painters, and orders for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from limner.runtime.database import Database
from limner.runtime.vault import Vault
from limner.sql import generations, keys
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.conftest import Cast
from tests.faults.cluster import Cluster, cluster_of_its_own
from tests.faults.crew import Crew, crew_at
from tests.faults.office import Office

SMALL = Size(512, 512)
JOB = "select id from job where generation_id = $1"


@pytest.fixture
def crew(dsn: str, tmp_path: Path) -> Iterator[Crew]:
    with crew_at(dsn, tmp_path) as started:
        yield started


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "office"
    folder.mkdir()
    opened = Office(dsn, folder)
    yield opened
    opened.dismiss()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_of_its_own() as made:
        yield made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the crew keeps its pictures."""
    return tmp_path / "pictures"


@pytest.fixture
async def painter(db: Database, vault: Vault) -> Callable[..., Awaitable[int]]:
    """Adds a simulator key that does what ``switch`` says; gives its id."""

    async def add(switch: str = "ok", *, concurrency: int = 4, group: str = "") -> int:
        number = await db.fetchval("select count(*) from provider_key")
        return await keys.add(
            db, vault, "simulator", f"brush {number}", f"simulated-{number}", actor="test",
            switch=switch, concurrency=concurrency, account_group=group,
        )  # fmt: skip

    return add


@pytest.fixture
def order(db: Database, cast: Cast) -> Callable[..., Awaitable[UUID]]:
    """Alice, or somebody else with a plan, orders from the simulator; gives the job's id."""

    async def place(prompt: str = "a fox in the snow", *, who: UUID | None = None, deadline: int = 120) -> UUID:
        asked = Order(who or cast.alice.id, prompt, "simulator", SMALL)
        return await db.fetchval(JOB, await generations.order(db, asked, deadline=deadline))  # type: ignore[no-any-return]

    return place
