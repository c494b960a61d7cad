"""Signing in with Telegram: fields that are signed with the bot's token, of this moment, once, and for this browser."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from limner.http.telegram_login import checked, unpacked
from limner.runtime.errors import Refused
from limner.runtime.id_token import NotTrusted
from limner.sql import links, sessions
from tests.conftest import held
from tests.http.conftest import Browser, Page, Site, serving
from tests.http.factor import code_of, let_pass, set_up

TOKEN = "4839574812:AAFD39kkdpWt3ywyRZergyOLMaJhac60qcK"  # the one of Telegram's own examples
NOW = 1_800_000_000
PHOTOS = itertools.count()
ALICIA = {"id": "7001", "first_name": "Alicia", "username": "alicia"}


def said(fields: dict[str, str] = ALICIA, token: str = TOKEN, **more: str) -> dict[str, str]:
    """As Telegram says it, just now unless told otherwise; no two are the same, not even in one second."""
    fields = {"auth_date": str(int(time.time())), "photo_url": f"https://t.me/{next(PHOTOS)}.jpg"} | fields | more
    lines = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()))
    key = hashlib.sha256(token.encode()).digest()
    return fields | {"hash": hmac.new(key, lines.encode(), hashlib.sha256).hexdigest()}


def packed(fields: dict[str, str]) -> str:
    """As it stands behind the #: numbers are numbers there."""
    whole = {name: int(value) if name in ("id", "auth_date") else value for name, value in fields.items()}
    return urlsafe_b64encode(json.dumps(whole).encode()).rstrip(b"=").decode()


@pytest.fixture
async def site(dsn, tmp_path, db) -> AsyncIterator[Site]:
    async with held(serving(dsn, tmp_path, db, bot_token=TOKEN, telegram_login="@limner_bot")) as served:
        yield served


async def leave(browser: Browser, start: str = "/login/telegram") -> str:
    """Go there; the state that comes back."""
    asked = parse_qs(urlsplit((await browser.get(start)).location).query)
    return parse_qs(urlsplit(asked["return_to"][0]).query)["state"][0]


async def through(browser: Browser, start: str = "/login/telegram", fields: dict[str, str] | None = None) -> Page:
    state = await leave(browser, start)
    return await browser.get("/login/telegram/return?" + urlencode({"state": state} | (fields or said())))


async def nobody_is_in(browser: Browser, page: Page, words: str) -> None:
    assert (page.status, words in page.text) == (400, True), page.text
    assert browser.session is None


async def test_it_leads_to_telegrams_page_with_the_bots_number_and_never_its_token(stranger):
    answer = await stranger.get("/login/telegram")
    asked = parse_qs(urlsplit(answer.location).query)
    assert answer.location.startswith("https://oauth.telegram.org/auth?")
    assert (asked["bot_id"], asked["origin"]) == (["4839574812"], [stranger.site.url])
    assert TOKEN.partition(":")[2] not in answer.location
    assert "Log in with Telegram" in (await stranger.get("/login")).text


async def test_alice_links_it_and_comes_in_by_it(site, alice, db, cast):
    assert (await through(alice, "/account/security/telegram")).location == "/account/security"
    page = await alice.get("/account/security")
    assert "Alicia @alicia" in page.text
    assert (
        await db.fetchval("select details ->> 'provider' from notice where template = 'sign_in_linked'") == "Telegram"
    )
    browser = await site.browser()
    assert (await through(browser, "/login/telegram?next=/gallery")).location == "/gallery"
    assert "alice@example.com" in (await browser.get("/account")).text
    session = await sessions.find(db, browser.session)
    assert session is not None
    assert not session.is_fresh, "Telegram's word alone is no proof for keys and money"


async def test_what_stands_behind_the_number_sign_is_sent_by_our_own_page(site, alice):
    await through(alice, "/account/security/telegram")
    browser = await site.browser()
    state = await leave(browser)
    page = await browser.get(f"/login/telegram/return?state={state}")
    assert (page.status, page.values("state")) == (200, [state])
    answer = await browser.post("/login/telegram/return", {"state": state, "result": packed(said())})
    assert (answer.status, answer.location) == (303, "/dashboard")


async def test_whoever_is_not_linked_is_told_how(stranger, db):
    await nobody_is_in(stranger, await through(stranger), "No account here knows this Telegram yet")
    assert await db.fetchval("select count(*) from account") == 3


async def test_a_second_factor_is_asked_for_here_too(site, alice, db, cast):
    await through(alice, "/account/security/telegram")
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    browser = await site.browser()
    assert (await through(browser)).location == "/login/code"
    assert browser.session is None
    assert (await browser.post("/login/code", {"code": await code_of(db, secret)})).location == "/dashboard"


async def test_taking_it_away_shuts_the_door(site, alice, db, cast):
    await through(alice, "/account/security/telegram")
    assert (await alice.post("/account/security/links/telegram/removal")).location == "/account/security"
    assert await links.of_account(db, cast.alice.id) == []
    browser = await site.browser()
    await nobody_is_in(browser, await through(browser), "No account here knows")


