"""The same name gives the same order, charged once: at once, later, and after the connection broke."""

from __future__ import annotations

import anyio

from limner.http.api.catalogue import CATALOGUE
from tests.api.conftest import error, json, program
from tests.http.conftest import available
from tests.http.painting import take_up


async def test_a_hundred_equal_orders_are_one(working, db, cast):
    before = await available(db, cast.alice)
    pages = []

    async def ask():
        pages.append(await working.order(Idempotency_Key="the-boat", n=2))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
    found = [json(page) for page in pages]
    assert len(found) == 100
    assert len({answer["metadata"]["generation"] for answer in found}) == 1
    assert len({picture["b64_json"] for answer in found for picture in answer["data"]}) == 2
    assert await db.fetchval("select count(*) from generation") == 1
    assert await available(db, cast.alice) == before - 2


async def test_the_order_of_fields_makes_no_difference_and_their_values_do(alices):
    kwargs = {"Idempotency_Key": "k", "Prefer": "respond-async"}
    first = json(await alices.order(n=1, prompt="x", **kwargs))
    assert json(await alices.order(prompt="x", n=1, **kwargs))["id"] == first["id"]
    assert (await alices.order(prompt="y", n=1, **kwargs)).status == 422


async def test_a_name_is_free_again_after_a_day(alices, db):
    first = json(await alices.order(Idempotency_Key="k", Prefer="respond-async"))
    await db.execute("update generation set created_at = now() - interval '25 hours'")
    again = json(await alices.order(Idempotency_Key="k", Prefer="respond-async", prompt="another"))
    assert again["id"] != first["id"]


async def test_two_accounts_may_use_the_same_name(alices, site, cast, db):
    carols = await program(site, cast.carol)
    await db.execute("update subscription set account_id = $1", cast.carol.id)
    await db.execute("insert into ledger_entry (account_id, kind, credits) values ($1, 'grant', 5)", cast.carol.id)
    assert (await carols.order(Idempotency_Key="k", Prefer="respond-async")).status == 202
    assert (await alices.order(Idempotency_Key="k", Prefer="respond-async")).status == 429


async def test_whoever_hangs_up_loses_nothing(working, at_work, db, cast):
    """The connection breaks in the middle; the order goes on, and its name finds it."""
    from tests.api.conftest import switch

    await switch(at_work, "slow seconds=1")
    with anyio.move_on_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(working.order, "/v1/images/generations")
            await at_work.until(
                "generation_changed", lambda: db.fetchval("select exists (select from job where state = 'running')")
            )
            group.cancel_scope.cancel()
    await at_work.until("generation_ended", lambda: db.fetchval("select exists (select from image)"))
    alice = await at_work.browser(cast.alice)
    assert "a red boat" in (await alice.get("/gallery")).text


async def gone(site) -> None:
    """Every key is dead, so no model is on offer."""
    await site.db.execute("update provider_key set state = 'disabled'")
    site.app[CATALOGUE]._forget(None)


async def test_the_same_order_is_found_when_its_model_is_not_on_offer_any_more(alices, site, db):
    task = json(await alices.order(Idempotency_Key="k", Prefer="respond-async"))
    easel = await take_up(site)
    await gone(site)
    assert (await alices.order()).status == 404
    assert json(await alices.order(Idempotency_Key="k", Prefer="respond-async"))["id"] == task["id"]
    await easel.deliver()
    assert json(await alices.order(Idempotency_Key="k"))["metadata"]["generation"] == task["id"]
    other = await alices.order(Idempotency_Key="k", prompt="another")
    assert (other.status, error(other)["code"]) == (422, "idempotency_key_reused")
    assert await db.fetchval("select count(*) from generation") == 1
