"""A worker that stands still beyond its lease and goes on: another one delivers, and what it writes late is refused."""

from __future__ import annotations

import signal

import anyio
import pytest

from limner.runtime import mailbox, upkeep
from limner.runtime.errors import FenceLost
from limner.runtime.presence import Presence
from limner.sql import jobs
from limner.sql.generations import PaintPicture
from limner.sql.jobs import Painted
from tests.faults.books import audit
from tests.faults.crew import SETTLED, frozen, happens, until
from tests.faults.customers import sign_up

pytestmark = pytest.mark.timeout(120)

PICTURE = Painted("pictures/a.png", "pictures/a.webp", "0" * 64, "image/png", 512, 512, 100)
DEAD = "select seen_at < now() - interval '4 s' from worker where pid = $1"


async def test_a_zombie_finds_its_picture_delivered_by_another(crew, db, pictures, painter, order):
    await painter("ok")
    job = await order()
    zombie = crew.start("worker", fault="after-put", how="SIGSTOP")
    await frozen(zombie)
    crew.start("worker")
    await until(crew.dsn, SETTLED)
    delivered = await db.fetchval("select storage_key from image where job_id = $1", job)
    zombie.send_signal(signal.SIGCONT)
    await happens(lambda: crew.said("worker", "fence_lost") or crew.said("worker", "lease_unsure"))
    await order("the zombie is a good worker again")
    await until(crew.dsn, SETTLED)
    assert zombie.poll() is None
    assert await db.fetchval("select array_agg(storage_key) from image where job_id = $1", job) == [delivered]
    await audit(db, pictures)


async def test_a_zombie_in_the_middle_of_its_delivery_holds_up_nobody(crew, db, pictures, painter, order):
    await painter("ok")
    job = await order()
    zombie = crew.start("worker", fault="before-deliver-commit", how="SIGSTOP")
    await frozen(zombie)
    crew.start("worker")
    await until(crew.dsn, DEAD, zombie.pid)
    ((somebody, _),) = await sign_up(db, 1)
    other = await order("somebody else's fox", who=somebody)
    await until(crew.dsn, "select state = 'delivered' from job where id = $1", other, within=7)  # a hold-up lasts 8
    await until(crew.dsn, SETTLED)
    zombie.send_signal(signal.SIGCONT)
    await happens(lambda: crew.said("worker", "fence_lost") or crew.said("worker", "lease_unsure"))
    await order("the zombie is a good worker again")
    await until(crew.dsn, SETTLED)
    await audit(db, pictures)
    assert await db.fetchval("select count(*) from image where job_id = $1", job) == 1


async def test_a_late_delivery_writes_nothing(db, painter, order):
    await painter("ok")
    job_id = await order()
    late, heir = Presence(db, "worker", lease=3), Presence(db, "worker", lease=3)
    await late.beat()
    mine = await _begin(db, late, job_id)
    await db.execute("update worker set seen_at = now() - interval '4 s' where id = $1", late.id)
    assert await upkeep.rescue(db, 3) == 1
    await heir.beat()
    theirs = await _begin(db, heir, job_id)
    for late_write in (
        lambda: jobs.deliver(db, mine, PICTURE),
        lambda: jobs.fail(db, mine, "too late"),
        lambda: jobs.postpone(db, mine, 1, "too late"),
        lambda: mailbox.ack(db, mine.fence),
        lambda: mailbox.bury(db, mine.fence, "too late"),
        lambda: mailbox.retry(db, mine.fence, after=1, error="too late"),
    ):
        with pytest.raises(FenceLost):
            await late_write()
    assert await jobs.start(db, job_id, mine.fence) is None
    assert await db.fetchval("select count(*) from ledger_entry where job_id = $1", job_id) == 1
    await jobs.deliver(db, theirs, PICTURE)
    assert await db.fetchval("select array_agg(kind order by id) from ledger_entry where job_id = $1", job_id) == [
        "reserve",
        "settle",
    ]


async def test_one_message_in_a_frozen_transaction_keeps_no_other_from_its_heir(db, painter, order):
    await painter("ok")
    await order()
    await order()
    frozen_one = Presence(db, "worker", lease=3)
    await frozen_one.beat()
    first, _second = await mailbox.claim_fairly(db, "painting", frozen_one.id, 2)
    await db.execute("update worker set seen_at = now() - interval '4 s' where id = $1", frozen_one.id)
    async with db.transaction() as frozen_transaction:
        await mailbox.hold(frozen_transaction, first.fence)
        with anyio.fail_after(2):
            assert await upkeep.rescue(db, 3) == 1
    assert await upkeep.rescue(db, 3) == 1


async def test_a_live_worker_is_never_robbed(db, painter, order):
    await painter("ok")
    job_id = await order()
    alive = Presence(db, "worker", lease=3)
    await alive.beat()
    mine = await _begin(db, alive, job_id)
    assert await upkeep.rescue(db, 3) == 0
    await jobs.deliver(db, mine, PICTURE)


async def _begin(db, presence, job_id):
    (claimed,) = await mailbox.claim_fairly(db, "painting", presence.id, 5)
    assert PaintPicture.revive(claimed.payload, claimed.fence).job_id == job_id
    return await jobs.start(db, job_id, claimed.fence)
