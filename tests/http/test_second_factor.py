"""The second factor: set up with a code, asked for after the password, each code taken once, forced on admins."""

from __future__ import annotations

import re

import pytest

from limner.runtime.errors import NotFound
from limner.runtime.vault import Vault
from limner.sql import accounts, desk, erasure, factors, links, pending_sign_ins, sessions, sign_ins
from tests.http.conftest import Browser, serving
from tests.http.factor import ALICE, code_of, let_pass, set_up


async def test_alice_sets_it_up_and_it_counts_once_she_typed_a_code(alice, db, cast):
    assert (await alice.post("/account/security/totp")).location == "/account/security/totp"
    page = await alice.get("/account/security/totp")
    secret = re.search(r'id="secret" value="([^"]+)"', page.text)[1].replace(" ", "")
    assert len(secret) == 32
    assert "<svg" in page.text
    assert await factors.standing(db, cast.alice.id) is None
    page = await alice.post("/account/security/totp/confirmation", {"code": await code_of(db, secret)})
    codes = re.findall(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}", page.text)
    assert (page.status, len(set(codes))) == (200, 10)
    assert (await factors.standing(db, cast.alice.id)).codes_left == 10
    again = await alice.get("/account/security")
    assert "10 of 10 recovery codes are left" in again.text
    assert not [code for code in codes if code in again.text]


async def test_the_database_holds_neither_the_secret_nor_a_recovery_code(alice, db, cast):
    secret, codes = await set_up(alice, db, cast.alice)
    whole = ""
    for table in ("second_factor", "recovery_code", "audit", "notice"):
        whole += await db.fetchval(f"select coalesce(string_agg(t::text, '|'), '') from {table} as t")
    assert secret not in whole
    assert not [code for code in codes if code in whole or code.replace("-", "") in whole]


async def test_it_is_in_the_audit_and_its_owner_is_told(alice, db, cast):
    await set_up(alice, db, cast.alice)
    assert await db.fetchval("select actor from audit where action = 'account.totp_on'") == cast.alice.email
    row = await db.fetchrow("select recipient, details from notice where template = 'totp_on'")
    assert (row["recipient"], row["details"]["path"]) == (cast.alice.email, "/account/security")


async def test_setting_it_up_ends_every_other_session(alice, site, db, cast):
    other = await site.browser(cast.alice)
    await set_up(alice, db, cast.alice)
    assert (await other.get("/account")).status == 303
    assert (await alice.get("/account")).status == 200


async def test_a_wrong_first_code_switches_nothing_on(alice, db, cast):
    await alice.post("/account/security/totp")
    page = await alice.post("/account/security/totp/confirmation", {"code": "000000"})
    assert (page.status, "does not fit" in page.text, "<svg" in page.text) == (400, True, True)
    assert await factors.standing(db, cast.alice.id) is None


async def test_there_is_nothing_to_confirm_before_it_was_begun_nor_afterwards(alice, db, cast):
    assert (await alice.post("/account/security/totp/confirmation", {"code": "000000"})).status == 409
    secret, _ = await set_up(alice, db, cast.alice)
    assert (await alice.post("/account/security/totp/confirmation", {"code": await code_of(db, secret)})).status == 409
    assert (await alice.post("/account/security/totp")).status == 409
    assert (await alice.get("/account/security/totp")).location == "/account/security"


async def test_the_password_alone_gives_no_session(alice, site, db, cast):
    await set_up(alice, db, cast.alice)
    thief = await site.browser()
    answer = await thief.post("/login", ALICE)
    assert answer.location == "/login/code"
    assert thief.session is None
    for path in ("/dashboard", "/account", "/account/security", "/gallery"):
        assert (await thief.get(path)).location.startswith("/login?")
    assert (await thief.post("/account/security/totp/removal", {"password": ALICE["password"]})).status == 401


