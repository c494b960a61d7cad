"""What many want of the database at the same time goes out as one statement, and each gets his own answer."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from limner.runtime.errors import NotFound
from limner.sql import accounts, answers, generations, ledger, terms, tokens
from limner.sql.generations import Order
from limner.sql.ledger import QuotaExhausted
from limner.sql.models import Size
from limner.sql.subscriptions import NoSubscription
from limner.sql.tokens import Caps


def order(account, **more) -> Order:
    return Order(account.id, "a fox in the snow", "demo", Size(512, 512), **more)


async def test_orders_of_many_are_each_answered_and_reserved_once(db, cast):
    before = (await ledger.balance(db, cast.alice.id)).held
    wanted = [order(cast.alice), order(cast.bob), order(cast.alice, count=2), order(cast.alice, pictures=(uuid4(),))]
    found = await asyncio.gather(*(generations.order(db, each, deadline=60) for each in wanted), return_exceptions=True)
    assert isinstance(found[1], NoSubscription)
    assert isinstance(found[3], NotFound)
    assert await db.fetchval("select count(*) from job where generation_id = any($1)", [found[0], found[2]]) == 3
    assert (await ledger.balance(db, cast.alice.id)).held == before + 3


async def test_one_who_cannot_pay_takes_nobody_along(db, cast):
    left = (await ledger.balance(db, cast.alice.id)).available
    wanted = [generations.order(db, order(cast.alice), deadline=60) for _ in range(left + 7)]
    found = await asyncio.gather(*wanted, return_exceptions=True)
    assert sum(isinstance(each, QuotaExhausted) for each in found) == 7
    assert await db.fetchval("select count(*) from job where account_id = $1", cast.alice.id) == left
    assert (await ledger.balance(db, cast.alice.id)).available == 0


async def test_the_same_name_at_the_same_time_is_one_order(db, cast):
    wanted = [generations.order(db, order(cast.alice, idempotency_key="fox"), deadline=60) for _ in range(30)]
    assert len(set(await asyncio.gather(*wanted))) == 1
    assert await db.fetchval("select count(*) from job where account_id = $1", cast.alice.id) == 1


async def test_tokens_come_in_together_and_each_as_itself(db, cast):
    alices = await tokens.create(db, cast.alice, "a", Caps(), actor="test")
    bobs = await tokens.create(db, cast.bob, "b", Caps(), actor="test")
    unknown = "lim_" + "x" * 43
    asked = [alices, bobs, unknown, alices]
    found = await asyncio.gather(*(tokens.find(db, each, ip="::1", per_minute=3, takes=True) for each in asked))
    assert [each and each.account_id for each in found] == [cast.alice.id, cast.bob.id, None, cast.alice.id]
    more = [await tokens.find(db, alices, ip="::1", per_minute=3, takes=True) for _ in range(2)]
    assert more[0] is not None
    assert more[0].left is not None
    assert more[1] is not None
    assert more[1].left is None


async def test_answers_and_terms_reach_whom_they_are_for(db, cast):
    token = await tokens.find(
        db, await tokens.create(db, cast.alice, "a", Caps(), actor="test"), ip="", per_minute=60, takes=True
    )
    assert token is not None
    ids = [await generations.order(db, order(cast.alice, count=n), deadline=60) for n in (1, 3)]
    found = await asyncio.gather(
        *(answers.order(db, each, token) for each in [*ids, uuid4(), *ids]), return_exceptions=True
    )
    assert isinstance(found[2], NotFound)
    assert [len(each.answers) for each in found if isinstance(each, answers.Order)] == [1, 3, 1, 3]
    agreed = await asyncio.gather(
        terms.agreed(db, cast.alice.id, "demo"), terms.agreed(db, cast.bob.id, "demo-1"), return_exceptions=True
    )
    assert isinstance(agreed[0], terms.Terms)
    assert isinstance(agreed[1], NoSubscription)


@pytest.mark.parametrize("count", [1, 20])
async def test_a_stranger_with_no_account_orders_nothing(db, count):
    nobody = accounts.Account(uuid4(), "n@example.com", "user", "en", None, None, None, None)  # type: ignore[arg-type]
    found = await asyncio.gather(
        *(generations.order(db, order(nobody), deadline=60) for _ in range(count)), return_exceptions=True
    )
    assert all(isinstance(each, NoSubscription) for each in found)
