"""Looking on: an admin sees the studio as Alice does, every page says so, and nothing is changed."""

from __future__ import annotations

from uuid import UUID

import pytest

from limner.http.looking import SHOWN
from limner.http.middleware import PUBLIC
from limner.sql import accounts, chain, roles, sign_ins, tokens, visits
from tests.http.sitemap import patterns, places

REASON = {"visit_reason": "she cannot find her picture"}


@pytest.fixture
async def guest(carol, cast):
    """Carol's browser, which shows Alice's studio."""
    answer = await carol.act(f"/admin/users/{cast.alice.id}/visits", REASON)
    assert (answer.status, answer.location) == (303, "/dashboard")
    carol._csrf = ""
    return carol


async def test_every_page_is_alices_and_says_that_it_is_only_looked_at(alice, guest, cast):
    thread = (await alice.order(prompt="a pier at dusk")).location.partition("#")[0]
    for path in ("/dashboard", "/account", "/account/security", "/gallery", "/invoices", "/plans", "/codes", thread):
        page = await guest.get(path)
        assert page.status == 200, path
        assert "read only" in page.text, path
        assert f"<strong>{cast.alice.email}</strong>" in page.text, path
        assert 'href="/admin"' not in page.text, path
    assert "a pier at dusk" in page.text


async def test_alice_herself_sees_no_bar_and_reads_that_somebody_was_there(alice, guest):
    page = await alice.get("/account/security")
    assert "read only" not in page.text
    assert "Who looked at your studio" in page.text


async def test_leaving_leads_back_and_both_ends_are_in_the_audit(guest, cast, db):
    assert (await guest.get("/admin")).status == 403
    answer = await guest.post("/visit/end")
    assert answer.location == f"/admin/users/{cast.alice.id}"
    assert (await guest.get(answer.location)).status == 200
    rows = await db.fetch(
        "select actor, action, subject, after from audit where action like 'account.visit%' order by id"
    )
    assert [(row["actor"], row["action"], row["subject"]) for row in rows] == [
        (cast.carol.email, "account.visit", cast.alice.email), (cast.carol.email, "account.visit_end", cast.alice.email),
    ]  # fmt: skip
    assert rows[0]["after"]["reason"] == REASON["visit_reason"]
    assert (await chain.verify(db)).is_whole


async def test_nothing_that_acts_passes(alice, guest, site, cast, db):
    """Every route of the site but those that only show: also those that are new tomorrow."""
    wrong = []
    for place in await places(site, cast, alice):
        if place.path == "/visit/end" or place.path.startswith(PUBLIC):
            continue  # the way out; and what never asks whose session it is
        if place.method == "GET" and place.pattern in SHOWN:
            continue
        answer = await guest.post(place.path) if place.method == "POST" else await guest.get(place.path)
        if (answer.status, "only look" in answer.text) != (403, True):
            wrong.append(f"{place.name}: {answer.status}")
    assert wrong == []


async def test_what_is_shown_exists(site):
    assert {pattern for method, pattern in patterns(site) if method == "GET"} >= SHOWN


async def test_what_is_secret_stays_so(guest, alice, db, cast):
    token = await tokens.create(db, cast.alice, "a program", tokens.Caps(), actor="test")
    assert token not in (await guest.get("/account/tokens")).text
    for path in (
        "/account/export",
        "/account/statement.csv",
        "/account/security/totp",
        "/account/proof",
        "/admin/users",
        "/login",
        "/r/abcdefghjk",
    ):
        assert (await guest.get(path)).status == 403, path
    assert "limner-export" not in str((await guest.get("/account/export")).headers)


async def test_a_gift_that_alice_bought_is_not_shown(guest, alice, cast, db, site):
    answer = await alice.post("/gifts", {"plan": "monthly", "to": "", "message": ""})
    path = answer.location
    await db.execute("update invoice set state = 'paid', paid_at = now() where id = $1", UUID(path.rpartition("/")[2]))
    assert "gift-code" in (await alice.get(path)).text
    page = await guest.get(path)
    assert (page.status, "gift-code" in page.text) == (200, False)


