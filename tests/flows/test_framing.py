"""What follows a delivery: a small copy of a sound picture; of a damaged one the money comes back, and its owner reads why."""

from __future__ import annotations

import io
from uuid import UUID

import anyio
import pytest
from PIL import Image

from limner.actors.framer import DAMAGED, Framer
from limner.runtime import outline, raster
from limner.runtime.bus import Bus
from limner.runtime.errors import Hopeless
from limner.runtime.folder import Folder
from limner.runtime.lull import Lull
from limner.runtime.presence import Presence
from limner.runtime.storage import Stored, open_storage
from limner.sql import books, studio
from limner.sql.images import FramePicture
from limner.sql.ledger import Balance
from tests.flows.test_painting import stage  # noqa: F401 - a fixture
from tests.runtime.test_raster import png_that_claims

SENT = "select payload from message where mailbox = 'framing' and kind = 'FramePicture'"


@pytest.fixture
async def storage(config):
    async with open_storage(config) as storage:
        yield storage


@pytest.fixture
async def framer(db, storage) -> Framer:
    return Framer(db, Bus(db), Presence(db, "test", lease=3), storage=storage, lull=Lull())


@pytest.fixture
async def picture(stage, db, cast) -> UUID:  # noqa: F811
    """One that was painted, delivered and charged."""
    await stage.key()
    await stage.order()
    await stage.painted()
    (found,) = await studio.gallery(db, cast.alice.id)
    return found.id


async def exchange(db, storage, data: bytes) -> None:
    """Have the painter's bytes be these."""
    key = await db.fetchval("select storage_key from image")
    await storage.delete(key)
    kept = await storage.put(key, data, "image/png")
    await db.execute("update image set sha256 = $1, bytes = $2", kept.sha256, kept.size)


async def test_a_delivery_orders_its_small_copy(picture, framer, db, storage, cast):
    assert [row["payload"] for row in await db.fetch(SENT)] == [{"image_id": str(picture)}]
    assert not (await studio.picture(db, picture, cast.alice.id)).is_framed
    await framer.receive(FramePicture(picture))
    whole = await studio.picture(db, picture, cast.alice.id)
    assert whole.is_framed
    small = Image.open(io.BytesIO(await storage.get(whole.thumb_key)))
    assert (small.format, max(small.size)) == ("WEBP", 480)


async def test_the_actor_frames_what_was_sent_to_it(picture, framer, db, stage):  # noqa: F811
    async with anyio.create_task_group() as group:
        await framer.presence.beat()
        for work in (framer.presence.run, framer.bus.run, framer.run):
            group.start_soon(work)
        await stage.until("select thumbed_at is not null from image")
        group.cancel_scope.cancel()


async def test_a_picture_that_cannot_be_decoded_is_taken_back_and_paid_back(
    picture,
    framer,
    db,
    storage,
    stage,  # noqa: F811
    cast,
):
    assert await stage.balance() == Balance(available=99, held=0, spent=1)
    hollow = png_that_claims(512, 512)  # every checksum holds, and nearly all pixels are missing
    await outline.examine(hollow)
    await exchange(db, storage, hollow)
    await framer.receive(FramePicture(picture))
    assert await stage.balance() == Balance(available=100, held=0, spent=0)
    assert await studio.gallery(db, cast.alice.id) == []
    job = (await studio.generation(db, await db.fetchval("select id from generation"))).jobs[0]
    assert (job.state, job.reason, job.picture) == ("delivered", DAMAGED, None)
    assert job.receipt == "reserved 1, delivered, charged 1, refunded 1"
    assert (
        await db.fetchval("select actor || ' ' || action from audit order by id desc limit 1")
        == "system refund_picture"
    )
    await framer.receive(FramePicture(picture))  # a second time changes nothing
    assert await stage.balance() == Balance(available=100, held=0, spent=0)
    assert [each.rule for each in await books.verify(db, storage, deep=True) if each.broken] == []
    await db.execute("update image set wiped_at = now()")  # the audit asks for the simulator's own pictures


async def test_what_only_this_machine_cannot_decode_stays_paid(picture, framer, stage, cast, db, monkeypatch):  # noqa: F811
    async def proof(*_: object, **__: object) -> None:
        raise raster.Undecoded("The picture takes too long to decode.")

    monkeypatch.setattr(raster, "proof", proof)
    with pytest.raises(Hopeless):
        await framer.receive(FramePicture(picture))
    assert await stage.balance() == Balance(available=99, held=0, spent=1)
    assert len(await studio.gallery(db, cast.alice.id)) == 1
    await db.execute("delete from message where mailbox = 'framing'")
    await db.execute("update image set thumbed_at = now(), wiped_at = now()")  # the audit asks for its small copy


async def test_one_who_died_before_he_could_say_so_hung_it_already(picture, framer, db, storage):
    key = await db.fetchval("select thumb_key from image")
    await storage.put(key, b"another version of libwebp wrote this", "image/webp")
    await framer.receive(FramePicture(picture))
    assert await db.fetchval("select thumbed_at is not null from image")


async def test_a_picture_that_is_wiped_meanwhile_leaves_no_small_copy(picture, db, config):
    class Slow(Folder):
        async def put(self, key: str, data: bytes, mime: str) -> Stored:
            await db.execute("update image set deleted_at = now(), wiped_at = now()")
            return await super().put(key, data, mime)

    slow = Slow(config.pictures_folder)
    await Framer(db, Bus(db), Presence(db, "test", lease=3), storage=slow, lull=Lull()).receive(FramePicture(picture))
    assert await slow.head(await db.fetchval("select thumb_key from image")) is None


async def test_a_deleted_picture_is_not_framed(picture, framer, db, storage, cast):
    await studio.delete_picture(db, picture, cast.alice.id)
    await framer.receive(FramePicture(picture))
    assert await storage.head(await db.fetchval("select thumb_key from image")) is None
