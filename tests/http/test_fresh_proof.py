"""A fresh proof: whoever touches keys, money or roles has shown within ten minutes that it is they; nothing typed is lost."""

from __future__ import annotations

import pytest

from limner.sql import factors, sessions
from tests.http.conftest import Browser, Page, available
from tests.http.factor import CAROL, code_of, let_pass, set_up
from tests.http.sitemap import Place, places

PASSWORD = CAROL["password"]
UNGUARDED = {
    "POST /admin/keys/{id}/probe",  # looks at a key, as the locksmith does by itself
    "POST /admin/proxies/{id}/test",
    "POST /admin/providers/{code}/models",  # what comes in is switched off
    "POST /admin/invoices/{id}/check",  # asks the processor again, as the cashier does by itself
    "POST /admin/broadcasts",  # a draft, which nobody gets but who writes it
    "POST /admin/broadcasts/{id}/words",
    "POST /admin/broadcasts/{id}/removal",
    "POST /admin/broadcasts/{id}/trial",
}
"""Acts of an admin that touch neither keys nor money nor roles."""
ASKS = "Is it still you?"


async def grow_old(db) -> None:
    await db.execute("update session set proved_at = now() - interval '10 minutes'")


async def go_on(browser: Browser, asked: Page, path: str, password: str = PASSWORD, **more: str) -> Page:
    """Fill in the proof that the page asks for, and say on the next one that it is meant."""
    proof = {"proof_form": asked.values("proof_form")[0], "proof_password": password, **more}
    return await browser.confirm(path, await browser.post(path, proof))


async def test_every_act_on_keys_money_and_roles_asks_for_one(site, cast, db, alice, carol):
    """An act that others add stands under /admin too: it asks, or it is listed above."""
    acts = [place for place in await places(site, cast, alice) if place.name.startswith("POST /admin/")]
    assert {place.name for place in acts} >= UNGUARDED
    await grow_old(db)
    asking = {place.name for place in acts if await asks(carol, place)}
    assert asking == {place.name for place in acts} - UNGUARDED


async def asks(browser: Browser, place: Place) -> bool:
    page = await browser.post(place.path, {"reason": "x"})
    return page.status == 401 and ASKS in page.text


async def test_who_takes_a_file_of_people_along_is_asked_and_led_to_the_list_that_offers_it(carol, db):
    """A file leaves the browser where it is: that must not be the question."""
    await grow_old(db)
    answer = await carol.get("/admin/users.csv?q=alice")
    assert await db.fetchval("select count(*) from audit where action = 'export'") == 0
    goal = (await carol.get(answer.location)).values("next")[0]
    answer = await carol.post("/account/proof", {"next": goal, "proof_password": PASSWORD})
    listed = await carol.get(answer.location)
    assert (listed.status, "alice@example.com" in listed.text, "bob@example.com" in listed.text) == (200, True, False)
    file = await carol.get(listed.link("Download the file"))
    assert file.headers["Content-Disposition"] == 'attachment; filename="users.csv"'
    assert (b"alice@example.com" in file.body, b"bob@example.com" in file.body) == (True, False)


async def test_a_file_that_nobody_stands_in_is_not_asked_for_and_the_list_offers_none_by_itself(carol, db):
    await grow_old(db)
    assert (await carol.get("/admin/keys.csv")).status == 200
    assert "Download the file" not in (await carol.get("/admin/users")).text


@pytest.mark.parametrize("room", ["wall", "reports"])
async def test_a_list_that_is_made_up_of_pictures_offers_its_file_as_well(carol, db, room):
    await grow_old(db)
    goal = (await carol.get((await carol.get(f"/admin/{room}.csv")).location)).values("next")[0]
    answer = await carol.post("/account/proof", {"next": goal, "proof_password": PASSWORD})
    file = await carol.get((await carol.get(answer.location)).link("Download the file"))
    assert (file.status, file.headers["Content-Type"].partition(";")[0]) == (200, "text/csv")


async def test_only_who_may_take_it_is_offered_a_file(site, cast, db):
    await db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    bob = await site.browser(cast.bob)
    assert "Download the file" not in (await bob.get("/admin/users?file=1")).text


async def test_ten_minutes_after_the_login_nobody_is_asked(carol, cast, db):
    grant = {"credits": "3", "reason": "welcome"}
    assert (await carol.act(f"/admin/users/{cast.bob.id}/grants", grant)).status == 303
    await db.execute("update session set proved_at = now() - interval '9 minutes 30 seconds'")
    assert (await carol.act(f"/admin/users/{cast.bob.id}/grants", grant)).status == 303


async def test_later_she_is_asked_on_the_way_and_the_form_she_sent_is_done(carol, cast, db):
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    asked = await carol.post(path, {"credits": "3", "reason": "welcome"})
    assert (asked.status, ASKS in asked.text) == (401, True)
    assert await available(db, cast.bob) == 0
    answer = await go_on(carol, asked, path)
    assert (answer.status, answer.location) == (303, f"/admin/users/{cast.bob.id}")
    assert await available(db, cast.bob) == 3
    assert await db.fetchval("select after ->> 'reason' from audit where action = 'ledger.adjust'") == "welcome"
    assert (await carol.act(path, {"credits": "1", "reason": "more"})).status == 303, "it holds for a while"


async def test_what_she_typed_into_the_form_is_not_readable_on_the_page(carol, db):
    await grow_old(db)
    form = {"provider": "simulator", "label": "a brush", "secret": "sk-canary-0123456789", "reason": "spare"}
    asked = await carol.act("/admin/keys", form)
    assert "sk-canary" not in asked.text
    assert (await go_on(carol, asked, "/admin/keys")).location == "/admin/keys"
    assert "a brush" in (await carol.get("/admin/keys")).text


