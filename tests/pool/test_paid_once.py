"""What is painted is not painted again: no outage of a store or a database throws a paid picture away."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import anyio
import pytest
from structlog.testing import capture_logs

from limner.actors.generator import Generator
from limner.runtime import mailbox
from limner.runtime.bus import Bus
from limner.runtime.lull import Lull
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.sql import attempts, generations, jobs, keys, lost_jobs, providers, takedowns
from limner.sql.attempts import Lease
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.faults.crew import SETTLED, happens
from tests.faults.unwell import break_down
from tests.upstreams.base import Asked
from tests.upstreams.openai import FakeOpenAI, Script, error, event, painted

UPLOAD = """
insert into upload (account_id, storage_key, sha256, mime, width, height, bytes)
values ($1, 'uploads/reference.png', repeat('0', 64), 'image/png', 64, 64, 100) returning id
"""
UNWELL = pytest.mark.parametrize("code", ["57P03", "53100"], ids=["away", "disk full"])


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """The storage cannot be used: where its folder was there is none."""
    aside = folder.rename(folder.with_name("aside"))
    folder.touch()
    yield
    folder.unlink()
    aside.rename(folder)


async def test_a_picture_is_stored_when_the_storage_is_back_and_painted_once(audited, db, config):
    stage = audited
    await stage.key()
    with capture_logs() as said:
        async with stage.workers():
            with away(config.pictures_folder):
                generation = await stage.order()
                await happens(lambda: any(line["event"] == "storing_waits" for line in said))
                seen = await db.fetchrow("select state, line from job where generation_id = $1", generation)
            await stage.until(SETTLED)
    assert tuple(seen) == ("running", "painting")
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == [None]


async def test_nobody_reads_where_the_pictures_are_kept(audited, db, config):
    stage = audited
    await stage.key()
    reference = await db.fetchval(UPLOAD, stage.alice)
    reference_file = config.pictures_folder / "uploads/reference.png"
    reference_file.parent.mkdir(parents=True)
    reference_file.symlink_to(reference_file)  # cannot be read: it leads round in a circle
    asked = Order(stage.alice, "a fox", "simulator", Size(512, 512), uploads=(reference,))
    generation = await generations.order(db, asked, deadline=60)
    async with stage.workers():
        await stage.until("select waits_until is not null from job where generation_id = $1", generation)
        line = await db.fetchval("select line from job where generation_id = $1", generation)
        await generations.cancel(db, generation, stage.alice)
        await stage.until(SETTLED)
    assert line == "waiting for its turn"


@UNWELL
async def test_a_picture_is_not_lost_over_its_progress(audited, db, code):
    stage = audited
    await break_down(db, "update on job", code, when="new.percent is not null")
    await stage.key()
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == [None]


@UNWELL
async def test_a_picture_is_delivered_when_the_database_is_well_again(audited, db, code):
    stage = audited
    await break_down(db, "insert on image", code)
    await stage.key()
    generation = await stage.order()
    with capture_logs() as said:
        async with stage.workers():
            await happens(lambda: any(line["event"] == "delivery_waits" for line in said))
            await db.execute("drop trigger breaks on image")
            await stage.until(SETTLED)
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == [None]


class Moody(FakeOpenAI):
    """Breaks down over what is poison, and paints everything else."""

    async def usual(self, asked: Asked) -> Script:
        if "poison" in str(asked.fields.get("prompt")):
            return Script(status=500, body=error("server_error", "oops"), headers={"Retry-After": "0.2"})
        return await super().usual(asked)


@contextlib.asynccontextmanager
async def painter(stage, kind: type[FakeOpenAI] = FakeOpenAI, brushes: int = 1) -> AsyncIterator[FakeOpenAI]:
    async with kind().serve() as upstream:
        await providers.change(stage.db, "openai", actor="test", base_url=upstream.base_url, is_local=True)
        for number in range(brushes):
            secret = f"sk-brush-{number}-abcdefgh"
            await keys.add(stage.db, stage.vault, "openai", f"brush {number}", secret, actor="test")
        yield upstream


async def asked(stage, prompt: str = "a fox in the snow", **parameters: str) -> UUID:
    order = Order(stage.alice, prompt, "gpt-image-2", Size(1024, 1024), parameters=parameters)
    return await generations.order(stage.db, order, deadline=60)


@UNWELL
async def test_an_order_that_was_refused_goes_to_no_other_key_over_what_cannot_be_noted(audited, db, code):
    stage = audited
    await break_down(db, "update on attempt", code, when="new.param is distinct from old.param")
    refused = error("invalid_value", "Invalid size.", "invalid_request_error", param="size")
    async with painter(stage, brushes=2) as upstream:
        for number in range(2):
            upstream.always(f"sk-brush-{number}-abcdefgh", Script(status=400, body=refused))
        generation = await asked(stage)
        await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == ["invalid_request"]


async def test_a_key_that_says_nothing_costs_a_picture_its_patience_and_not_its_life(audited, db):
    stage = audited
    async with painter(stage, brushes=2) as upstream:
        upstream.always("sk-brush-0-abcdefgh", Script(act="hang"))
        generation = await asked(stage)
        await stage.painted(painter_silence=1)
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["timeout_unknown", None]
    assert await db.fetchval("select failures from provider_key where label = 'brush 0'") == 1, "it is held against it"


async def test_an_order_that_breaks_a_painter_who_paints_for_others_is_given_up(audited, db):
    stage = audited
    async with painter(stage, Moody), stage.workers(worker_slots=1):
        poison = await asked(stage, "poison")
        await stage.until("select count(*) = 1 from attempt where fault = 'upstream_5xx'")
        await stage.until("select until <= now() from key_rest")
        fine = await asked(stage)
        await stage.until(SETTLED)
    ends = await db.fetch("select state, reason from job where generation_id = $1", poison)
    assert await stage.ends(fine) == ["delivered"]
    assert [tuple(row) for row in ends] == [("failed", "The painter had a breakdown.")]
    assert await db.fetchval("select failures from provider_key where label = 'brush 0'") <= 1


async def test_an_order_counts_once_against_a_key_that_is_down_for_everybody(audited, db):
    stage = audited
    async with painter(stage, Moody), stage.workers():
        await asked(stage, "poison")
        await stage.until("select count(*) = 3 from attempt where fault = 'upstream_5xx'")
        assert await db.fetchval("select failures from provider_key where label = 'brush 0'") == 1
        await db.execute("update job set deadline = now() where state in ('queued', 'running')")
        await lost_jobs.end(db)
        await stage.until(SETTLED)


async def begun(stage) -> jobs.Job:
    presence = Presence(stage.db, "worker", lease=3)
    await presence.beat()
    (claimed,) = await mailbox.claim_fairly(stage.db, "painting", presence.id, 1)
    return await jobs.start(stage.db, claimed.payload["job_id"], claimed.fence)


async def test_who_cancels_while_a_job_goes_back_into_the_line_is_heard(audited):
    stage = audited
    await stage.key()
    generation = await stage.order()
    job = await begun(stage)
    assert await generations.cancel(stage.db, generation, stage.alice) == (0, 1)
    await jobs.postpone(stage.db, job, 5, "all painters are busy")
    assert await stage.ends(generation) == ["canceled"]
    assert (await stage.balance()).held == 0


async def test_who_canceled_before_a_worker_died_pays_no_other_one(audited):
    stage = audited
    key = await stage.key("slow seconds=60")
    generation = await stage.order()
    async with stage.workers():
        await stage.until("select exists (select from attempt)")
    await generations.cancel(stage.db, generation, stage.alice)
    await stage.switch(key, "ok")
    await stage.painted()
    assert await stage.ends(generation) == ["canceled"]


class Listening(Generator):
    """Keeps what it acknowledged by itself."""

    def __init__(self, *args, **more) -> None:
        super().__init__(*args, **more)
        self.done: list[mailbox.Fence] = []

    def acknowledged(self, fence: mailbox.Fence) -> None:
        self.done.append(fence)


async def test_a_job_that_goes_back_into_the_line_is_acknowledged_by_nobody_else(audited, db, config):
    """The fence of its next turn is the same: an acknowledgement that comes late would take it out of the line."""
    stage = audited
    await stage.key("rate_limited after=60")
    generation = await stage.order()
    presence = Presence(db, "worker", lease=3)
    await presence.beat()
    (claimed,) = await mailbox.claim_fairly(db, "painting", presence.id, 1)
    async with open_storage(config) as storage:
        worker = Listening(db, Bus(db), presence, config=config, storage=storage, vault=stage.vault, lull=Lull())
        await worker.receive(generations.PaintPicture.revive(claimed.payload, claimed.fence))
    assert worker.done == [claimed.fence]
    await generations.cancel(db, generation, stage.alice)


@pytest.mark.parametrize("end", ["canceled", "failed"])
async def test_no_attempt_of_an_ended_job_keeps_a_slot(audited, db, end):
    """It was written down when its job had ended already: its worker was stopped while it was on its way."""
    stage = audited
    await stage.key(concurrency=1)
    await stage.order()
    job = await begun(stage)
    await jobs.fail(db, job, "over", state=end)
    found = await attempts.lease(
        db, job.provider_id, job.model_id, job.id, tried=[], until=datetime.now(UTC) + timedelta(hours=1)
    )
    assert isinstance(found, Lease)
    await lost_jobs.end(db)
    assert await stage.faults() == [None], "it may just have begun"
    await db.execute("update job set finished_at = finished_at - interval '31 seconds'")
    await lost_jobs.end(db)
    assert await stage.faults() == ["cancelled" if end == "canceled" else "timeout_unknown"]


async def test_a_failed_job_leaves_no_attempt_open(audited, db):
    stage = audited
    await stage.key()
    await stage.order()
    job = await begun(stage)
    await stage.leased(job.id)
    await jobs.fail(db, job, "over")
    assert await stage.faults() == ["cancelled"], "nobody's failure"


async def test_a_worker_hears_that_its_job_was_ended_by_others(audited, db):
    stage = audited
    await stage.key("slow seconds=60")
    generation = await stage.order()
    async with stage.workers():
        await stage.until("select exists (select from attempt)")
        await db.execute("update job set deadline = now()")
        await lost_jobs.end(db)
        with anyio.fail_after(20):
            await stage.until("select not exists (select from message where owner is not null)")
    assert await stage.ends(generation) == ["failed"]


async def test_a_secret_that_cannot_be_opened_takes_out_its_key_and_no_picture(audited, db):
    stage = audited
    broken = await stage.key()
    await stage.key()
    await db.execute("update provider_key set sealed_secret = 'not sealed' where id = $1", broken)
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["auth_dead", None]
    assert await stage.key_state(broken) == "disabled"


async def test_what_no_database_takes_is_not_written_down(audited, db):
    """A zero byte in an upstream's words, or in the name that it gives a picture, must not have it painted again."""
    stage = audited
    async with painter(stage, brushes=2) as upstream:
        upstream.script("sk-brush-0-abcdefgh", Script(status=500, body=error("oops", "a zero: \x00 and a bell: \x07.")))
        generation = await asked(stage)
        await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["upstream_5xx", None]
    assert "a zero: and a bell: ." in await db.fetchval("select detail from attempt order by id limit 1")


