"""The account page: a new password ends the other sessions, and the statement is the ledger in words."""

from __future__ import annotations

import pytest

from limner.runtime import passwords
from limner.sql import sessions
from tests.http.painting import ordered, take_up

OLD, NEW = "alice-likes-vermilion", "alice-likes-verdigris"


async def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(alice, site, cast, db):
    other = await site.browser(cast.alice)
    answer = await alice.post("/account/password", {"current": OLD, "password": NEW})
    assert answer.location == "/account"
    assert "Your password is changed" in (await alice.get("/account")).text
    assert (await other.get("/account")).status == 303
    stored = await db.fetchval("select password_hash from account where id = $1", cast.alice.id)
    assert await passwords.matches(NEW, stored)
    assert await db.fetchval("select actor from audit where action = 'account.password'") == cast.alice.email


@pytest.mark.parametrize(
    "form, words",
    [
        ({"current": "wrong-wrong-wrong", "password": NEW}, "not your current password"),
        ({"current": OLD, "password": "short"}, "has 10 to 256 characters"),
        ({"current": "", "password": NEW}, "is missing"),
        ({"password": NEW}, "is missing"),
    ],
)
async def test_a_refused_change_changes_nothing(alice, site, cast, db, form, words):
    other = await site.browser(cast.alice)
    page = await alice.post("/account/password", form)
    assert (page.status, words in page.text) == (400, True)
    assert (await other.get("/account")).status == 200
    stored = await db.fetchval("select password_hash from account where id = $1", cast.alice.id)
    assert await passwords.matches(OLD, stored)


async def test_guessing_the_current_password_has_an_end(alice):
    for _ in range(5):
        await alice.post("/account/password", {"current": "wrong-wrong-wrong", "password": NEW})
    page = await alice.post("/account/password", {"current": OLD, "password": NEW})
    assert (page.status, "Retry-After" in page.headers) == (429, True)


async def test_one_logs_out_everywhere_else(alice, site, cast, db):
    others = [await site.browser(cast.alice) for _ in range(3)]
    await alice.post("/account/sessions/deletion")
    assert [(await other.get("/account")).status for other in others] == [303, 303, 303]
    assert (await alice.get("/account")).status == 200
    assert await sessions.find(db, alice.session) is not None


async def test_the_page_shows_where_one_is_logged_in(alice, db, cast):
    await sessions.start(db, cast.alice.id, ip="192.0.2.7", agent="<b>a telephone</b>")
    page = await alice.get("/account")
    assert "192.0.2.7" in page.text
    assert "&lt;b&gt;a telephone" in page.text
    assert page.text.count("this one") == 1


async def test_the_statement_says_what_each_picture_cost(alice, site):
    await ordered(alice, prompt="the pier at dusk")
    await (await take_up(site)).deliver()
    await ordered(alice, prompt="the pier at dawn")
    await (await take_up(site)).fail("no luck")
    text = (await alice.get("/account")).text
    for line in (
        "“the pier at dusk” ordered: 1 credit reserved",
        "“the pier at dusk” delivered: the reserved 1 credit charged",
        "“the pier at dawn” not delivered, nothing charged: no luck",
    ):
        assert line in text


async def test_the_dashboard_shows_the_quota_in_fifths_and_the_way_to_a_plan(alice, bob):
    assert "100 percent" in (await alice.get("/dashboard")).text
    await ordered(alice, count="8")
    await ordered(alice, count="8")
    await ordered(alice, count="8")
    assert "80 percent" in (await alice.get("/dashboard")).text
    assert 'href="/plans"' in (await bob.get("/dashboard")).text


async def test_an_idle_session_ends_and_a_used_one_is_seen(alice, db):
    await db.execute("update session set seen_at = now() - interval '2 minutes'")
    assert (await alice.get("/account")).status == 200
    assert await db.fetchval("select seen_at > now() - interval '1 minute' from session")
    await db.execute("update session set seen_at = now() - interval '15 days'")
    assert (await alice.get("/account")).status == 303


async def test_only_the_hash_of_a_session_is_kept(alice, db):
    row = await db.fetchrow("select t::text as whole from session t")
    assert alice.session not in row["whole"]