async def test_a_form_that_is_wrong_is_answered_as_ever_after_the_proof(carol, cast, db):
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    page = await go_on(carol, await carol.post(path, {"credits": "many", "reason": "x"}), path)
    assert (page.status, "must be a whole number" in page.text) == (400, True)


@pytest.mark.parametrize(
    "password, words", [("wrong-wrong-wrong", "not your current password"), ("", "missing"), ("x" * 300, "most")]
)
async def test_a_wrong_password_does_nothing_and_keeps_the_form(carol, cast, db, password, words):
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    asked = await carol.post(path, {"credits": "3", "reason": "welcome"})
    page = await go_on(carol, asked, path, password)
    assert (page.status, words in page.text, await available(db, cast.bob)) == (400, True, 0)
    assert (await go_on(carol, page, path)).status == 303
    assert await available(db, cast.bob) == 3


async def test_guessing_has_an_end(carol, cast, db):
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    page = await carol.post(path, {"credits": "3", "reason": "welcome"})
    for _ in range(5):
        page = await go_on(carol, page, path, "wrong-wrong-wrong")
    page = await go_on(carol, page, path)
    assert (page.status, "Retry-After" in page.headers, await available(db, cast.bob)) == (429, True, 0)


async def test_with_a_second_factor_the_code_is_asked_for_too(carol, cast, db):
    secret, _ = await set_up(carol, db, cast.carol)
    await let_pass(db)
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    asked = await carol.post(path, {"credits": "3", "reason": "welcome"})
    assert 'name="proof_code"' in asked.text
    for code in ("", "000000"):
        page = await go_on(carol, asked, path, proof_code=code)
        assert (page.status, await available(db, cast.bob)) == (400, 0)
    assert (await go_on(carol, page, path, proof_code=await code_of(db, secret))).status == 303
    assert await available(db, cast.bob) == 3


async def test_a_form_that_waits_is_of_use_to_its_session_and_its_address_alone(carol, site, cast, db):
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    asked = await carol.post(path, {"credits": "3", "reason": "welcome"})
    elsewhere = await go_on(carol, asked, f"/admin/users/{cast.alice.id}/grants")
    assert (elsewhere.status, "out of date" in elsewhere.text) == (400, True)
    other = await site.browser(cast.carol)
    await grow_old(db)
    assert (await go_on(other, asked, path)).status == 400
    for bent in ("", "x", "v1.k1.AAAA", "v1.k9.AAAA", asked.values("proof_form")[0][:-4]):
        page = await carol.post(path, {"proof_form": bent, "proof_password": PASSWORD})
        assert (page.status, "out of date" in page.text) == (400, True)
    assert await available(db, cast.bob) == 0


async def test_a_password_that_rides_on_a_form_is_looked_at_like_any(carol, cast, db):
    await grow_old(db)
    path = f"/admin/users/{cast.bob.id}/grants"
    page = await carol.post(path, {"credits": "3", "reason": "welcome", "proof_password": "wrong-wrong-wrong"})
    assert (page.status, await available(db, cast.bob)) == (400, 0)


async def test_a_supporter_learns_nothing_from_the_question(site, cast, db):
    await db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    bob = await site.browser(cast.bob)
    await grow_old(db)
    assert (await bob.act(f"/admin/users/{cast.alice.id}/grants", {"credits": "3"})).status == 403
    alice = await site.browser(cast.alice)
    await grow_old(db)
    assert (await alice.act(f"/admin/users/{cast.alice.id}/grants", {"credits": "3"})).status == 404


async def test_the_page_of_its_own_leads_back(carol, db):
    await grow_old(db)
    page = await carol.get("/account/proof?next=/admin/keys")
    assert page.values("next") == ["/admin/keys"]
    answer = await carol.post("/account/proof", {"next": "/admin/keys", "proof_password": PASSWORD})
    assert answer.location == "/admin/keys"
    session = await sessions.find(db, carol.session)
    assert session is not None
    assert session.is_fresh


@pytest.mark.parametrize("goal", ["https://evil.test/", "//evil.test", "/\\evil.test"])
async def test_it_leads_nobody_off_the_site(carol, goal):
    answer = await carol.post("/account/proof", {"next": goal, "proof_password": PASSWORD})
    assert answer.location == "/account/security"


async def test_who_changes_their_own_doors_is_asked_as_well(alice, db, cast):
    await grow_old(db)
    for path in ("/account/security/totp", "/account/security/codes"):
        asked = await alice.post(path)
        assert (asked.status, ASKS in asked.text) == (401, True)
    asked = await alice.post("/account/security/totp")
    answer = await go_on(alice, asked, "/account/security/totp", "alice-likes-vermilion")
    assert answer.location == "/account/security/totp"
    assert await factors.is_begun(db, cast.alice.id)


async def test_a_session_of_a_former_release_has_shown_nothing(carol, cast, db):
    await db.execute("update session set proved_at = null")
    assert (await carol.act(f"/admin/users/{cast.bob.id}/grants", {"credits": "3"})).status == 401


async def test_the_word_of_another_place_alone_is_no_proof(site, cast, db):
    browser = await site.browser()
    token = await sessions.start(db, cast.carol.id, ip="127.0.0.1", agent="x", proved=False)
    browser.client.cookie_jar.update_cookies({"session": token}, site.address)
    assert (await browser.get("/admin")).status == 200
    assert (await browser.act(f"/admin/users/{cast.bob.id}/grants", {"credits": "3"})).status == 401
