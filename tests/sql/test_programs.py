"""Programs that come in and order with one statement: as step by step, and only where nothing is unusual."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import pytest

from limner.sql import generations, ledger, programs, tokens
from limner.sql.generations import Order
from limner.sql.models import Size
from limner.sql.programs import Entry, RefusedByTheBooks
from limner.sql.tokens import Caps

NOBODY = UUID(int=0)
ASKED = Order(
    NOBODY, "a fox in the snow", "demo", Size(512, 512), count=2, request_hash=bytes(32), most_unfinished=1000
)
BOOKED = """
select g.account_id, g.model_id, g.prompt, g.width, g.height, g.count, g.credits, g.parameters, g.api_token_id, g.plan_id,
    g.plan_cents, g.plan_currency, g.plan_credits, g.partial_images, g.idempotency_key, g.request_hash, g.state,
    j.position, j.credits as each, round(extract(epoch from j.deadline - j.created_at)) as seconds,
    m.mailbox, m.kind, m.partition, m.partition_limit, m.priority, m.key = 'job ' || j.id as is_named,
    e.kind as entry, e.credits as held, e.why
from generation as g join job as j on j.generation_id = g.id join message as m on m.payload ->> 'job_id' = j.id::text
    join ledger_entry as e on e.job_id = j.id
where g.id = $1 order by j.position
"""


async def comes(db, token: str, asked: Order = ASKED, **more: Any) -> Entry | None:
    return await programs.order(db, token, asked, **{"ip": "192.0.2.1", "per_minute": 100, "deadline": 60} | more)


@pytest.fixture
def token_of(db):
    async def make(account, **caps: Any) -> str:
        return await tokens.create(db, account, "mine", Caps(**caps), actor="test")

    return make


async def test_the_books_say_the_same_as_step_by_step(db, cast, token_of):
    token = await token_of(cast.alice)
    at_once = await comes(db, token)
    entered = await programs.enter(db, token, ip="192.0.2.1", per_minute=100, model_id="demo")
    found, offer = entered
    after = replace(ASKED, account_id=cast.alice.id, api_token_id=found.id)
    stepwise = await generations.order(db, after, deadline=60, offer=offer)
    one, other = await db.fetch(BOOKED, at_once.generation_id), await db.fetch(BOOKED, stepwise)
    assert [dict(row) for row in one] == [dict(row) for row in other]
    assert len(one) == 2
    assert replace(at_once.token, left=0, held=0) == replace(found, left=0, held=0)
    assert found.left < at_once.token.left <= found.left + 1  # it fills up meanwhile


async def test_a_plans_longest_wait_is_the_deadline_also_here(db, cast, token_of):
    await db.execute("update plan set longest_wait_seconds = 20")
    entry = await comes(db, await token_of(cast.alice), deadline=60)
    assert {row["seconds"] for row in await db.fetch(BOOKED, entry.generation_id)} == {20}


@pytest.mark.parametrize(
    ("caps", "change"),
    [
        ({"models": ("simulator",)}, None),
        ({"networks": (ip_network("198.51.100.0/24"),)}, None),
        ({"scopes": ("images:read",)}, None),
        ({}, "update plan set allowed_models = '{simulator}'"),
        ({}, "update subscription set paused_at = now()"),
        ({}, "update subscription set period_end = now()"),
        ({}, "update model set active = false where id = 'demo'"),
        ({}, "update model set sizes = '{1024x1024}' where id = 'demo'"),
        ({}, "delete from subscription"),
    ],
)
async def test_what_is_unusual_comes_in_and_orders_nothing(db, cast, token_of, caps, change):
    token = await token_of(cast.alice, **caps)
    if change:
        await db.execute(change)
    entry = await comes(db, token)
    assert (entry.token.account_id, entry.generation_id) == (cast.alice.id, None)
    assert await db.fetchval("select count(*) from generation") == 0


async def test_the_last_request_of_the_minute_orders_and_the_next_one_does_not(db, cast, token_of):
    token = await token_of(cast.alice)
    one, other = await comes(db, token, per_minute=1), await comes(db, token, per_minute=1)
    assert (one.generation_id is None, other.generation_id, other.token.left) == (False, None, None)


async def test_a_stranger_orders_nothing_and_wakes_nobody(db):
    told: list[str] = []
    async with db.pool.acquire() as connection:
        await connection.add_listener("message_sent", lambda *about: told.append(about[-1]))
        assert await comes(db, "lim_" + "x" * 43) is None
        await db.execute("select pg_notify('message_sent', 'the end')")
        while not told:
            await asyncio.sleep(0.01)
        await connection.reset()
    assert told == ["the end"]
    assert await db.fetchval("select count(*) from generation") == 0


async def test_who_cannot_pay_has_not_come_in_and_takes_nobody_along(db, cast, token_of):
    rich, poor = await token_of(cast.alice), await token_of(cast.alice, credits_per_day=1)
    found = await asyncio.gather(*(comes(db, each) for each in (rich, poor, rich)), return_exceptions=True)
    assert isinstance(found[1], RefusedByTheBooks)
    assert None not in (found[0].generation_id, found[2].generation_id)
    assert (await ledger.balance(db, cast.alice.id)).held == 4
    assert 98 <= await db.fetchval("select left_over from api_rate") < 99  # two have come in; it fills up meanwhile


async def test_who_has_too_few_credits_comes_in_and_orders_nothing(db, cast, token_of):
    await db.execute("update model set credits = 1000000 where id = 'demo'")
    entry = await comes(db, await token_of(cast.alice))
    assert (entry.token.account_id, entry.generation_id) == (cast.alice.id, None)
    assert 99 <= await db.fetchval("select left_over from api_rate") <= 100
