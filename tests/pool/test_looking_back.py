"""What an earlier try of a picture came to is looked at before a key is taken for the next one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from limner.actors.generator import Generator
from limner.runtime import mailbox
from limner.runtime.bus import Bus
from limner.runtime.lull import Lull
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.sql import attempts, generations, jobs, keys
from limner.sql.attempts import Lease
from limner.sql.generations import Order, PaintPicture
from limner.sql.jobs import Job
from limner.sql.models import Size
from tests.upstreams.base import Script
from tests.upstreams.fal import FakeFal

REST = (
    "insert into key_rest (key_id, model_id, until, cause) values ($1, $2, now() + interval '1 hour', 'for the test')"
)
SOON = "update message set ready_at = now(), state = 0 where mailbox = 'painting' and state = 2"
EMPTY = Script(body={"images": [], "seed": 7, "prompt": "a fox"})
ATTEMPTS = "select k.label, a.fault from attempt as a join provider_key as k on k.id = a.key_id order by a.id"


class Easel:
    """One worker, which looks at the picture that waits whenever the test says so."""

    def __init__(self, stage, worker: Generator, presence: Presence) -> None:
        self.stage, self.worker, self.presence = stage, worker, presence

    async def claimed(self) -> mailbox.Claimed:
        await self.stage.db.execute(SOON)
        (claimed,) = await mailbox.claim_fairly(self.stage.db, "painting", self.presence.id, 1)
        return claimed

    async def look(self) -> None:
        claimed = await self.claimed()
        await self.worker.receive(PaintPicture.revive(claimed.payload, claimed.fence))

    async def begun(self) -> Job:
        claimed = await self.claimed()
        job = await jobs.start(self.stage.db, claimed.payload["job_id"], claimed.fence)
        assert job is not None
        return job


@pytest.fixture
async def easel(stage, config):
    presence = Presence(stage.db, "worker", lease=30)
    await presence.beat()
    async with open_storage(config) as storage:
        worker = Generator(
            stage.db, Bus(stage.db), presence, config=config, storage=storage, vault=stage.vault, lull=Lull()
        )
        yield Easel(stage, worker, presence)


@contextlib.asynccontextmanager
async def market(stage, *stalls: str) -> AsyncIterator[FakeFal]:
    """A painter whose jobs go on over there, with a key of each of these names."""
    async with FakeFal().serve() as fake:
        await stage.db.execute(
            "insert into provider (code, kind, base_url, is_local) values ('market', 'fal', $1, true)", fake.base_url
        )
        await stage.db.execute(
            "insert into model (id, provider_id, upstream_id, name) select 'market', id, 'fal-ai/flux/dev', 'Market'"
            " from provider where code = 'market'"
        )
        for stall in stalls:
            await keys.add(stage.db, stage.vault, "market", stall, f"fal-{stall}-0123456789", actor="test")
        yield fake


async def ordered(stage) -> UUID:
    return await generations.order(stage.db, Order(stage.alice, "a fox", "market", Size(1024, 1024)), deadline=300)


async def key_id(stage, label: str) -> int:
    return int(await stage.db.fetchval("select id from provider_key where label = $1", label))


async def tried(stage) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in await stage.db.fetch(ATTEMPTS)]


async def test_a_key_that_is_done_with_a_picture_is_not_taken_for_it_at_each_look(stage, db, easel):
    spent, tired = await stage.key("no_image"), await stage.key()
    await db.execute(REST, tired, "simulator")
    generation = await stage.order()
    for _ in range(3):
        await easel.look()
    assert await stage.faults() == ["no_image"]
    last_used = await db.fetchval(
        "select last_used_at = a.started_at from provider_key as k, attempt as a where k.id = $1", spent
    )
    assert last_used, "it stands in the line as it did"
    await db.execute("delete from key_rest")
    await easel.look()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["no_image", None]


async def test_what_cannot_be_painted_any_more_ends_without_a_key(stage, db, easel):
    only, other = await stage.key("no_image"), await stage.key()
    await db.execute(REST, other, "simulator")
    generation = await stage.order()
    await easel.look()
    await db.execute("update provider_key set state = 'disabled' where id = $1", other)
    await stage.switch(only, "ok")
    await easel.look()
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == ["no_image"]


async def test_a_picture_without_a_try_is_begun_with_a_key_at_once(stage, db, easel):
    """One way to the database, as before; the next look asks by itself."""
    key = await stage.key()
    await stage.order()
    claimed = await easel.claimed()
    job = await jobs.start(db, claimed.payload["job_id"], claimed.fence, wants_key=True)
    assert isinstance(job.key, Lease)
    assert (job.key.key_id, job.was_tried) == (key, False)
    again = await jobs.start(db, claimed.payload["job_id"], claimed.fence, wants_key=True)
    assert (again.key, again.was_tried) == (None, True)


async def test_an_answer_without_a_picture_is_not_paid_again_over_a_wait_where_jobs_go_on_over_there(stage, db, easel):
    async with market(stage, "hasty", "tired") as fake:
        fake.result = EMPTY
        await db.execute(REST, await key_id(stage, "tired"), "market")
        generation = await ordered(stage)
        for _ in range(2):
            await easel.look()
        assert await tried(stage) == [("hasty", "no_image")]
        fake.result = None
        await db.execute("delete from key_rest")
        await easel.look()
    assert await stage.ends(generation) == ["delivered"]
    assert await tried(stage) == [("hasty", "no_image"), ("tired", None)]
    assert len(fake.jobs) == 2


async def test_who_takes_a_job_over_knows_which_keys_were_done_with_it_before(stage, db, easel):
    async with market(stage, "hasty", "lost") as fake:
        fake.result = EMPTY
        await db.execute(REST, await key_id(stage, "lost"), "market")
        generation = await ordered(stage)
        await easel.look()
        fake.result = None
        await db.execute("delete from key_rest")
        job = await easel.begun()
        began = await attempts.lease(
            db, job.provider_id, job.model_id, job.id, tried=[await key_id(stage, "hasty")], until=job.deadline
        )
        assert isinstance(began, Lease)
        await attempts.note_ref(db, began.attempt_id, "a job that nobody knows over there")
        await jobs.postpone(db, job, 1, "its worker died")
        await easel.look()
    assert await stage.ends(generation) == ["delivered"]
    assert await tried(stage) == [("hasty", "no_image"), ("lost", "timeout_unknown"), ("lost", None)]
