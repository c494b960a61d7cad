"""What stands between an account and a wrong balance, one guard a test: each of them is red without its guard (mutants)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import anyio
import asyncpg
import pytest

from limner.runtime.errors import FenceLost, NotFound
from limner.sql import books, generations, invoices, jobs, ledger, plans, studio
from limner.sql.generations import Order
from limner.sql.jobs import Painted
from limner.sql.ledger import Balance
from limner.sql.models import Size

ROUNDS = 20 if os.environ.get("FAULT_FULL") == "1" else 3
PICTURE = Painted("pictures/a.png", "pictures/a.webp", "0" * 64, "image/png", 512, 512, 100)
BEGIN_AGAIN = "insert into account (email, password_hash) values ($1, 'x') returning id"
SUBSCRIBE = """
insert into subscription (account_id, plan_id, state, period_start, period_end, cycle_credits)
select $1, id, 'active', now(), now() + interval '1 month', 10 from plan limit 1
"""


async def crowd(count: int, act: Callable[[int], Awaitable[object]]) -> Counter[str]:
    """How the acts of so many at once ended."""
    ends: Counter[str] = Counter()

    async def one(number: int) -> None:
        try:
            await act(number)
            ends["accepted"] += 1
        except ledger.QuotaExhausted:
            ends["refused"] += 1

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)
    return ends


@pytest.mark.timeout(600)
async def test_of_two_hundred_orders_at_once_with_ten_credits_ten_are_accepted_every_time(db):
    for _ in range(ROUNDS):
        account = await db.fetchval(BEGIN_AGAIN, f"{uuid4()}@example.com")
        await db.execute(SUBSCRIBE, account)
        await ledger.grant(db, account, 10, "ten")

        async def order(_: int, account=account) -> None:
            await generations.order(db, Order(account, "a boat", "demo", Size(512, 512)), deadline=60)

        assert await crowd(200, order) == {"accepted": 10, "refused": 190}
        assert await ledger.balance(db, account) == Balance(available=0, held=10, spent=0)
        assert await db.fetchval("select count(*) from job where account_id = $1", account) == 10
        assert await db.fetchval("select count(*) from message where partition = $1", str(account)) == 10


async def test_a_hundred_orders_of_one_name_are_one_job_and_one_charge(db, cast, begun):
    await begun()  # the simulator has a key, and one job that is not asked about
    asked = Order(cast.alice.id, "a boat", "simulator", Size(512, 512), idempotency_key="the boat")
    found: set[object] = set()

    async def order(_: int) -> None:
        found.add(await generations.order(db, asked, deadline=60))

    assert await crowd(100, order) == {"accepted": 100}
    (generation,) = found
    (job,) = await db.fetch("select id from job where generation_id = $1", generation)
    assert await db.fetchval("select count(*) from ledger_entry where job_id = $1 and kind = 'reserve'", job["id"]) == 1
    assert await db.fetchval("select count(*) from message where key = $1", f"job {job['id']}") == 1
    assert await ledger.balance(db, cast.alice.id) == Balance(98, 2, 0)


async def test_a_worker_whose_fence_is_lost_delivers_and_charges_nothing(db, cast, begun):
    job = await begun()
    late = replace(job, fence=replace(job.fence, attempt=job.fence.attempt + 1))
    with pytest.raises(FenceLost):
        await jobs.deliver(db, late, PICTURE)
    with pytest.raises(FenceLost):
        await jobs.deliver(db, replace(job, fence=replace(job.fence, owner=uuid4())), PICTURE)
    assert await ledger.balance(db, cast.alice.id) == Balance(99, 1, 0)
    assert await db.fetchval("select count(*) from image") == 0


@pytest.mark.parametrize("function", ["pictures_deliver", "pictures_hand_over"])
async def test_a_worker_of_a_release_before_delivers_without_a_word_of_tokens(db, begun, function):
    job = await begun()
    sent = jobs._as_item(job, PICTURE)
    for later in ("usage", "thread_id", "answer"):
        del sent[later]
    assert await db.fetchval(f"select job_id from {function}($1)", [sent]) == job.id
    assert await db.fetchval("select usage is null from image")


async def test_a_picture_is_charged_as_it_ended(db, cast, begun):
    job = await begun()
    await db.execute("update job set state = 'failed', finished_at = now() where id = $1", job.id)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="no settle of job .* which is failed"):
        await db.execute(ledger.FROM_RESERVE, job.id, "settle", "it came nevertheless")
    await db.execute("update job set state = 'delivered' where id = $1", job.id)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="no release of job .* which is delivered"):
        await ledger.release(db, job.id, "it did not come")


async def test_an_invoice_is_credited_once_whoever_says_it_is_paid(db, cast):
    invoice = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    assert await invoices.settle(db, invoice.id, actor="test")
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.grant(db, cast.bob.id, invoice.credits, "again", invoice_id=invoice.id)
    assert (await ledger.balance(db, cast.bob.id)).available == 100


async def test_an_invoice_that_is_paid_already_is_not_paid_again(db, cast):
    invoice = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    ends = []

    async def settle() -> None:
        ends.append(await invoices.settle(db, invoice.id, actor="test"))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(settle)
    assert sorted(ends) == [False] * 9 + [True]


async def test_only_a_paid_invoice_is_credited_for_its_payer_over_its_credits(db, cast):
    invoice = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="not paid"):
        await ledger.grant(db, cast.bob.id, 100, "not yet", invoice_id=invoice.id)
    await db.execute("update invoice set state = 'paid', paid_at = now() where id = $1", invoice.id)
    for account, credits in ((cast.alice, 100), (cast.bob, 101)):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="other credits or somebody else"):
            await ledger.grant(db, account.id, credits, "wrong", invoice_id=invoice.id)


async def test_somebody_elses_picture_is_not_there(db, cast, begun):
    await jobs.deliver(db, await begun(), PICTURE)
    picture = await db.fetchval("select id from image")
    assert (await studio.picture(db, picture, cast.alice.id)).id == picture
    with pytest.raises(NotFound):
        await studio.picture(db, picture, cast.bob.id)


async def test_somebody_elses_invoice_is_not_there(db, cast):
    invoice = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    assert (await invoices.get(db, invoice.id, cast.bob.id)).id == invoice.id
    with pytest.raises(NotFound):
        await invoices.get(db, invoice.id, cast.alice.id)


async def test_what_is_left_of_a_period_is_what_is_left_when_it_ends(db, cast):
    """A correction between the reading and the writing: the lock makes it wait, or is waited for."""
    for _ in range(ROUNDS):
        await ledger.grant(db, cast.alice.id, 10, "a period")

        async def correct() -> None:
            try:
                await ledger.adjust(db, cast.alice.id, -4, "counted twice")
            except ledger.QuotaExhausted:
                return  # after the end there is nothing left to take

        async def end() -> None:
            await ledger.reset(db, cast.alice.id, "what was left")

        async with anyio.create_task_group() as group:
            for act in (correct, end, correct, end):
                group.start_soon(act)
        assert (await ledger.balance(db, cast.alice.id)).available == 0
    for rule, sql in books.RULES.items():
        assert await db.fetch(sql) == [], rule