async def test_the_code_completes_the_sign_in_and_leads_where_one_wanted(alice, site, db, cast):
    secret, _ = await set_up(alice, db, cast.alice)
    browser = await site.browser()
    await browser.post("/login", ALICE | {"next": "/gallery"})
    assert "authenticator app" in (await browser.get("/login/code")).text
    await let_pass(db)
    answer = await browser.post("/login/code", {"code": await code_of(db, secret)})
    assert (answer.status, answer.location) == (303, "/gallery")
    assert (await browser.get("/dashboard")).status == 200
    assert await db.fetchval("select count(*) from pending_sign_in") == 0


@pytest.mark.parametrize("bend", [str, lambda code: f" {code[:3]} {code[3:]} ", lambda code: f"{code[:3]}-{code[3:]}"])
async def test_a_code_may_be_typed_as_it_is_shown(alice, site, db, cast, bend):
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    browser = await half_in(site)
    assert (await browser.post("/login/code", {"code": bend(await code_of(db, secret))})).status == 303


@pytest.mark.parametrize("step, status", [(-3, 400), (0, 303), (1, 303), (3, 400)])
async def test_a_clock_may_be_off_by_one_step(alice, site, db, cast, step, status):
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    browser = await half_in(site)
    page = await browser.post("/login/code", {"code": await code_of(db, secret, step)})
    assert page.status == status


async def test_a_code_is_taken_once_and_none_before_it_either(alice, site, db, cast):
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    code, former = await code_of(db, secret), await code_of(db, secret, -1)
    assert (await (await half_in(site)).post("/login/code", {"code": code})).status == 303
    replay = await half_in(site)
    assert (await replay.post("/login/code", {"code": code})).status == 400
    assert (await replay.post("/login/code", {"code": former})).status == 400
    assert replay.session is None


async def test_the_code_of_the_set_up_does_not_sign_in(alice, site, db, cast):
    await alice.post("/account/security/totp")
    secret = await unconfirmed(site, db, cast.alice)
    code = await code_of(db, secret)
    await alice.post("/account/security/totp/confirmation", {"code": code})
    assert (await (await half_in(site)).post("/login/code", {"code": code})).status == 400


@pytest.mark.parametrize(
    "code", ["", "000000", "12345", "abcdef", "ABCD-EFGH-JKLM-NPQR", "１２３４５６", "x" * 41, "\x00"]
)
async def test_a_wrong_code_is_told_and_lets_nobody_in(alice, site, db, cast, code):
    await set_up(alice, db, cast.alice)
    browser = await half_in(site)
    page = await browser.post("/login/code", {"code": code})
    assert (page.status, "<form" in page.text, browser.session) == (400, True, None)


async def test_five_wrong_codes_close_the_door_even_to_the_right_one_and_from_anywhere(alice, site, db, cast):
    secret, codes = await set_up(alice, db, cast.alice)
    await let_pass(db)
    browser = await half_in(site)
    for number in range(5):
        assert (await browser.post("/login/code", {"code": f"{number:06}"})).status == 400
    for code in (await code_of(db, secret), codes[0]):
        page = await (await half_in(site)).post("/login/code", {"code": code})
        assert (page.status, "Retry-After" in page.headers) == (429, True)


async def test_a_recovery_code_lets_in_once_and_is_in_the_audit(alice, site, db, cast):
    _, codes = await set_up(alice, db, cast.alice)
    for typed in (codes[0].lower(), codes[1].replace("-", " "), codes[2]):
        assert (await (await half_in(site)).post("/login/code", {"code": typed})).status == 303
    assert (await (await half_in(site)).post("/login/code", {"code": codes[0]})).status == 400
    assert (await factors.standing(db, cast.alice.id)).codes_left == 7
    left = await db.fetch("select after from audit where action = 'account.recovery_code' order by id")
    assert [row["after"]["left"] for row in left] == [9, 8, 7]


async def test_somebody_elses_recovery_code_opens_nothing(alice, bob, site, db, cast):
    _, codes = await set_up(bob, db, cast.bob)
    await set_up(alice, db, cast.alice)
    assert (await (await half_in(site)).post("/login/code", {"code": codes[0]})).status == 400


