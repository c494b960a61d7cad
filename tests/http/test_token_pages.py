"""API tokens on the account page: shown once, capped as typed, revoked at once, and nobody else's business."""

from __future__ import annotations

import re

import pytest

from limner.sql import tokens
from limner.sql.tokens import Caps

FORM = [("name", "my script"), *(("scopes", scope) for scope in tokens.SCOPES)]


def shown(page) -> str:
    return re.search(r'value="(lim_[\w-]{43})"', page.text)[1]


async def test_a_token_is_shown_once(alice, db):
    page = await alice.post("/account/tokens", FORM)
    token = shown(page)
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    again = await alice.get("/account/tokens")
    assert token not in again.text
    assert token[-4:] in again.text
    assert await tokens.find(db, token, ip="", per_minute=600, takes=False)


async def test_its_caps_are_what_was_typed(alice, db):
    more = [("credits_per_day", "5"), ("credits_per_month", "50"), ("expires", "2099-01-31"), ("models", "demo")]
    await alice.post(
        "/account/tokens", [("name", "x"), ("scopes", "images:write"), *more, ("networks", "192.0.2.1, 2001:db8::/32")]
    )
    row = await db.fetchrow("select * from api_token")
    assert (row["scopes"], row["models"]) == (["images:write"], ["demo"])
    assert (row["credits_per_day"], row["credits_per_month"]) == (5, 50)
    assert row["expires_at"].isoformat() == "2099-01-31T23:59:59.999999+00:00"
    assert [str(network) for network in row["networks"]] == ["192.0.2.1/32", "2001:db8::/32"]


@pytest.mark.parametrize(
    "fields, words",
    [
        ([("name", ""), ("scopes", "images:read")], "The name is missing"),
        ([("name", "x")], "at least one thing"),
        ([("name", "x"), ("scopes", "admin")], "no scope &#39;admin&#39;"),
        ([("name", "x"), ("scopes", "*")], "no scope"),
        ([*FORM, ("credits_per_day", "0")], "whole number from 1"),
        ([*FORM, ("credits_per_day", "1e3")], "whole number from 1"),
        ([*FORM, ("expires", "2020-01-01")], "is over"),
        ([*FORM, ("expires", "9999")], "A day looks like"),
        ([*FORM, ("networks", "example.com")], "no address and no network"),
        ([*FORM, ("models", "nothing")], "no model"),
    ],
)
async def test_what_makes_no_sense_is_refused_on_the_same_page(alice, db, fields, words):
    page = await alice.post("/account/tokens", fields)
    assert page.status == 400
    assert words in page.text
    assert await db.fetchval("select count(*) from api_token") == 0


async def test_nobody_makes_a_token_of_somebody_else(alice, cast, db):
    await alice.post("/account/tokens", [*FORM, ("user_id", str(cast.carol.id)), ("account_id", str(cast.carol.id))])
    assert await db.fetchval("select account_id from api_token") == cast.alice.id


async def test_revoked_by_its_owner_alone(alice, bob, db, cast):
    token = await tokens.create(db, cast.alice, "x", Caps(), actor="test")
    path = f"/account/tokens/{await db.fetchval('select id from api_token')}/revocation"
    assert (await bob.post(path)).status == 404
    assert await tokens.find(db, token, ip="", per_minute=600, takes=False)
    page = await alice.post(path)
    assert (page.status, page.location) == (303, "/account/tokens")
    assert await tokens.find(db, token, ip="", per_minute=600, takes=False) is None
    assert "revoked" in (await alice.get("/account/tokens")).text
    assert (await alice.post(path)).status == 404


async def test_both_are_in_the_audit_without_the_token(alice, db, cast):
    token = shown(await alice.post("/account/tokens", FORM))
    await alice.post(f"/account/tokens/{await db.fetchval('select id from api_token')}/revocation")
    rows = await db.fetch("select actor, action, ip, after from audit where action like 'token.%' order by id")
    assert [row["action"] for row in rows] == ["token.create", "token.revoke"]
    assert {row["actor"] for row in rows} == {cast.alice.email}
    assert token not in str(rows)


async def test_there_is_an_end_to_tokens(alice, db, cast):
    for number in range(tokens.MOST):
        await tokens.create(db, cast.alice, str(number), Caps(), actor="test")
    page = await alice.post("/account/tokens", FORM)
    assert (page.status, "At most" in page.text) == (400, True)


async def test_the_api_page_has_the_readers_own_address(stranger, site):
    page = await stranger.get("/api")
    assert page.text.count(f"{site.url}/v1") >= 4
    assert 'href="/v1/openapi.json"' in page.text
    assert 'href="/api"' in (await stranger.get("/")).text
