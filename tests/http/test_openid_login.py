"""Signing in through an OpenID provider: for this browser, once, in time, and only on what the provider really says."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from limner.http import trips
from limner.sql import accounts, links, sessions
from tests.conftest import held
from tests.http.conftest import Browser, Page, Site, serving
from tests.http.factor import ALICE, code_of, let_pass, set_up
from tests.upstreams.oidc import CLIENT, SECRET, FakeProvider, public

EVE = {"sub": "eve", "email": "eve@example.com", "email_verified": True}


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with held(FakeProvider().serve()) as served:
        yield served


@pytest.fixture
async def site(dsn, tmp_path, db, provider) -> AsyncIterator[Site]:
    """The site with one more door."""
    settings = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "oidc_name": "Guild",
    }
    async with held(serving(dsn, tmp_path, db, **settings)) as served:
        yield served


async def agree(browser: Browser, start: str = "/login/oidc") -> str:
    """Go there and agree: the address that leads back, not yet taken."""
    left = await browser.get(start)
    assert left.status == 303, left.text
    async with browser.client.get(left.location, allow_redirects=False) as answer:
        back = answer.headers["Location"]
    assert back.startswith(f"{browser.site.url}/login/oidc/return?")
    return back.removeprefix(browser.site.url)


async def through(browser: Browser, start: str = "/login/oidc") -> Page:
    return await browser.get(await agree(browser, start))


async def nobody_is_in(browser: Browser, page: Page, words: str) -> None:
    assert (page.status, words in page.text) == (400, True), page.text
    assert browser.session is None
    assert (await browser.get("/dashboard")).status == 303


async def test_the_pages_show_the_door(stranger):
    for path in ("/login?next=/gallery", "/register"):
        assert "Log in with Guild" in (await stranger.get(path)).text
    assert 'href="/login/oidc?next=/gallery"' in (await stranger.get("/login?next=/gallery")).text


async def test_alice_comes_in_by_the_address_that_the_provider_made_sure_of(stranger, db, cast):
    answer = await through(stranger, "/login/oidc?next=/gallery")
    assert (answer.status, answer.location) == (303, "/gallery")
    assert "alice@example.com" in (await stranger.get("/account")).text
    (link,) = await links.of_account(db, cast.alice.id)
    assert link.subject == "248289761001"
    assert await db.fetchval("select recipient from notice where template = 'sign_in_linked'") == cast.alice.email
    assert await db.fetchval("select details ->> 'provider' from notice where template = 'sign_in_linked'") == "Guild"
    assert await db.fetchval("select count(*) from audit where action = 'account.sign_in_linked'") == 1


async def test_it_is_asked_with_a_challenge_and_names_the_way_back(stranger, provider):
    asked = parse_qs(urlsplit((await stranger.get("/login/oidc")).location).query)
    assert asked["redirect_uri"] == [f"{stranger.site.url}/login/oidc/return"]
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == (
        ["code"],
        ["S256"],
        ["openid email"],
    )
    assert min(len(asked[name][0]) for name in ("state", "nonce", "code_challenge")) == 43
    again = parse_qs(urlsplit((await stranger.get("/login/oidc")).location).query)
    assert not {again[name][0] for name in ("state", "nonce", "code_challenge")} & {
        asked[name][0] for name in ("state", "nonce", "code_challenge")
    }


async def test_the_second_time_the_subject_counts_and_not_the_address(site, provider, db, cast):
    await through(await site.browser())
    provider.person |= {"email": "bob@example.com"}
    browser = await site.browser()
    await through(browser)
    assert "alice@example.com" in (await browser.get("/account")).text
    assert await db.fetchval("select count(*) from linked_sign_in") == 1


async def test_whoever_is_new_gets_an_account_whose_address_is_made_sure_of(stranger, provider, db):
    provider.person = dict(EVE)
    assert (await through(stranger)).location == "/dashboard"
    account = await accounts.find(db, "eve@example.com")
    assert account is not None
    assert account.verified_at is not None
    assert await db.fetchval("select available from balance where account_id = $1", account.id) == 0


@pytest.mark.parametrize("verified", [False, None, "true", 1])
@pytest.mark.parametrize("person", [EVE, {"sub": "248289761001", "email": "alice@example.com"}])
async def test_an_address_that_nobody_made_sure_of_opens_and_makes_nothing(stranger, provider, db, person, verified):
    provider.person = person | {"email_verified": verified}
    await nobody_is_in(stranger, await through(stranger), "No account here knows this Guild yet")
    assert await db.fetchval("select count(*) from account") == 3
    assert await db.fetchval("select count(*) from linked_sign_in") == 0


@pytest.mark.parametrize("email", [None, "", "nonsense", "a@b@c", 7, ["alice@example.com"], "alice@example.com\nx"])
async def test_an_address_that_is_none_is_none(stranger, provider, email):
    provider.person |= {"email": email}
    await nobody_is_in(stranger, await through(stranger), "No account here knows this Guild yet")


async def test_an_account_that_was_registered_with_somebody_elses_address_is_not_opened(stranger, db):
    """Else whoever registered with it first would share the account with its owner."""
    await db.execute("update account set verified_at = null where email_key = 'alice@example.com'")
    await nobody_is_in(stranger, await through(stranger), "account with this address already")
    assert await db.fetchval("select count(*) from linked_sign_in") == 0


@pytest.mark.parametrize("role", ["admin", "support"])
async def test_who_works_here_links_by_hand(stranger, db, cast, role):
    await accounts.set_role(db, cast.alice, role, actor="test")
    await nobody_is_in(stranger, await through(stranger), "account with this address already")


async def test_a_banned_account_stays_shut(stranger, site, db, cast):
    await through(await site.browser())
    await accounts.ban(db, cast.alice, "spam", actor="test")
    await nobody_is_in(stranger, await through(stranger), "account is closed")


async def test_a_second_factor_is_asked_for_here_too(site, alice, db, cast):
    secret, _ = await set_up(alice, db, cast.alice)
    await let_pass(db)
    browser = await site.browser()
    answer = await through(browser, "/login/oidc?next=/gallery")
    assert (answer.location, browser.session) == ("/login/code", None)
    assert (await browser.post("/login/code", {"code": await code_of(db, secret)})).location == "/gallery"


async def test_the_providers_word_is_no_proof_for_keys_and_money(stranger, db):
    await through(stranger)
    session = await sessions.find(db, stranger.session)
    assert session is not None
    assert not session.is_fresh


# What is forged, stale or somebody else's.


@pytest.mark.parametrize(
    "bend, words",
    [
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"aud": "somebody"}, "another site"),
        ({"iss": "https://evil.test"}, "not the provider"),
        ({"exp": 1}, "too old"),
        ({"sub": None}, "of whom it speaks"),
    ],
)
async def test_a_token_with_claims_that_do_not_hold(stranger, provider, db, bend, words):
    provider.bend = bend
    await nobody_is_in(stranger, await through(stranger), words)
    assert await db.fetchval("select count(*) from linked_sign_in") == 0


@pytest.mark.parametrize(
    "alg, by, words", [("RS256", "stranger", "signature"), ("none", None, "not taken"), ("HS256", "r1", "not taken")]
)
async def test_a_token_that_the_provider_did_not_sign(stranger, provider, alg, by, words):
    provider.alg, provider.by = alg, by
    await nobody_is_in(stranger, await through(stranger), words)


async def test_a_token_may_be_signed_with_a_curve(stranger, provider):
    provider.alg, provider.kid = "ES256", "e1"
    assert (await through(stranger)).location == "/dashboard"


async def test_the_providers_keys_rotate(site, provider):
    await through(await site.browser())
    provider.rotate("r2")
    assert (await through(await site.browser())).location == "/dashboard"
    provider.kid = "r1"  # a key that it has let go
    browser = await site.browser()
    await nobody_is_in(browser, await through(browser), "signature")


async def test_keys_and_discovery_are_not_read_for_each_sign_in(site, provider):
    for _ in range(3):
        await through(await site.browser())
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    assert provider.asked.count("/keys") == 1


async def test_a_token_of_another_person_for_another_sign_in_is_not_taken(site, provider, stranger):
    """Whoever catches a token cannot plant it: it has the nonce of its own sign-in."""
    back = await agree(stranger)
    provider.token = provider._speak({"nonce": "of another sign-in"})
    await nobody_is_in(stranger, await stranger.get(back), "another sign-in")


async def test_a_code_caught_by_somebody_else_is_of_no_use(site, stranger):
    """It belongs to the browser that asked: neither its state nor its verifier is anywhere else."""
    caught = await agree(stranger)
    thief = await site.browser()
    await nobody_is_in(thief, await thief.get(caught), "did not begin in this browser")
    mine = parse_qs(urlsplit(await agree(thief)).query)
    code = parse_qs(urlsplit(caught).query)["code"][0]
    page = await thief.get(f"/login/oidc/return?code={code}&state={mine['state'][0]}")
    await nobody_is_in(thief, page, "did not take the code")


async def test_nobody_is_led_into_somebody_elses_account(site, provider, alice, bob):
    """A link with the attacker's own answer, opened by the victim: a login that the victim's browser never began."""
    provider.person = dict(EVE)
    page = await bob.get(await agree(await site.browser()))
    assert page.status == 400
    assert "bob@example.com" in (await bob.get("/account")).text


async def test_an_answer_counts_once(stranger, db, site):
    back = await agree(stranger)
    cookie = {cookie.key: cookie.value for cookie in stranger.client.cookie_jar}
    assert (await stranger.get(back)).location == "/dashboard"
    assert "trip" not in {cookie.key for cookie in stranger.client.cookie_jar}
    again = await site.browser()
    again.client.cookie_jar.update_cookies({"trip": cookie["trip"]}, site.address)
    await nobody_is_in(again, await again.get(back), "used already")


async def test_ten_minutes_are_enough(site, stranger):
    back = await agree(stranger)
    packed = next(cookie.value for cookie in stranger.client.cookie_jar if cookie.key == "trip").partition(".")[0]
    trip = json.loads(base64.urlsafe_b64decode(packed))
    assert 0 < trip["until"] - time.time() <= 600
    late = base64.urlsafe_b64encode(json.dumps(trip | {"until": time.time() - 1}).encode()).decode()
    mark = trips._mark(site.config.secret_keys[0], late)
    stranger.client.cookie_jar.update_cookies({"trip": f"{late}.{mark}"}, site.address)
    await nobody_is_in(stranger, await stranger.get(back), "took too long")


async def test_the_cookie_cannot_be_written_by_the_browser(site, stranger):
    back = await agree(stranger)
    packed, _, mark = next(c.value for c in stranger.client.cookie_jar if c.key == "trip").partition(".")
    trip = json.loads(base64.urlsafe_b64decode(packed))
    bent = base64.urlsafe_b64encode(json.dumps(trip | {"goal": "https://evil.test"}).encode()).decode()
    for value in (f"{bent}.{mark}", f"{packed}.", f"{packed}.{'0' * 64}", packed, "", ".", "x.y", "ü.ü"):
        stranger.client.cookie_jar.update_cookies({"trip": value}, site.address)
        await nobody_is_in(stranger, await stranger.get(back), "did not begin in this browser")


@pytest.mark.parametrize("state", ["", "x", "%00", "%ff", "x" * 3000])
async def test_another_state_is_not_taken(stranger, state):
    await agree(stranger)
    await nobody_is_in(stranger, await stranger.get(f"/login/oidc/return?code=x&state={state}"), "did not begin")


async def test_who_declines_over_there_is_back_at_the_login(stranger):
    state = parse_qs(urlsplit(await agree(stranger)).query)["state"][0]
    page = await stranger.get(f"/login/oidc/return?error=access_denied&error_description=<b>x&state={state}")
    await nobody_is_in(stranger, page, "Nothing came of it over there")
    assert "<b>x" not in page.text


async def test_an_answer_that_names_another_issuer_is_not_taken(stranger):
    back = await agree(stranger)
    await nobody_is_in(stranger, await stranger.get(f"{back}&iss=https://evil.test"), "another provider answered")


@pytest.mark.parametrize("goal", ["https://evil.test/", "//evil.test", "/\\evil.test"])
async def test_nobody_is_led_off_the_site_afterwards(stranger, goal):
    assert (await through(stranger, f"/login/oidc?next={goal}")).location == "/dashboard"


async def test_a_provider_that_does_not_answer_is_told_in_plain_words(stranger, provider):
    back = await agree(stranger)
    provider.is_down = True
    page = await stranger.get(back)
    assert (page.status, stranger.session) == (400, None)
    provider.is_down = False
    assert (await through(stranger)).location == "/dashboard"


async def test_a_provider_that_is_down_from_the_start_is_no_crash(stranger, provider):
    provider.is_down = True
    assert (await stranger.get("/login/oidc")).status == 503


@pytest.mark.parametrize(
    "discovery, words",
    [
        ({"issuer": "https://evil.test"}, "calls itself"),
        ({"token_endpoint": None}, "no place to go to"),
        ({"jwks_uri": "file:///etc/passwd"}, "no place to go to"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no place to go to"),
    ],
)
async def test_a_discovery_document_that_leads_elsewhere_is_not_followed(stranger, provider, discovery, words):
    provider.discovery = discovery
    page = await stranger.get("/login/oidc")
    assert (page.status, words in page.text) == (400, True)


async def test_a_provider_may_want_the_secret_in_the_form(stranger, provider):
    provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await through(stranger)).location == "/dashboard"


async def test_neither_the_secret_nor_the_verifier_leaves_for_a_page(stranger, provider, caplog):
    provider.keys = [public("r9")]
    back = await agree(stranger)
    page = await stranger.get(back)
    assert SECRET not in page.text + back + caplog.text
    assert parse_qs(urlsplit(back).query)["code"][0] not in page.text + caplog.text


# Linking to the account that one is signed in to.


async def test_one_links_it_on_the_security_page_and_comes_in_by_it(site, provider, carol, db, cast):
    provider.person = {"sub": "a boss", "email": "elsewhere@example.com", "email_verified": False}
    answer = await through(carol, "/account/security/oidc")
    assert answer.location == "/account/security"
    page = await carol.get("/account/security")
    assert "elsewhere@example.com" in page.text
    browser = await site.browser()
    assert (await through(browser)).location == "/dashboard"
    assert (await browser.get("/admin")).status == 200
    audited = await db.fetchrow("select actor, subject from audit where action = 'account.sign_in_linked'")
    assert tuple(audited) == (cast.carol.email, cast.carol.email)


async def test_linking_asks_for_a_fresh_proof_and_leads_back(alice, db):
    await db.execute("update session set proved_at = null")
    answer = await alice.get("/account/security/oidc")
    assert answer.location == "/account/proof?next=%2Faccount%2Fsecurity%2Foidc"
    form = {"next": "/account/security/oidc", "proof_password": ALICE["password"]}
    assert (await alice.post("/account/proof", form)).location == "/account/security/oidc"
    assert (await through(alice, "/account/security/oidc")).location == "/account/security"


async def test_what_opens_alices_account_cannot_be_taken_for_bobs(alice, bob, db, cast):
    await through(alice, "/account/security/oidc")
    page = await through(bob, "/account/security/oidc")
    assert (page.status, "belongs to another account" in page.text) == (409, True)
    assert len(await links.of_account(db, cast.alice.id)) == 1
    assert await links.of_account(db, cast.bob.id) == []


async def test_another_one_takes_the_place_of_the_former(alice, site, provider, db, cast):
    await through(alice, "/account/security/oidc")
    provider.person |= {"sub": "another"}
    await through(alice, "/account/security/oidc")
    assert [link.subject for link in await links.of_account(db, cast.alice.id)] == ["another"]


async def test_whoever_logged_in_as_somebody_else_meanwhile_links_nothing(alice, site, db, cast):
    back = await agree(alice, "/account/security/oidc")
    await alice.sign_in(cast.bob)
    page = await alice.get(back)
    assert (page.status, "somebody else by now" in page.text) == (400, True)
    assert await db.fetchval("select count(*) from linked_sign_in") == 0


async def test_taking_it_away_shuts_the_door(alice, site, provider, db, cast):
    provider.person |= {"email_verified": False}
    await through(alice, "/account/security/oidc")
    assert (await alice.post("/account/security/links/oidc/removal")).location == "/account/security"
    assert await db.fetchval("select actor from audit where action = 'account.sign_in_unlinked'") == cast.alice.email
    browser = await site.browser()
    await nobody_is_in(browser, await through(browser), "No account here knows this Guild yet")
    again = await alice.post("/account/security/links/oidc/removal")
    assert (again.status, "no such sign-in" in again.text) == (400, True)


async def test_taking_it_away_asks_for_a_fresh_proof(alice, db):
    await through(alice, "/account/security/oidc")
    await db.execute("update session set proved_at = null")
    assert (await alice.post("/account/security/links/oidc/removal")).status == 401
    assert await db.fetchval("select count(*) from linked_sign_in") == 1


async def test_another_provider_with_the_same_subjects_opens_nothing(site, dsn, tmp_path, db, provider):
    """The operator moved to another one: its person 248289761001 is somebody else."""
    await through(await site.browser())
    async with FakeProvider().serve() as other:
        other.person |= {"email_verified": False}
        settings = {"oidc_issuer": other.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
        async with serving(dsn, tmp_path, db, **settings) as moved:
            browser = await moved.browser()
            await nobody_is_in(browser, await through(browser), "No account here knows")


async def test_the_janitor_forgets_answers_that_are_too_old_anyway(stranger, db):
    await through(stranger)
    assert await links.forget_spent(db) == 0
    await db.execute("update spent_answer set expires_at = now() - interval '1 second'")
    assert await links.forget_spent(db) == 1
