"""The janitor: what was deleted is wiped, what a dying worker left is swept, and what is kept stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from asyncpg import UndefinedTableError

from limner.actors.janitor import Janitor
from limner.actors.pool import Pool
from limner.actors.timekeeper import EndOverdueJobs, Timekeeper
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.runtime.storage import Missing, Storage, StorageUnavailable, open_storage
from limner.sql import images, studio, uploads
from tests.flows.test_painting import stage  # noqa: F401 - a fixture

DELETED = """
insert into upload (account_id, storage_key, sha256, mime, width, height, bytes, deleted_at)
select $1, case n when 1 then 'uploads/stuck.png' else 'uploads/gone' || n end, repeat('0', 64), 'image/png', 1, 1, 1,
    now() - interval '1 day' + n * interval '1 s'
from generate_series(1, 150) as n
"""


async def test_a_deleted_picture_is_wiped_and_the_others_stay(stage, db, config, cast):  # noqa: F811
    await stage.key()
    await stage.order(count=2)
    await stage.painted()
    gone, kept = await studio.gallery(db, cast.alice.id)
    before = {each.id: await studio.picture(db, each.id, cast.alice.id) for each in (gone, kept)}
    await studio.delete_picture(db, gone.id, cast.alice.id)
    async with open_storage(config) as storage:
        await Janitor(
            db, Bus(db), Presence(db, "test", lease=3), storage=storage, pool=Pool(db, config, stage.vault)
        ).tidy()
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
        left = [f"{prefix}99.png" for prefix in images.prefixes(job)]
        others = f"{images.prefixes(job)[0].removesuffix('-')}1-99.png"  # of nobody whose job was cut off
        for key in (*left, others):
            await storage.put(key, b"left behind", "image/png")
        await Janitor(
            db, Bus(db), Presence(db, "test", lease=3), storage=storage, pool=Pool(db, config, stage.vault)
        ).tidy()
        for key in left:
            with pytest.raises(Missing):
                await storage.get(key)
        assert await storage.get(others) == b"left behind"
        assert await storage.get(await db.fetchval("select storage_key from image"))
    assert await images.to_sweep(db) == []


async def test_what_was_sent_for_an_order_that_came_to_nothing_is_forgotten_after_two_days(stage, db, config, cast):  # noqa: F811
    used, mask, left, fresh = ids = [uuid4() for _ in range(4)]
    async with open_storage(config) as storage:
        for each in ids:
            await storage.put(f"uploads/{each}.png", b"a picture", "image/png")
            await uploads.keep(db, each, cast.alice.id, f"uploads/{each}.png", "", "image/png", 64, 64, 9)
        await db.execute("update upload set created_at = now() - interval '49 hours' where id <> $1", fresh)
        await stage.key()
        order = await stage.order()
        await stage.painted()
        await db.execute(
            "insert into generation_reference (generation_id, position, upload_id) values ($1, 1, $2)", order, used
        )
        await db.execute("update generation set mask_upload_id = $2 where id = $1", order, mask)
        await Janitor(
            db, Bus(db), Presence(db, "test", lease=3), storage=storage, pool=Pool(db, config, stage.vault)
        ).tidy()
        with pytest.raises(Missing):
            await storage.get(f"uploads/{left}.png")
        for each in (used, mask, fresh):
            assert await storage.get(f"uploads/{each}.png") == b"a picture"
    assert {row["id"] for row in await db.fetch("select id from upload")} == {used, mask, fresh}


async def test_a_file_that_cannot_be_deleted_keeps_nothing_else_from_being_done(stage, db, config, cast):  # noqa: F811
    await db.execute(DELETED, cast.alice.id)
    async with open_storage(config) as storage:
        janitor = Janitor(
            db, Bus(db), Presence(db, "test", lease=3), storage=Away(storage), pool=Pool(db, config, stage.vault)
        )
        await janitor.tidy()
    assert await db.fetch("select storage_key from upload where wiped_at is null") == [("uploads/stuck.png",)]


class Away:
    """A storage that cannot delete one of its files."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def delete(self, key: str) -> None:
        if key == "uploads/stuck.png":
            raise StorageUnavailable("not this one")
        await self.storage.delete(key)

    def list(self, prefix: str) -> AsyncIterator[str]:
        return self.storage.list(prefix)


async def test_a_chore_that_fails_keeps_no_other_from_being_done(stage, db, config, cast):  # noqa: F811
    await db.execute(DELETED, cast.alice.id)
    await db.execute("alter table image rename to elsewhere")
    async with open_storage(config) as storage:
        janitor = Janitor(
            db, Bus(db), Presence(db, "test", lease=3), storage=storage, pool=Pool(db, config, stage.vault)
        )
        with pytest.raises(UndefinedTableError):
            await janitor.tidy()
    await db.execute("alter table elsewhere rename to image")
    assert await db.fetchval("select count(*) from upload where wiped_at is null") == 0


async def test_every_job_past_its_deadline_is_ended_at_once_however_many(stage, db, config):  # noqa: F811
    await stage.key()
    await db.execute(
        "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'grant', 500, 'a test')", stage.alice
    )
    for _ in range(13):
        await stage.order(count=8)
    await db.execute("update job set deadline = now() - interval '1 s'")
    pool = Pool(db, config, stage.vault)
    await Timekeeper(db, Bus(db), Presence(db, "test", lease=3), pool=pool).receive(EndOverdueJobs())
    assert await db.fetchval("select count(*) from job where state <> 'failed'") == 0
