"""The ledger: what the schema itself refuses, whoever asks."""

from __future__ import annotations

from uuid import UUID

import anyio
import asyncpg
import pytest

from limner.runtime.database import Database
from limner.sql import generations, ledger
from limner.sql.generations import Order
from limner.sql.models import Size

ORDER = {"model_id": "demo", "size": Size(512, 512)}


async def job_of(db: Database, account_id: UUID, count: int = 1) -> UUID:
    generation = await generations.order(db, Order(account_id, "a red boat", count=count, **ORDER), deadline=60)
    return await db.fetchval("select id from job where generation_id = $1 order by position limit 1", generation)


async def test_an_order_reserves_what_it_costs(db, cast):
    await job_of(db, cast.alice.id, count=3)
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(available=97, held=3, spent=0)


async def test_a_job_is_settled_once(db, cast):
    job = await job_of(db, cast.alice.id, count=2)
    await db.execute(ledger.FROM_RESERVE, job, "settle", "delivered")
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.execute(ledger.FROM_RESERVE, job, "settle", "delivered")
    assert (await ledger.balance(db, cast.alice.id)).spent == 1


@pytest.mark.parametrize("first", ["settle", "release"])
async def test_settle_and_release_exclude_each_other(db, cast, first):
    job = await job_of(db, cast.alice.id, count=2)
    await db.execute(ledger.FROM_RESERVE, job, first, "first")
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.execute(ledger.FROM_RESERVE, job, "release" if first == "settle" else "settle", "second")


async def test_what_was_charged_comes_back_once(db, cast):
    job, other = await job_of(db, cast.alice.id), await job_of(db, cast.alice.id)
    with pytest.raises(AssertionError, match="never charged"):
        await ledger.refund(db, job, "nothing to give back")
    for each in (job, other):
        await db.execute(ledger.FROM_RESERVE, each, "settle", "delivered")
    assert await ledger.refund(db, job, "it was damaged") == 1
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(available=99, held=0, spent=1)
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.refund(db, job, "again")


async def test_settling_needs_a_reserve_of_the_same_credits(db, cast):
    job = await job_of(db, cast.alice.id)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="needs a reserve"):
        await db.execute(
            "insert into ledger_entry (account_id, job_id, kind, credits) values ($1, $2, 'settle', 7)",
            cast.alice.id,
            job,
        )


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_entry set credits = 9",
        "delete from ledger_entry",
        "truncate ledger_entry cascade",
        "update audit set actor = 'nobody'",
        "delete from audit",
        "truncate audit",
    ],
)
async def test_the_books_are_append_only(db, cast, statement):
    await job_of(db, cast.alice.id)
    await db.execute("insert into audit (actor, action, subject) values ('test', 'look', 'books')")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await db.execute(statement)


async def test_the_balance_never_goes_below_zero(db, cast):
    with pytest.raises(ledger.QuotaExhausted):
        await ledger.adjust(db, cast.alice.id, -101, "too much")
    assert (await ledger.balance(db, cast.alice.id)).available == 100


async def test_fifty_orders_at_once_with_credits_for_seven_give_seven(db, cast):
    await ledger.adjust(db, cast.alice.id, -93, "leave seven")
    outcomes: list[str] = []

    async def try_one() -> None:
        try:
            await generations.order(db, Order(cast.alice.id, "a boat", **ORDER), deadline=60)
            outcomes.append("accepted")
        except ledger.QuotaExhausted:
            outcomes.append("refused")

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(try_one)
    assert (outcomes.count("accepted"), outcomes.count("refused")) == (7, 43)
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(available=0, held=7, spent=0)
    assert await db.fetchval("select count(*) from job") == 7


@pytest.mark.parametrize(
    ("available", "shown"), [(100, 100), (81, 100), (80, 80), (61, 80), (21, 40), (1, 20), (0, 0), (250, 100)]
)
def test_the_quota_is_shown_in_buckets_rounded_up(available, shown):
    assert ledger.bucket(available, 100) == shown


async def test_the_receipt_says_what_happened_in_plain_words(db, cast):
    assert ledger.receipt([("reserve", 1), ("settle", 1)]) == "reserved 1, delivered, charged 1"
    assert ledger.receipt([("reserve", 2), ("release", 2)]) == "reserved 2, not delivered, nothing charged"
