"""A mail when somebody comes in from a device or a place that was not seen before: once, in their language, unless not wanted."""

from __future__ import annotations

import pytest

from limner.sql import accounts, places, sign_ins
from tests.http.conftest import Browser
from tests.http.factor import ALICE, code_of, let_pass, set_up

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEWER = FIREFOX.replace("140.0", "141.0")
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 "
    "Mobile/15E148 Safari/604.1"
)
MAILS = "select recipient, locale, details from notice where template = 'sign_in_new' order by id"


async def logs_in(browser: Browser, agent: str, **form: str) -> int:
    fields = ALICE | {"csrf": (await browser.get("/login")).csrf} | form
    headers = {"User-Agent": agent, "Origin": browser.site.url}
    return (await browser.send("POST", "/login", data=fields, headers=headers)).status


async def test_the_first_device_is_ones_own_and_another_one_is_told_once(site, db, cast):
    await accounts.set_locale(db, cast.alice.id, "ru")
    assert await logs_in(await site.browser(), FIREFOX) == 303
    assert await db.fetch(MAILS) == []
    assert await logs_in(await site.browser(), NEWER) == 303, "a newer version of the same"
    assert await db.fetch(MAILS) == []
    for _ in range(2):
        assert await logs_in(await site.browser(), PHONE) == 303
    (mail,) = await db.fetch(MAILS)
    assert (mail["recipient"], mail["locale"]) == (cast.alice.email, "ru")
    assert (mail["details"]["device"], mail["details"]["ip"]) == ("Safari, iPhone", "127.0.0.1")


async def test_another_network_is_told_too_and_the_next_house_is_not(db, cast):
    for ip, mails in (
        ("192.0.2.1", 0),
        ("192.0.2.200", 0),
        ("198.51.100.1", 1),
        ("198.51.100.1", 1),
        ("2001:db8::1", 2),
        ("2001:db8::2", 2),
    ):
        await sign_ins.came_in(db, cast.alice, ip=ip, agent=FIREFOX)
        assert len(await db.fetch(MAILS)) == mails, ip


async def test_who_does_not_want_them_gets_none_and_the_device_is_known_all_the_same(alice, db, cast):
    await sign_ins.came_in(db, cast.alice, ip="192.0.2.1", agent=FIREFOX)
    assert "Switch them off" in (await alice.get("/account/security")).text
    assert (await alice.post("/account/security/mails")).location == "/account/security"
    await sign_ins.came_in(db, cast.alice, ip="192.0.2.1", agent=PHONE)
    assert (await alice.post("/account/security/mails", {"wanted": "1"})).status == 303
    await sign_ins.came_in(db, cast.alice, ip="192.0.2.1", agent=PHONE)
    assert await db.fetch(MAILS) == []
    await sign_ins.came_in(db, cast.alice, ip="203.0.113.1", agent=PHONE)
    assert len(await db.fetch(MAILS)) == 1


async def test_a_password_alone_makes_no_place_known_where_there_is_a_second_factor(alice, site, db, cast):
    """Who has only the password does not quietly become somebody who was here before."""
    await sign_ins.came_in(db, cast.alice, ip="192.0.2.1", agent=FIREFOX)
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    thief = await site.browser()
    assert await logs_in(thief, PHONE) == 303
    assert await db.fetch(MAILS) == []
    page = await thief.get("/login/code")
    form = {"code": await code_of(db, secret), "csrf": page.csrf}
    await thief.send("POST", "/login/code", data=form, headers={"User-Agent": PHONE, "Origin": site.url})
    assert len(await db.fetch(MAILS)) == 1


async def test_a_wrong_password_tells_nobody(site, db, cast):
    await sign_ins.came_in(db, cast.alice, ip="192.0.2.1", agent=FIREFOX)
    await logs_in(await site.browser(), PHONE, password="wrong-wrong-wrong")
    assert await db.fetch(MAILS) == []


@pytest.mark.parametrize("agent, name", [
    (FIREFOX, "Firefox, Windows"), (PHONE, "Safari, iPhone"), ("", ""), ("curl/8.0", ""),
    ("Your account is closed! http://evil.example", ""),
    ("Mozilla/5.0 (X11; Linux x86_64) Chrome/139.0 Safari/537.36", "Chrome, Linux"),
    ("Mozilla/5.0 (Windows NT 10.0) Chrome/139.0 Safari/537.36 Edg/139.0", "Edge, Windows"),
    ("Mozilla/5.0 (Linux; Android 16) Chrome/139.0 Mobile Safari/537.36 OPR/90", "Opera, Android"),
])  # fmt: skip
def test_a_device_is_named_in_our_words_alone(agent, name):
    assert places.device(agent) == name


async def test_places_are_forgotten_with_time_and_with_the_account(db, cast):
    await sign_ins.came_in(db, cast.alice, ip="192.0.2.1", agent=FIREFOX)
    await db.execute("update known_place set seen_at = now() - interval '181 days'")
    await sign_ins.forget_old(db)
    assert await db.fetchval("select count(*) from known_place") == 0