@pytest.fixture
async def linked(alice) -> None:
    await through(alice, "/account/security/telegram")


@pytest.mark.usefixtures("linked")
@pytest.mark.parametrize(
    "fields, words",
    [
        (said() | {"id": "7002"}, "signature"),
        (said() | {"first_name": "Eve"}, "signature"),
        (said() | {"more": "x"}, "signature"),
        (said(token="4839574812:another"), "signature"),
        (said(token=""), "signature"),
        (said() | {"hash": ""}, "signature"),
        (said() | {"hash": "0" * 64}, "signature"),
        (said() | {"hash": "ü"}, "signature"),
        (said(auth_date=str(int(time.time()) - 2400)), "too old"),
        (said(auth_date=str(int(time.time()) + 2400)), "too old"),
        (said(auth_date="soon"), "not what Telegram says"),
        (said(id="-7001"), "not what Telegram says"),
        (said(id="٧٠٠١"), "not what Telegram says"),
        (said(first_name="A\nid=7001"), "not what Telegram says"),
    ],
)
async def test_what_telegram_did_not_say_now_opens_nothing(stranger, fields, words):
    await nobody_is_in(stranger, await through(stranger, fields=fields), words)


@pytest.mark.usefixtures("linked")
async def test_its_word_counts_once_wherever_it_comes_from(site, db):
    fields = said()
    assert (await through(await site.browser(), fields=fields)).status == 303
    for _ in range(2):
        browser = await site.browser()
        await nobody_is_in(browser, await through(browser, fields=fields), "used already")


@pytest.mark.usefixtures("linked")
async def test_nobody_is_led_into_somebody_elses_account(site, bob, stranger):
    """A link with the attacker's own fresh fields, in a browser that never went to Telegram."""
    for browser in (stranger, bob):
        page = await browser.get("/login/telegram/return?" + urlencode({"state": "x"} | said()))
        assert (page.status, "did not begin in this browser" in page.text) == (400, True)
    assert stranger.session is None
    other = await leave(await site.browser())
    page = await stranger.get("/login/telegram/return?" + urlencode({"state": other} | said()))
    await nobody_is_in(stranger, page, "did not begin in this browser")


@pytest.mark.usefixtures("linked")
async def test_a_state_of_another_door_does_not_open_this_one(dsn, tmp_path, db):
    issuer = {"oidc_issuer": "http://127.0.0.1:9", "oidc_client_id": "x"}
    async with serving(dsn, tmp_path, db, bot_token=TOKEN, telegram_login="limner_bot", **issuer) as site:
        browser = await site.browser()
        state = await leave(browser)
        page = await browser.get(f"/login/oidc/return?code=x&state={state}")
        await nobody_is_in(browser, page, "did not begin in this browser")


@pytest.mark.usefixtures("linked")
@pytest.mark.parametrize("result", ["", "false", "x", "e30", "W10", "!!!!", packed(said())[:-3], "x" * 4001])
async def test_a_result_that_is_none_lets_nobody_in(stranger, result):
    state = await leave(stranger)
    page = await stranger.post("/login/telegram/return", {"state": state, "result": result})
    assert (page.status, stranger.session) == (400, None)


async def test_linking_asks_for_a_fresh_proof(alice, db):
    await db.execute("update session set proved_at = null")
    answer = await alice.get("/account/security/telegram")
    assert answer.location == "/account/proof?next=%2Faccount%2Fsecurity%2Ftelegram"


async def test_one_telegram_opens_one_account(alice, bob):
    await through(alice, "/account/security/telegram")
    page = await through(bob, "/account/security/telegram")
    assert (page.status, "belongs to another account" in page.text) == (409, True)


@pytest.mark.parametrize("age, holds", [(-61, False), (-60, True), (0, True), (600, True), (601, False)])
def test_ten_minutes_count(age, holds):
    fields = said(auth_date=str(NOW - age))
    if holds:
        assert checked(fields, TOKEN, NOW) == ("7001", "Alicia @alicia")
    else:
        with pytest.raises(NotTrusted, match="too old"):
            checked(fields, TOKEN, NOW)


def test_without_a_token_nothing_is_signed():
    with pytest.raises(NotTrusted):
        checked(said(token="", auth_date=str(NOW)), "", NOW)


@pytest.mark.parametrize("result", ["W1tdXQ", "eyJhIjp7fX0", "eyJhIjpudWxsfQ", "W" * 3000])
def test_only_flat_fields_are_read(result):
    with pytest.raises(Refused):
        unpacked(result)


async def test_without_the_settings_there_is_no_such_door(dsn, tmp_path, db):
    for more in ({}, {"bot_token": TOKEN}):
        async with serving(dsn, tmp_path, db, **more) as site:
            browser = await site.browser()
            assert (await browser.get("/login/telegram")).status == 404
            assert "Telegram" not in (await browser.get("/login")).text