async def test_new_recovery_codes_replace_the_old_ones(alice, site, db, cast):
    _, old = await set_up(alice, db, cast.alice)
    page = await alice.post("/account/security/codes")
    new = re.findall(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}", page.text)
    assert (len(set(new)), set(new) & set(old)) == (10, set())
    assert (await (await half_in(site)).post("/login/code", {"code": old[0]})).status == 400
    assert (await (await half_in(site)).post("/login/code", {"code": new[0]})).status == 303


async def test_there_are_no_codes_to_renew_without_a_factor(alice):
    assert (await alice.post("/account/security/codes")).status == 409


async def test_switching_it_off_takes_the_password_and_a_code(alice, site, db, cast):
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    for form, words in (
        ({"password": "alice-likes-madder", "code": await code_of(db, secret)}, "not your current password"),
        ({"password": ALICE["password"], "code": "000000"}, "does not fit"),
        ({"password": ALICE["password"], "code": ""}, "is missing"),
        ({"code": await code_of(db, secret)}, "is missing"),
    ):
        page = await alice.post("/account/security/totp/removal", form)
        assert (page.status, words in page.text) == (400, True), form
    assert await factors.standing(db, cast.alice.id) is not None
    form = {"password": ALICE["password"], "code": await code_of(db, secret)}
    assert (await alice.post("/account/security/totp/removal", form)).location == "/account/security"
    assert await factors.standing(db, cast.alice.id) is None
    assert await db.fetchval("select count(*) from recovery_code") == 0
    assert await db.fetchval("select actor from audit where action = 'account.totp_off'") == cast.alice.email
    assert await db.fetchval("select recipient from notice where template = 'totp_off'") == cast.alice.email
    browser = await site.browser()
    assert (await browser.post("/login", ALICE)).location == "/dashboard"


async def test_what_is_off_cannot_be_switched_off(alice):
    assert (
        await alice.post("/account/security/totp/removal", {"password": ALICE["password"], "code": "1"})
    ).status == 409


@pytest.mark.parametrize(
    "then",
    [
        "update pending_sign_in set expires_at = now()",
        "update account set banned_at = now() where email_key = 'alice@example.com'",
        "update account set password_hash = 'another' where email_key = 'alice@example.com'",
        "delete from pending_sign_in",
    ],
)
async def test_a_sign_in_that_is_over_needs_the_password_again(alice, site, db, cast, then):
    _, codes = await set_up(alice, db, cast.alice)
    browser = await half_in(site)
    await db.execute(then)
    for page in (await browser.get("/login/code"), await browser.post("/login/code", {"code": codes[0]})):
        assert (page.status, "Begin it again" in page.text) == (410, True)
    assert browser.session is None
    assert (await factors.standing(db, cast.alice.id)).codes_left == 10


@pytest.mark.parametrize("token", ["", "x", "ü", "x" * 43, "x" * 3000])
async def test_a_made_up_sign_in_is_none(site, db, token):
    browser = await site.browser()
    browser.client.cookie_jar.update_cookies({"signing-in": token}, site.address)
    assert (await browser.get("/login/code")).status == 410


async def test_only_the_hash_of_a_waiting_sign_in_is_kept(alice, site, db, cast):
    await set_up(alice, db, cast.alice)
    browser = await half_in(site)
    token = next(cookie.value for cookie in browser.client.cookie_jar if cookie.key == "signing-in")
    assert token not in await db.fetchval("select t::text from pending_sign_in t")
    assert await sessions.find(db, token) is None, "it is no session"


async def test_of_two_that_finish_at_once_one_gets_in(db, cast):
    token = await pending_sign_ins.begin(db, cast.alice.id, "/")
    waiting = await pending_sign_ins.find(db, token)
    await pending_sign_ins.finish(db, waiting)
    with pytest.raises(pending_sign_ins.SignInOver):
        await pending_sign_ins.finish(db, waiting)


