"""The audit itself: it finds what somebody breaks on purpose, so that its silence means something."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.runtime import mailbox
from limner.runtime.presence import Presence
from limner.sql import jobs, ledger
from limner.sql.jobs import Painted
from tests.faults.books import audit


@pytest.fixture(autouse=True)
async def _brush(painter):
    await painter("ok")


async def test_an_unfinished_job_is_found(db, order, pictures):
    await order()
    with pytest.raises(AssertionError, match=r"(?s)has not ended.*reservation that is still open"):
        await audit(db, pictures)


async def test_a_charge_without_a_picture_is_found(db, order, pictures):
    await db.execute(ledger.FROM_RESERVE, await order(), "settle", "nothing was delivered")
    with pytest.raises(AssertionError, match="delivered picture is charged once"):
        await audit(db, pictures)


async def test_a_failure_that_was_not_released_is_found(db, order, pictures):
    await db.execute("update job set state = 'failed', finished_at = now() where id = $1", await order())
    with pytest.raises(AssertionError, match="without a picture was released"):
        await audit(db, pictures)


async def test_a_wrong_balance_is_found(db, order, pictures, cast):
    await db.execute("update balance set spent = spent + 1 where account_id = $1", cast.alice.id)
    with pytest.raises(AssertionError, match=r"(?s)balance is the sum of its entries.*by themselves"):
        await audit(db, pictures)


async def test_a_picture_without_bytes_is_found(db, order, pictures: Path):
    await order()
    presence = Presence(db, "worker", lease=3)
    await presence.beat()
    (claimed,) = await mailbox.claim_fairly(db, "painting", presence.id, 1)
    job = await jobs.start(db, await db.fetchval("select id from job"), claimed.fence)
    assert job is not None
    await jobs.deliver(db, job, Painted("pictures/a.png", "pictures/a.webp", "0" * 64, "image/png", 512, 512, 100))
    await db.execute("update image set thumbed_at = now()")
    with pytest.raises(AssertionError, match=r"(?s)bytes are gone.*without its thumbnail"):
        await audit(db, pictures)
