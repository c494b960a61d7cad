"""Register, log in, log out: uniform answers, limits before hashing, fresh sessions, and cookies that stay here."""

from __future__ import annotations

import re

import pytest

from limner.sql import sessions, throttles
from tests.http.conftest import serving

ALICE = {"email": "alice@example.com", "password": "alice-likes-vermilion"}
DORA = {"email": "dora@example.com", "password": "dora-likes-verdigris"}


async def test_whoever_registers_is_in_and_is_led_to_the_plans(stranger, db):
    answer = await stranger.post("/register", DORA)
    assert (answer.status, answer.location) == (303, "/plans")
    assert "dora@example.com" in (await stranger.get("/account")).text
    stored = await db.fetchval("select password_hash from account where email_key = 'dora@example.com'")
    assert stored.startswith("$argon2id$")


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("email", "nonsense", "does not look like an e-mail address"),
        ("email", "ALICE@example.com", "account with this address already"),
        ("email", "", "is missing"),
        ("password", "short", "has 10 to 256 characters"),
        ("password", "p" * 257, "at most 256 characters"),
        ("password", "p" * 256, "among the first that would be tried"),
        ("password", "Password1234", "among the first that would be tried"),
        ("password", "dora@example.com", "among the first that would be tried"),
        ("password", "limnerlimner", "among the first that would be tried"),
    ],
)
async def test_a_refused_registration_says_why_and_keeps_the_address(stranger, db, field, value, words):
    page = await stranger.post("/register", DORA | {field: value})
    assert 400 <= page.status < 500
    assert words in page.text
    assert page.values("email") == [(DORA | {field: value})["email"]] or field == "password"
    assert await db.fetchval("select count(*) from account") == 3


async def test_alice_logs_in_and_out(stranger):
    assert (await stranger.post("/login", ALICE)).location == "/dashboard"
    assert (await stranger.get("/dashboard")).status == 200
    token = stranger.session
    assert (await stranger.post("/logout")).location == "/"
    assert (await stranger.get("/dashboard")).location.startswith("/login")
    replayed = await stranger.send("GET", "/dashboard", cookies={"session": token})
    assert replayed.location.startswith("/login")


async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(stranger):
    known = await stranger.post("/login", ALICE | {"password": "alice-likes-madder"})
    unknown = await stranger.post("/login", {"email": "alicf@example.com", "password": "alice-likes-madder"})
    assert known.status == unknown.status == 400
    assert known.text.replace("alice@", "…@") == unknown.text.replace("alicf@", "…@")


async def test_five_wrong_passwords_close_the_account_even_to_the_right_one(stranger):
    for number in range(5):
        page = await stranger.post("/login", ALICE | {"password": f"alice-likes-madder-{number}"})
        assert page.status == 400
    page = await stranger.post("/login", ALICE)
    assert (page.status, "Set-Cookie" in page.headers) == (429, False)
    assert 1 <= int(page.headers["Retry-After"]) <= 900
    assert "too often" in page.text


@pytest.mark.parametrize(
    "path, rate, bucket, form",
    [
        ("/login", throttles.LOGIN_BY_ADDRESS, "login from 127.0.0.1", ALICE),
        ("/register", throttles.REGISTER_BY_ADDRESS, "register 127.0.0.1", DORA),
    ],
)
async def test_one_place_may_only_try_so_often(stranger, db, path, rate, bucket, form):
    for _ in range(rate.burst):
        await throttles.take(db, rate, bucket)
    page = await stranger.post(path, form)
    assert page.status == 429
    assert "Retry-After" in page.headers


async def test_a_success_forgets_the_failures(stranger, db):
    for _ in range(4):
        await stranger.post("/login", ALICE | {"password": "alice-likes-madder"})
    await stranger.post("/login", ALICE)
    assert await db.fetchval("select count(*) from throttle where key = 'login alice@example.com'") == 0


async def test_logging_in_gives_a_new_session_and_ends_the_one_before(alice, db, cast):
    before = alice.session
    answer = await alice.post("/login", ALICE)
    assert answer.status == 303
    assert alice.session != before
    assert await sessions.find(db, before) is None


async def test_a_session_that_somebody_planted_is_not_taken_over(stranger, db):
    await stranger.csrf()
    stranger.client.cookie_jar.update_cookies({"session": "planted-by-somebody-else-0123456789abcdefghi"})
    await stranger.post("/login", ALICE)
    assert stranger.session != "planted-by-somebody-else-0123456789abcdefghi"
    assert re.fullmatch(r"[\w-]{43}", stranger.session)


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_of_other_sites(stranger):
    answer = await stranger.post("/login", ALICE)
    line = answer.cookies()["session"]
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in line.split(";")}
    assert "Domain" not in line


async def test_on_https_the_cookie_belongs_to_this_host_alone(dsn, tmp_path, db):
    async with serving(dsn, tmp_path, db, public_url="https://limner.test") as site:
        browser = await site.browser()
        page = await browser.get("/login")
        visitor = page.cookies()["__Host-visitor"]
        answer = await browser.send(
            "POST",
            "/login",
            data=ALICE | {"csrf": page.csrf},
            headers={"Origin": "https://limner.test"},
            cookies={"__Host-visitor": visitor.partition(";")[0].partition("=")[2]},
        )
        assert answer.status == 303
        line = answer.cookies()["__Host-session"]
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in line.split(";")}
        assert "Domain" not in line
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


@pytest.mark.parametrize("goal", ["/studio", "/pictures/1?download=1"])
async def test_afterwards_one_goes_where_one_wanted(stranger, goal):
    assert (await stranger.post("/login", ALICE | {"next": goal})).location == goal


@pytest.mark.parametrize(
    "goal",
    [
        "https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "javascript:alert(1)", "http://[",
        "/a\r\nSet-Cookie: x=1", "/\t/evil.test", "evil", "/\u2028x",
    ],
)  # fmt: skip
async def test_afterwards_nobody_is_led_off_the_site(stranger, goal):
    page = await stranger.send("GET", "/login", params={"next": goal})
    assert (page.status, page.values("next")) == (200, [])
    assert (await stranger.post("/login", ALICE | {"next": goal})).location == "/dashboard"


async def test_whoever_is_in_has_no_use_for_the_login_page(alice):
    for path in ("/login", "/register"):
        assert (await alice.get(path)).location == "/dashboard"


async def test_a_page_for_members_leads_through_the_login_and_back(stranger):
    answer = await stranger.get("/gallery?before=x")
    assert answer.location == "/login?next=%2Fgallery%3Fbefore%3Dx"
    assert (await stranger.get(answer.location)).values("next") == ["/gallery?before=x"]


async def test_a_banned_account_cannot_log_in_and_is_told_so(stranger, db, cast):
    await db.execute("update account set banned_at = now() where id = $1", cast.bob.id)
    page = await stranger.post("/login", {"email": "bob@example.com", "password": "bob-likes-vermilion"})
    assert (page.status, "account is closed" in page.text) == (400, True)


async def test_logging_out_clears_what_the_browser_kept(alice):
    assert (await alice.post("/logout")).headers["Clear-Site-Data"] == '"cache", "storage"'