async def test_on_https_the_waiting_cookie_belongs_to_this_host_alone(dsn, tmp_path, db, cast, alice):
    await set_up(alice, db, cast.alice)
    async with serving(dsn, tmp_path, db, public_url="https://limner.test") as site:
        browser = await site.browser()
        page = await browser.get("/login")
        visitor = page.cookies()["__Host-visitor"].partition(";")[0].partition("=")[2]
        answer = await browser.send(
            "POST", "/login", data=ALICE | {"csrf": page.csrf}, headers={"Origin": "https://limner.test"},
            cookies={"__Host-visitor": visitor},
        )  # fmt: skip
        line = answer.cookies()["__Host-signing-in"]
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in line.split(";")}


async def test_where_it_is_forced_an_admin_is_led_to_it_before_any_page_works(dsn, tmp_path, db, cast):
    async with serving(dsn, tmp_path, db, admin_totp="true") as site:
        await accounts.set_role(db, cast.bob, "support", actor="test")
        for account in (cast.carol, cast.bob):
            browser = await site.browser(account)
            for path in ("/admin", "/admin/users", "/admin/keys", "/admin/audit"):
                assert (await browser.get(path)).location == "/account/security"
            assert "needs a second factor" in (await browser.get("/account/security")).text
            refused = await browser.act("/admin/keys", {"label": "x"})
            assert (refused.status, "second factor" in refused.text) == (403, True)
            await set_up(browser, db, account)
            assert (await browser.get("/admin")).status == 200
            page = await browser.post("/account/security/totp/removal", {"password": "x", "code": "y"})
            assert (page.status, "cannot be switched off" in page.text) == (400, True)
        alice = await site.browser(cast.alice)
        assert (await alice.get("/admin")).status == 404
        assert (await alice.get("/dashboard")).status == 200


async def test_the_operator_takes_it_from_somebody_who_lost_it(alice, site, db, cast):
    await set_up(alice, db, cast.alice)
    half = await half_in(site)
    assert "password alone" in await desk.reset_factor(site.config, "alice@example.com")
    assert (await alice.get("/account")).status == 303
    assert (await half.get("/login/code")).status == 410
    assert (await (await site.browser()).post("/login", ALICE)).location == "/dashboard"
    assert await db.fetchval("select actor from audit where action = 'account.totp_reset'") == "cli"
    assert await db.fetchval("select recipient from notice where template = 'totp_off'") == cast.alice.email
    assert "no second factor" in await desk.reset_factor(site.config, "alice@example.com")
    with pytest.raises(NotFound, match=r"no account 'alicf@example\.com'"):
        await desk.reset_factor(site.config, "alicf@example.com")


async def test_of_who_leaves_for_good_no_factor_and_no_link_stays(alice, site, db, cast):
    await set_up(alice, db, cast.alice)
    await half_in(site)
    await links.link(db, cast.alice, "telegram", "7", "Alicia", provider="Telegram", actor="test", ip="")
    await erasure.erase(db, cast.alice.id, actor="cli", why="asked for it")
    for table in ("second_factor", "recovery_code", "pending_sign_in", "linked_sign_in"):
        assert await db.fetchval(f"select count(*) from {table}") == 0, table


async def test_wrong_codes_stand_among_the_sign_ins(alice, site, db, cast):
    await set_up(alice, db, cast.alice)
    await (await half_in(site)).post("/login/code", {"code": "000000"})
    found = await sign_ins.of_account(db, cast.alice.id)
    assert [(each.way, each.is_refused) for each in found] == [("code", True), ("password", False)]


async def test_the_janitor_forgets_second_steps_that_are_over(alice, site, db, cast):
    await set_up(alice, db, cast.alice)
    await half_in(site)
    assert await pending_sign_ins.forget_ended(db) == 0
    await db.execute("update pending_sign_in set expires_at = now() - interval '1 second'")
    assert await pending_sign_ins.forget_ended(db) == 1


async def half_in(site) -> Browser:
    """Somebody who knows Alice's password."""
    browser = await site.browser()
    assert (await browser.post("/login", ALICE)).location == "/login/code"
    return browser


async def unconfirmed(site, db, account) -> str:
    return await factors.unconfirmed(db, Vault.from_config(site.config), account.id)
