"""Tokens: never wider than their owner, never beyond their caps, and over at once when they are revoked."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from limner.http.api.catalogue import CATALOGUE
from limner.runtime.errors import Refused
from limner.sql import accounts, models, tokens
from limner.sql.tokens import Caps
from tests.api.conftest import error, json, program


async def test_only_a_hash_is_kept(alices, db):
    row = await db.fetchrow("select * from api_token")
    assert alices.token.startswith("lim_")
    assert len(alices.token) == 47
    assert alices.token not in str(dict(row))
    assert row["last_four"] == alices.token[-4:]
    assert row["token_hash"] == tokens.hashed(alices.token)


@pytest.mark.parametrize("cap", ["credits_per_day", "credits_per_month"])
async def test_fifty_orders_at_once_never_exceed_a_cap(site, cast, db, cap):
    capped = await program(site, cast.alice, **{cap: 7})
    pages = []

    async def ask():
        pages.append(await capped.order(Prefer="respond-async"))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    taken = [page for page in pages if page.status == 202]
    assert len(taken) == 7
    refused = [page for page in pages if page.status != 202]
    assert {(page.status, error(page)["code"], page.headers["x-should-retry"]) for page in refused} == {
        (429, "insufficient_quota", "false")
    }
    assert await db.fetchval("select count(*) from job") == 7


async def test_an_order_that_does_not_fit_into_the_cap_takes_nothing(site, cast, db):
    capped = await program(site, cast.alice, credits_per_day=3)
    assert (await capped.order(n=4, Prefer="respond-async")).status == 429
    assert await db.fetchval("select count(*) from generation") == 0
    assert (await capped.order(n=3, Prefer="respond-async")).status == 202


async def test_what_was_not_delivered_does_not_count(site, cast, db):
    capped = await program(site, cast.alice, credits_per_day=2)
    task = json(await capped.order(n=2, Prefer="respond-async"))
    assert (await capped.order(Prefer="respond-async")).status == 429
    json(await capped.send("DELETE", task["poll_url"]))
    assert (await capped.order(n=2, Prefer="respond-async")).status == 202


async def test_the_caps_of_one_token_are_not_anothers(site, cast):
    one, other = [await program(site, cast.alice, credits_per_day=1) for _ in range(2)]
    assert (await one.order(Prefer="respond-async")).status == 202
    assert (await one.order(Prefer="respond-async")).status == 429
    assert (await other.order(Prefer="respond-async")).status == 202


async def test_a_scope_that_is_missing(site, cast):
    reader = await program(site, cast.alice, scopes=("models:read",))
    assert (await reader.get("/v1/models")).status == 200
    page = await reader.order()
    assert (page.status, error(page)["code"]) == (403, "missing_scope")
    assert "images:write" in error(page)["message"]
    assert (await reader.get("/v1/images/tasks/00000000-0000-0000-0000-000000000007")).status == 403


async def test_a_model_that_is_not_allowed(site, cast):
    tied = await program(site, cast.alice, models=("demo",))
    assert [model["id"] for model in json(await tied.get("/v1/models"))["data"]] == ["demo"]
    page = await tied.order()
    assert (page.status, error(page)["param"]) == (403, "model")


async def test_an_address_that_is_not_allowed(site, cast):
    home = await program(site, cast.alice, networks=(ipaddress.ip_network("127.0.0.0/8"),))
    away = await program(site, cast.alice, networks=(ipaddress.ip_network("203.0.113.0/24"),))
    assert (await home.get("/v1/models")).status == 200
    page = await away.get("/v1/models", X_Forwarded_For="203.0.113.7")
    assert (page.status, error(page)["code"]) == (401, "ip_not_authorized")


async def test_an_expired_token(site, cast, db):
    late = await program(site, cast.alice, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert (await late.get("/v1/models")).status == 200
    await db.execute("update api_token set expires_at = now()")
    assert (await late.get("/v1/models")).status == 401


async def test_a_revoked_token_is_over_at_once(alices, db):
    assert (await alices.get("/v1/models")).status == 200
    await tokens.revoke(db, await db.fetchval("select id from api_token"), owner=None, actor="test")
    assert (await alices.get("/v1/models")).status == 401
    assert (await alices.order()).status == 401


async def test_the_tokens_of_somebody_who_is_banned_are_over_at_once(alices, db, cast):
    await accounts.ban(db, cast.alice, "spam", actor="test")
    assert (await alices.get("/v1/models")).status == 401


async def test_a_plan_that_ended_ends_the_orders_of_its_tokens(alices, db, cast):
    await db.execute("update subscription set period_start = now() - interval '2 days', period_end = now()")
    page = await alices.order()
    assert (page.status, error(page)["code"]) == (429, "insufficient_quota")


async def test_an_admins_token_is_no_wider_than_anybodys(site, cast):
    carols = await program(site, cast.carol)
    assert (await carols.get("/v1/models")).status == 200
    assert (await carols.get("/admin")).status == 303


@pytest.mark.parametrize(
    "caps, field",
    [
        (Caps(scopes=("admin",)), "scopes"),
        (Caps(scopes=("*",)), "scopes"),
        (Caps(scopes=()), "scopes"),
        (Caps(credits_per_day=0), "credits_per_day"),
        (Caps(credits_per_month=10**12), "credits_per_month"),
        (Caps(models=("nothing",)), "models"),
        (Caps(expires_at=datetime(2020, 1, 1, tzinfo=UTC)), "expires"),
    ],
)
async def test_caps_that_make_no_sense(db, cast, caps, field):
    with pytest.raises(Refused) as caught:
        await tokens.create(db, cast.alice, "x", caps, actor="test")
    assert caught.value.field == field


async def test_what_belongs_to_somebody_else_is_not_there(alices, site, cast):
    task = json(await alices.order(Prefer="respond-async"))
    carols = await program(site, cast.carol)
    for method in ("GET", "DELETE"):
        page = await carols.send(method, task["poll_url"])
        assert (page.status, error(page)["code"]) == (404, "not_found")
    assert json(await alices.get(task["poll_url"]))["status"] == "queued"


async def test_its_last_use_is_remembered(alices, db):
    await alices.get("/v1/models")
    row = await db.fetchrow("select last_used_at, last_used_ip from api_token")
    assert row["last_used_at"] is not None
    assert row["last_used_ip"] == "127.0.0.1"


@pytest.mark.parametrize("sent", ["sk-anything", "lim_short", "lim_" + "x" * 44])
async def test_what_can_be_no_token_asks_the_database_nothing(alices, site, db, sent):
    for table in ("model", "api_token"):
        await db.execute(f"alter table {table} rename to {table}_elsewhere")
    page = await replace(alices, token=sent).order()
    assert (page.status, error(page)["code"]) == (401, "invalid_api_key")


async def test_nobody_is_asked_about_a_model_for_a_stranger(alices, site, db):
    """What is on offer is remembered; any other name would be a question for each request."""
    site.app[CATALOGUE]._offer = (math.inf, await models.on_offer(db))
    await db.execute("alter table model rename to elsewhere")
    page = await replace(alices, token="lim_" + "x" * 43).order(model="no-such-model")
    assert (page.status, error(page)["code"]) == (401, "invalid_api_key")


async def test_a_retired_model_is_still_found_by_who_has_a_token(alices, db):
    await db.execute(
        "insert into model (id, provider_id, upstream_id, name, active, replacement)"
        " select 'older', provider_id, 'older', 'Older', false, 'simulator' from model where id = 'simulator'"
    )
    assert (await alices.order(model="older", Prefer="respond-async")).status == 202
    assert await db.fetchval("select model_id from generation") == "simulator"
