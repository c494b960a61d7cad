"""A worker that is killed at any named point: its job ends delivered once and charged once, or failed and not charged."""

from __future__ import annotations

import signal

import pytest

from tests.faults.books import audit
from tests.faults.crew import SETTLED, death_of, until

POINTS = [
    "after-claim", "before-provider", "after-provider", "before-put", "after-put", "before-deliver-commit",
    "after-deliver-commit",
]  # fmt: skip

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("point", POINTS)
async def test_a_picture_survives_the_death_of_its_worker(crew, db, pictures, painter, order, point):
    await painter("ok")
    job = await order()
    assert await death_of(crew.start("worker", fault=point)) == -signal.SIGKILL
    crew.start("worker")
    await until(crew.dsn, SETTLED, within=40)
    await audit(db, pictures)
    assert await db.fetchval("select state from job where id = $1", job) == "delivered"
    assert await db.fetchval("select count(*) from ledger_entry where job_id = $1 and kind = 'settle'", job) == 1


async def test_a_poisonous_job_fails_uncharged_and_harms_no_other(crew, db, pictures, painter, order):
    await painter("slow seconds=0.5")  # so that the others are in work whenever the poison strikes
    await db.execute("update plan set concurrency = 8")
    poison = await order("what no worker survives")
    others = [await order(f"a harmless fox, {number}") for number in range(3)]
    deaths = 0
    while await db.fetchval(
        "select exists (select from message where key = $1 and attempts < max_attempts)", f"job {poison}"
    ):
        assert await death_of(crew.start("worker", fault="before-provider", about=poison)) == -signal.SIGKILL
        deaths += 1
    survivor = crew.start("worker", fault="before-provider", about=poison)
    await until(crew.dsn, SETTLED, within=40)
    assert survivor.poll() is None, "the poisonous job was begun once more than it may be"
    await audit(db, pictures)
    assert deaths == 5
    assert await db.fetchval("select state from job where id = $1", poison) == "failed"
    assert await db.fetchval("select count(*) from dead_letter where key = $1", f"job {poison}") == 1
    assert await db.fetchval("select count(*) from job where id = any($1::uuid[]) and state = 'delivered'", others) == 3
