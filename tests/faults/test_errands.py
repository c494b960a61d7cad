"""A worker that goes away while an upstream paints: the next one waits for the same job, which was ordered and is paid once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from limner.actors.janitor import EndLostJobs, Janitor
from limner.actors.pool import Pool
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.sql import generations, keys
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.faults.books import audit
from tests.faults.crew import SETTLED, Crew, death_of, frozen, happens, until
from tests.upstreams.base import Script, painted
from tests.upstreams.fal import FakeFal
from tests.upstreams.replicate import FakeReplicate

pytestmark = pytest.mark.timeout(120)

MODELS = {"fal": "fal-ai/flux/dev", "replicate": "black-forest-labs/flux-dev"}
IS_KNOWN = "select exists (select from attempt where is_resumable and finished_at is null)"


@dataclass
class Market:
    """A stand-in whose jobs go on until they may end, and the model that it paints for us."""

    fake: Any
    db: Any
    alice: UUID

    @property
    def jobs(self) -> dict[str, Any]:
        return self.fake.jobs if isinstance(self.fake, FakeFal) else self.fake.predictions  # type: ignore[no-any-return]

    async def order(self, deadline: int = 120) -> UUID:
        asked = Order(self.alice, "a fox", "market", Size(1024, 1024))
        return await generations.order(self.db, asked, deadline=deadline)

    async def charged(self) -> int:
        return await self.db.fetchval("select count(*) from ledger_entry where kind = 'settle'")  # type: ignore[no-any-return]

    async def attempts(self) -> list[str | None]:
        return [row["fault"] for row in await self.db.fetch("select fault from attempt order by id")]


BOTH = pytest.mark.parametrize("market", ["fal", "replicate"], indirect=True)


@pytest.fixture
async def market(request: pytest.FixtureRequest, db: Any, vault: Any, cast: Any) -> AsyncIterator[Market]:
    kind = getattr(request, "param", "fal")
    async with contextlib.AsyncExitStack() as stack:
        fake = await stack.enter_async_context((FakeFal() if kind == "fal" else FakeReplicate()).serve())
        fake.holds = True
        await db.execute(
            "insert into provider (code, kind, base_url, is_local) values ('market', $1, $2, true)", kind, fake.base_url
        )
        await db.execute(
            "insert into model (id, provider_id, upstream_id, name) select 'market', id, $1, 'Market' from provider"
            " where code = 'market'",
            MODELS[kind],
        )
        await keys.add(db, vault, "market", "stall", "stall-key-0123456789", actor="test")
        yield Market(fake, db, cast.alice.id)


async def at_work(crew: Crew, market: Market, **options: Any) -> Any:
    """A worker that waits for a job over there."""
    market.fake.looked.clear()
    worker = crew.start("worker", **options)
    await until(crew.dsn or "", IS_KNOWN)
    await market.fake.looked.wait()
    return worker


@BOTH
@pytest.mark.parametrize("end", ["kill", "terminate"])
async def test_a_job_over_there_is_ordered_once_whatever_happens_to_its_worker(
    crew: Crew, db: Any, pictures: Any, market: Market, end: str
) -> None:
    await market.order()
    worker = await at_work(crew, market)
    getattr(worker, end)()
    await death_of(worker)
    market.fake.holds = False
    crew.start("worker")
    await until(crew.dsn or "", SETTLED, within=40)
    await audit(db, pictures)
    assert (len(market.jobs), await market.charged(), await market.attempts()) == (1, 1, [None])
    assert crew.said("worker", "taken_over")


@pytest.mark.parametrize("point", ["after-note", "after-provider", "before-put", "after-put", "before-deliver-commit"])
async def test_a_worker_may_die_anywhere_behind_the_note(
    crew: Crew, db: Any, pictures: Any, market: Market, point: str
) -> None:
    market.fake.holds = False
    await market.order()
    assert await death_of(crew.start("worker", fault=point)) == -signal.SIGKILL
    crew.start("worker")
    await until(crew.dsn or "", SETTLED, within=40)
    await audit(db, pictures)
    assert await market.charged() == 1
    is_known_to_be_done = point == "before-deliver-commit"  # such an attempt has ended: there is nothing to wait for
    assert len(market.jobs) == 1 or is_known_to_be_done
    kept = [path for path in pictures.rglob("*") if path.is_file() and "thumb" not in path.name]
    assert len(kept) == 1 or is_known_to_be_done


async def test_a_frozen_worker_that_wakes_up_harms_nothing(crew: Crew, db: Any, pictures: Any, market: Market) -> None:
    await market.order()
    worker = await at_work(crew, market)
    worker.send_signal(signal.SIGSTOP)
    await frozen(worker)
    await at_work(crew, market)
    market.fake.holds = False
    await until(crew.dsn or "", SETTLED, within=40)
    worker.send_signal(signal.SIGCONT)
    await happens(lambda: crew.said("worker", "lease_unsure"))
    await audit(db, pictures)
    assert (len(market.jobs), await market.charged(), await market.attempts()) == (1, 1, [None])


async def test_a_job_that_is_gone_over_there_is_ordered_anew(
    crew: Crew, db: Any, pictures: Any, market: Market
) -> None:
    await market.order()
    worker = await at_work(crew, market)
    worker.kill()
    await death_of(worker)
    market.jobs.clear()
    market.fake.holds = False
    crew.start("worker")
    await until(crew.dsn or "", SETTLED, within=40)
    await audit(db, pictures)
    assert (len(market.jobs), await market.charged(), await market.attempts()) == (1, 1, ["timeout_unknown", None])


@pytest.mark.parametrize(("market", "end", "again"), [
    ("fal", "canceled", False), ("fal", "canceled", True), ("fal", "out of time", True), ("replicate", "out of time", False),
], indirect=["market"])  # fmt: skip
async def test_a_job_that_is_not_wanted_any_more_is_called_off_over_there(
    crew: Crew, db: Any, pictures: Any, market: Market, end: str, again: bool
) -> None:
    generation = await market.order(deadline=12 if end == "out of time" else 120)
    worker = await at_work(crew, market)
    if again:  # the one that calls it off is not the one that ordered it
        worker.kill()
        await death_of(worker)
        worker = await at_work(crew, market)
    if end == "canceled":
        await generations.cancel(db, generation, market.alice)
    await until(crew.dsn or "", SETTLED, within=40)
    await audit(db, pictures)
    [job] = market.jobs.values()
    assert job.canceled
    fault = "cancelled" if end == "canceled" else "timeout_unknown"  # nobody's failure, where its owner did not want it
    assert (await market.charged(), await market.attempts()) == (0, [fault])


@BOTH
async def test_a_picture_that_is_cut_short_over_there_is_neither_delivered_nor_charged(
    crew: Crew, db: Any, vault: Any, pictures: Any, market: Market
) -> None:
    market.fake.holds = False
    market.fake.script(
        "", Script(body=painted(1024, 1024)[:-40], headers={"Content-Type": "image/png"}, path="/files/")
    )
    await keys.add(db, vault, "market", "another stall", "stall-key-9876543210", actor="test")
    await market.order()
    crew.start("worker")
    await until(crew.dsn or "", SETTLED, within=40)
    await audit(db, pictures)
    assert (len(market.jobs), await market.charged(), await market.attempts()) == (2, 1, ["no_image", None])


@BOTH
async def test_a_job_that_is_ended_without_its_worker_is_called_off_over_there(
    crew: Crew, db: Any, config: Any, vault: Any, pictures: Any, market: Market
) -> None:
    await market.order()
    worker = await at_work(crew, market)
    worker.kill()
    await death_of(worker)
    await db.execute("update job set deadline = now() - interval '1 s'")
    async with open_storage(config) as storage:
        pool = Pool(db, config, vault)
        janitor = Janitor(db, Bus(db), Presence(db, "test", lease=3), storage=storage, pool=pool)
        await janitor.receive(EndLostJobs())
    assert [job.canceled for job in market.jobs.values()] == [True]
    assert (await market.charged(), await market.attempts()) == (0, ["timeout_unknown"])
    await audit(db, pictures)
