"""Who may register: everybody, the invited, or nobody; and never with an address that is thrown away."""

from __future__ import annotations

import asyncio

import pytest

from limner.sql import admission, invitations
from limner.sql.admission import ThrowawayAddress
from tests.conftest import held, settings
from tests.http.conftest import numbers, serving

DORA = {"email": "dora@example.com", "password": "dora-likes-verdigris"}


@pytest.fixture
async def club(dsn, tmp_path, db):
    async with held(serving(dsn, tmp_path, db, registration="invite")) as site:
        yield site


async def test_without_an_invitation_nobody_registers(club, db):
    dora = await club.browser()
    page = await dora.get("/register")
    assert "needs an invitation" in page.text
    assert 'name="password"' not in page.text
    for invite in ("", "x", "A" * 20):
        assert (await dora.post("/register", DORA | {"invite": invite})).status == 403
    assert await numbers(db, "account") == 3


async def test_an_invitation_lets_in_as_many_as_it_is_for(club, db):
    code = await invitations.create(db, uses=2, reason="guests", actor="test")
    page = await (await club.browser()).get(f"/register?invite={code}")
    assert page.values("invite") == [code]
    people = [DORA | {"email": f"dora{number}@example.com", "invite": code} for number in range(6)]
    browsers = [await club.browser() for _ in people]
    answers = await asyncio.gather(
        *(browser.post("/register", form) for browser, form in zip(browsers, people, strict=True))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses.count(303) == 2
    assert set(statuses) <= {303, 403, 429}
    assert await db.fetchval("select uses from invitation") == 2
    assert await db.fetchval("select count(*) from account where invitation_id is not null") == 2
    assert "used up" in (await (await club.browser()).get(f"/register?invite={code}")).text


@pytest.mark.parametrize("end", ["expires_at = now()", "revoked_at = now()"])
async def test_an_invitation_that_has_ended_lets_nobody_in(club, db, end):
    code = await invitations.create(db, reason="guests", actor="test")
    await db.execute(f"update invitation set {end}")
    assert (await (await club.browser()).post("/register", DORA | {"invite": code})).status == 403


async def test_a_refused_registration_costs_no_use(club, db):
    code = await invitations.create(db, reason="guests", actor="test")
    dora = await club.browser()
    for wrong in ({"email": "alice@example.com"}, {"password": "short"}, {"email": "x@yopmail.com"}):
        assert (await dora.post("/register", DORA | wrong | {"invite": code})).status == 400
    assert (await dora.post("/register", DORA | {"invite": code})).status == 303


async def test_where_it_is_closed_nobody_registers_at_all(dsn, tmp_path, db):
    code = await invitations.create(db, reason="guests", actor="test")
    async with serving(dsn, tmp_path, db, registration="closed") as site:
        dora = await site.browser()
        assert "Nobody can make an account here" in (await dora.get(f"/register?invite={code}")).text
        assert (await dora.post("/register", DORA | {"invite": code})).status == 403
    assert await numbers(db, "account") == 3


async def test_carol_invites_and_sees_the_link_this_once(carol, site, db):
    page = await carol.post(
        "/admin/invitations", {"uses": "3", "days": "7", "note": "for the club", "reason": "they asked"}
    )
    link = page.values("csrf") and next(word for word in page.text.split('"') if "/register?invite=" in word)
    code = link.rpartition("=")[2]
    assert await invitations.holds(db, code)
    again = await carol.get("/admin/invitations")
    assert ("for the club" in again.text, code in again.text) == (True, False)
    assert code not in str(await db.fetch("select t::text from invitation as t")) + str(
        await db.fetch("select * from audit")
    )
    invitation = await db.fetchval("select id from invitation")
    why = {"reason": "enough"}
    assert (await carol.act(f"/admin/invitations/{invitation}/revocation", {"reason": " "})).status == 400
    assert (await carol.act(f"/admin/invitations/{invitation}/revocation", why)).status == 303
    assert not await invitations.holds(db, code)
    assert (await carol.act(f"/admin/invitations/{invitation}/revocation", why)).status == 404
    rows = await db.fetch(
        "select action, after ->> 'reason' as why from audit where action like 'invitation.%' order by id"
    )
    assert [tuple(row) for row in rows] == [("invitation.create", "they asked"), ("invitation.revoke", "enough")]


async def test_more_invitations_than_a_page_holds_are_turned_found_and_taken_along(carol, db):
    for number in range(1, 61):
        await invitations.create(db, note=f"for guest {number:02}", reason="guests", actor="carol@example.com")
    await db.execute("update invitation set revoked_at = now() where note = 'for guest 07'")
    first = await carol.get("/admin/invitations")
    assert ("for guest 60" in first.text, "for guest 10" in first.text) == (True, False)
    assert "for guest 10" in (await carol.get(first.older)).text
    found = await carol.get("/admin/invitations?state=revoked&q=GUEST")
    assert ("for guest 07" in found.text, "for guest 08" in found.text) == (True, False)
    file = (await carol.get("/admin/invitations.csv?q=guest")).text
    assert [f"for guest {number:02}" in file for number in range(1, 61)] == [True] * 60


@pytest.mark.parametrize(
    "form",
    [
        {"uses": "0", "days": "7"},
        {"uses": "1", "days": "366"},
        {"uses": "x", "days": "7"},
        {"uses": "1", "days": "7", "reason": ""},
    ],
)
async def test_an_invitation_without_bounds_is_refused(carol, db, form):
    assert (await carol.act("/admin/invitations", {"reason": "x", "note": ""} | form)).status == 400
    assert await numbers(db, "invitation") == 0


@pytest.mark.parametrize(
    "email", ["x@mailinator.com", "x@sub.MAILINATOR.com", "x@trash-mail.de", "x@corp.example", "x@a.corp.example"]
)
def test_an_address_that_is_thrown_away_is_not_taken(tmp_path, email):
    config = settings("postgresql://x/y", tmp_path, blocked_email_domains="corp.example")
    with pytest.raises(ThrowawayAddress):
        admission.check_domain(config, email)


@pytest.mark.parametrize("email", ["x@example.com", "x@notmailinator.com", "x@mailinator.com.example", "x@müller.de"])
def test_an_address_that_only_looks_like_one_is_taken(tmp_path, email):
    admission.check_domain(settings("postgresql://x/y", tmp_path, blocked_email_domains="corp.example"), email)


async def test_a_throwaway_address_cannot_register(stranger, db):
    page = await stranger.post("/register", DORA | {"email": "dora@guerrillamail.com"})
    assert (page.status, "thrown away" in page.text) == (400, True)
    assert await numbers(db, "account") == 3