async def test_it_ends_by_itself_and_the_form_of_before_is_out_of_date(guest, cast, db):
    token = await guest.csrf()
    await db.execute("update visit set began_at = now() - interval '16 minutes', until = now() - interval '1 minute'")
    page = await guest.get("/account")
    assert cast.carol.email in page.text
    assert "read only" not in page.text
    stale = {"csrf": token, "locale": "ru"}
    answer = await guest.send("POST", "/account/locale", data=stale, headers={"Origin": guest.site.url})
    assert answer.status == 403, "what was meant for Alice's page does nothing to Carol"
    await visits.end_overdue(db)
    row = await db.fetchrow("select actor, after from audit where action = 'account.visit_end'")
    assert (row["actor"], row["after"]["who"]) == ("system", cast.carol.email)
    guest._csrf = ""
    assert (await guest.act(f"/admin/users/{cast.bob.id}/visits", REASON)).status == 303


async def test_a_live_stream_ends_with_the_visit(alice, guest, db):
    thread = (await alice.order(prompt="a pier")).location.partition("#")[0].rpartition("/")[2]
    async with guest.watch(f"/threads/{thread}/live") as stream:
        assert (await stream.next()).name.startswith("generation-")
        await db.execute("update visit set ended_at = now()")
        assert (await stream.rest())[-1].name == "finished"


@pytest.mark.parametrize("who", ["support", "admin", "banned", "oneself"])
async def test_neither_staff_nor_the_banned_are_visited(carol, cast, db, who):
    account = cast.carol if who == "oneself" else cast.bob
    if who == "banned":
        await accounts.ban(db, account, "x", actor="test")
    elif who != "oneself":
        await accounts.set_role(db, account, who, actor="test")
    answer = await carol.act(f"/admin/users/{account.id}/visits", REASON)
    assert answer.status == 400
    assert "can be visited" in answer.text
    assert await db.fetchval("select count(*) from visit") == 0


async def test_a_reason_is_needed(carol, cast, db):
    assert (await carol.act(f"/admin/users/{cast.alice.id}/visits", {"visit_reason": " "})).status == 400
    assert await db.fetchval("select count(*) from visit") == 0


async def test_who_is_banned_or_joins_the_staff_meanwhile_is_not_shown_any_more(guest, cast, db):
    await accounts.ban(db, cast.alice, "x", actor="test")
    assert cast.alice.email not in (await guest.get("/account")).text


@pytest.mark.parametrize("how", ["left by the form", "by the next visit", "by the janitor"])
async def test_a_visit_to_who_was_banned_meanwhile_can_be_ended(guest, cast, db, how):
    await accounts.ban(db, cast.alice, "x", actor="test")
    guest._csrf = ""
    if how == "left by the form":
        assert (await guest.post("/visit/end")).location == f"/admin/users/{cast.alice.id}"
    elif how == "by the janitor":
        await visits.end_overdue(db)
    answer = await guest.act(f"/admin/users/{cast.bob.id}/visits", REASON)
    assert (answer.status, answer.location) == (303, "/dashboard")
    told = await db.fetchval("select after ->> 'how' from audit where action = 'account.visit_end'")
    assert told == ("left" if how == "left by the form" else "who was visited is banned")


async def test_no_statement_is_offered_as_a_file(alice, guest):
    assert "/account/statement.csv" in (await alice.get("/account/statement")).text
    assert "/account/statement.csv" not in (await guest.get("/account/statement")).text


async def test_an_admin_who_is_none_any_more_sees_nothing(guest, cast, db):
    await accounts.set_role(db, cast.carol, "support", actor="test")
    assert cast.alice.email not in (await guest.get("/account")).text


async def test_it_is_no_sign_in_of_alices(guest, cast, db):
    assert await sign_ins.of_account(db, cast.alice.id) == []


async def test_when_the_admin_signs_out_elsewhere_the_visit_is_over(guest, cast, db):
    await roles.change(db, cast.bob, "admin", "x", by=cast.carol)
    await db.execute("delete from session where account_id = $1", cast.carol.id)
    await visits.end_overdue(db)
    assert await db.fetchval("select after ->> 'how' from audit where action = 'account.visit_end'") == "signed out"
