"""Orders are one statement whose locks are let go early: what they answer is on the disk all the same, or nothing is there."""

from __future__ import annotations

import random
from uuid import uuid4

import anyio
import pytest

from limner.runtime.errors import NotFound
from limner.sql import generations, keys, ledger
from limner.sql.generations import KeyReused, Order, PaintPicture
from limner.sql.ledger import Balance, QuotaExhausted
from limner.sql.models import Size
from tests.runtime.test_post import with_commits_that_wait

SMALL = Size(512, 512)
NOTHING = "select (select count(*) from generation) + (select count(*) from job) + (select count(*) from message)"


@pytest.fixture
async def alice(cast, db, vault):
    await keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test")
    return cast.alice.id


def order(account_id, **options) -> Order:
    return Order(account_id, f"a fox {random.randbytes(500).hex()}", "simulator", SMALL, **options)


async def test_an_order_is_on_the_disk_before_its_customer_hears_of_it(db, alice):
    async with with_commits_that_wait(db) as waiting:
        for _ in range(20):
            before = await waiting.fetchval("select pg_current_wal_insert_lsn()")
            await generations.order(waiting, order(alice), deadline=60)
            assert await waiting.fetchval("select pg_current_wal_flush_lsn() - $1::pg_lsn >= 1000", before)


async def test_who_finds_his_order_placed_already_may_rely_on_it_too(db, alice):
    same = order(alice, idempotency_key="once")
    async with with_commits_that_wait(db) as waiting:
        for _ in range(5):
            before = await waiting.fetchval("select pg_current_wal_insert_lsn()")
            found: list[object] = []

            async def one(found=found) -> None:
                found.append(await generations.order(waiting, same, deadline=60))

            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(one)
            assert len(set(found)) == 1
            assert await waiting.fetchval("select pg_current_wal_flush_lsn() > $1::pg_lsn", before)
    assert (await ledger.balance(db, alice)).held == 1
    with pytest.raises(KeyReused):
        await generations.order(db, order(alice, idempotency_key="once"), deadline=60)


async def test_the_messages_are_those_that_the_generator_reads(db, alice):
    generation = await generations.order(db, order(alice, count=3), deadline=60)
    jobs = [row["id"] for row in await db.fetch("select id from job where generation_id = $1", generation)]
    sent = {row["key"]: dict(row) for row in await db.fetch("select * from message where mailbox = 'painting'")}
    assert sent.keys() == {f"job {job}" for job in jobs}
    for job in jobs:
        message = sent[f"job {job}"]
        assert (message["kind"], message["payload"]) == (PaintPicture.__name__, PaintPicture(job).payload())
        assert (message["partition"], message["state"], message["attempts"]) == (str(alice), 0, 0)


@pytest.mark.parametrize(
    "options",
    [{"thread_id": uuid4()}, {"uploads": (uuid4(),)}, {"pictures": (uuid4(), uuid4())}],
    ids=["thread", "upload", "picture"],
)
async def test_an_order_about_what_is_not_yours_leaves_nothing(db, alice, options):
    with pytest.raises(NotFound):
        await generations.order(db, order(alice, **options), deadline=60)
    assert await db.fetchval(NOTHING) == 0
    assert (await ledger.balance(db, alice)).held == 0


async def test_an_order_beyond_the_credits_leaves_nothing(db, alice):
    await db.execute("update model set credits = 30 where id = 'simulator'")
    with pytest.raises(QuotaExhausted):
        await generations.order(db, order(alice, count=4), deadline=60)
    assert await db.fetchval(NOTHING) == 0
    assert await ledger.balance(db, alice) == Balance(available=100, held=0, spent=0)


async def test_an_order_in_somebodys_transaction_comes_and_goes_with_it(db, alice):
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await generations.order(tx, order(alice), deadline=60)
            assert await tx.fetchval("show synchronous_commit") == await db.fetchval("show synchronous_commit")
            raise ZeroDivisionError
    assert await db.fetchval(NOTHING) == 0
