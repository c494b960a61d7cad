"""A picture is delivered, on the disk, and told by one statement; what is not delivered is not told either."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import anyio
import asyncpg
import orjson
import pytest

from limner.runtime import mailbox
from limner.runtime.bus import Bus
from limner.runtime.errors import FenceLost
from limner.runtime.presence import Presence
from limner.runtime.testing import Signals
from limner.sql import generations, jobs, keys, tokens
from limner.sql.channels import GENERATION_ANSWERED, GENERATION_CHANGED, GENERATION_ENDED
from limner.sql.generations import Order
from limner.sql.jobs import Painted
from limner.sql.models import Size
from limner.sql.tokens import Caps
from tests.runtime.test_post import with_commits_that_wait

PICTURE = Painted("pictures/a.png", "pictures/a.webp", "0" * 64, "image/png", 512, 512, 100)
TELLS = {GENERATION_CHANGED: "changed", GENERATION_ANSWERED: "answered", GENERATION_ENDED: "ended"}


@pytest.fixture
async def begun(db, cast, vault, monkeypatch):
    """An order's pictures, begun; a program's with a ``token_id``. We tell nothing: all that is heard is the database's."""
    monkeypatch.setattr(db, "tell", lambda *_, **__: None)
    await keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test")
    presence = Presence(db, "worker", lease=30)
    await presence.beat()

    async def begin(count=1, token_id=None):
        asked = Order(cast.alice.id, "a fox", "simulator", Size(512, 512), count=count, api_token_id=token_id)
        await generations.order(db, asked, deadline=60)
        taken = await mailbox.claim_fairly(db, "painting", presence.id, count)
        return [await jobs.start(db, item.payload["job_id"], item.fence) for item in taken]

    return begin


@pytest.fixture
async def token_id(db, cast):
    await tokens.create(db, cast.alice, "program", Caps(), actor="test")
    return await db.fetchval("select id from api_token")


@contextlib.asynccontextmanager
async def listening(db):
    """What the database tells from now on."""
    heard, bus = Signals(), Bus(db)
    async with anyio.create_task_group() as group:
        for channel, name in TELLS.items():
            await bus.on(channel, lambda payload, name=name: payload and heard.give((name, payload)))
        group.start_soon(bus.run)
        while not bus.is_connected:
            await anyio.sleep(0.01)
        yield heard
        group.cancel_scope.cancel()


async def test_a_programs_picture_is_told_with_its_answer_before_its_end(db, begun, token_id):
    (job,) = await begun(token_id=token_id)
    async with listening(db) as news:
        await jobs.deliver(db, job, PICTURE)
        changed, answered, ended = await news.until(3)
    assert (changed, ended) == (("changed", f"{job.thread_id} {job.generation_id}"), ("ended", str(job.generation_id)))
    name, (generation_id, about) = answered[0], answered[1].split(" ", 1)
    assert (name, generation_id) == ("answered", str(job.generation_id))
    about = orjson.loads(about)
    assert (about["token_id"], about["storage_key"], about["is_heard"]) == (str(token_id), PICTURE.storage_key, True)


async def test_an_orders_last_picture_alone_is_its_end(db, begun, token_id):
    first, last = await begun(2, token_id)
    async with listening(db) as news:
        for job, name in ((first, "a"), (last, "b")):
            await jobs.deliver(db, job, replace(PICTURE, storage_key=f"pictures/{name}.png"))
        changed = ("changed", f"{first.thread_id} {first.generation_id}")
        assert await news.until(3) == [changed, changed, ("ended", str(first.generation_id))]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_what_is_delivered_together_is_told_together(db, begun, is_lost):
    (one,), (other,) = await begun(), await begun()
    if is_lost:
        other = replace(other, fence=replace(other.fence, attempt=other.fence.attempt + 1))
    pictures = [(job, replace(PICTURE, storage_key=f"pictures/{job.id}.png")) for job in (other, one)]
    async with listening(db) as news:
        assert await jobs.deliver_all(db, pictures) == [not is_lost, True]
        told = await news.until(2 if is_lost else 4)
    changed = {("changed", f"{job.thread_id} {job.generation_id}") for job in (one, other)}
    ended = {("ended", str(job.generation_id)) for job in (one, other)}
    about_one = {item for item in changed | ended if str(one.generation_id) in item[1]}
    assert set(told) == (about_one if is_lost else changed | ended)


async def test_what_is_not_delivered_is_not_told(db, begun):
    (job,) = await begun()
    async with listening(db) as news:
        with pytest.raises(FenceLost):
            await jobs.deliver(db, replace(job, fence=replace(job.fence, attempt=9)), PICTURE)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await jobs.deliver(db, job, replace(PICTURE, mime=None))
        assert await db.fetchval("select state from job") == "running"
        await jobs.deliver(db, job, PICTURE)
        assert await news.until(2) == [
            ("changed", f"{job.thread_id} {job.generation_id}"),
            ("ended", str(job.generation_id)),
        ]


async def test_a_delivery_is_on_the_disk_before_anybody_hears_of_it(db, begun):
    async with with_commits_that_wait(db) as waiting:
        for _ in range(5):
            (job,) = await begun()
            before = await waiting.fetchval("select pg_current_wal_insert_lsn()")
            picture = replace(PICTURE, storage_key=f"pictures/{random.randbytes(100).hex()}.png")
            await jobs.deliver(waiting, job, picture)
            assert await waiting.fetchval("select pg_current_wal_flush_lsn() - $1::pg_lsn >= 1000", before)
            assert await waiting.fetchval("show synchronous_commit") == "on", "the next statement of this connection"
