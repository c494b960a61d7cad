"""The janitor: what was deleted is wiped, what a dying worker left is swept, and what is kept stays."""

from __future__ import annotations

import pytest

from limner.actors.janitor import Janitor
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.runtime.storage import Missing, open_storage
from limner.sql import images, studio
from tests.flows.test_painting import stage  # noqa: F401 - a fixture


async def test_a_deleted_picture_is_wiped_and_the_others_stay(stage, db, config, cast):  # noqa: F811
    await stage.key()
    await stage.order(count=2)
    await stage.painted()
    gone, kept = await studio.gallery(db, cast.alice.id)
    before = {each.id: await studio.picture(db, each.id, cast.alice.id) for each in (gone, kept)}
    await studio.delete_picture(db, gone.id, cast.alice.id)
    async with open_storage(config) as storage:
        await Janitor(db, Bus(db), Presence(db, "test", lease=3), storage=storage).tidy()
        for key in (before[gone.id].storage_key, before[gone.id].thumb_key):
            with pytest.raises(Missing):
                await storage.get(key)
        assert await storage.get(before[kept.id].storage_key)
    assert await images.to_wipe(db) == []


async def test_bytes_that_a_dying_worker_left_are_swept_and_the_picture_stays(stage, db, config):  # noqa: F811
    await stage.key()
    await stage.order()
    await stage.painted()
    job = await db.fetchval("select id from job")
    key = await db.fetchval("select id from provider_key order by id desc limit 1")
    await db.execute(
        "insert into attempt (job_id, number, key_id, model_id, fault, expires_at, finished_at)"
        " values ($1, 99, $2, 'simulator', 'timeout_unknown', now(), now() - interval '1 hour')", job, key,
    )  # fmt: skip
    await db.execute("update job set finished_at = now() - interval '1 hour'")
    async with open_storage(config) as storage:
        await storage.put(f"pictures/{job}/99.png", b"left behind", "image/png")
        await Janitor(db, Bus(db), Presence(db, "test", lease=3), storage=storage).tidy()
        with pytest.raises(Missing):
            await storage.get(f"pictures/{job}/99.png")
        assert await storage.get(await db.fetchval("select storage_key from image"))
    assert await images.to_sweep(db) == []