async def test_the_unfinished_pictures_of_another_try_count_from_nought_again(audited, db):
    stage = audited
    begun = event("image_generation.partial_image", b64_json=b64encode(painted(64, 64)).decode(), partial_image_index=0)
    broken = event("error", error={"type": "server_error", "code": "server_error", "message": "oops"})
    async with painter(stage, brushes=2) as upstream:
        script = Script(body=(begun, broken), headers={"Content-Type": "text/event-stream"})
        upstream.script("sk-brush-0-abcdefgh", script)
        order = Order(stage.alice, "a fox", "gpt-image-2", Size(1024, 1024), partial_images=1)
        generation = await generations.order(db, order, deadline=60)
        await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["upstream_5xx", None]
    assert [row["number"] for row in await db.fetch("select number from partial")] == [0]


async def test_nothing_is_painted_from_a_picture_that_was_taken_down_meanwhile(audited, db):
    stage = audited
    await stage.key()
    await db.execute("update model set abilities = '{text,image}' where id = 'simulator'")
    await stage.order()
    await stage.painted()
    picture = await db.fetchval("select id from image")
    asked = Order(stage.alice, "the same at night", "simulator", Size(512, 512), pictures=(picture,))
    generation = await generations.order(db, asked, deadline=60)
    await takedowns.take_down(db, picture, "It shows somebody who did not agree.", actor="test")
    await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert (await stage.balance()).held == 0
