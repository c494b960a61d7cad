"""Codes on the pages: where they are typed, what is said, and that nobody finds one by trying."""

from __future__ import annotations

import csv
import io

import pytest

from limner.sql import codes, gifts, invoices, referrals, sandbox
from limner.sql.codes import Promo
from limner.sql.gifts import Batch
from tests.http.conftest import available, serving


async def promo(db, word="WELCOME", gives="percent", quantity=20, **limits):
    return await codes.create(db, Promo(word, gives, quantity, **limits), actor="carol@example.com")


async def test_bob_orders_with_a_code_and_the_invoice_says_what_it_took_off(bob, db):
    await promo(db)
    page = await bob.get((await bob.post("/plans/monthly/invoices", {"code": " wel come "})).location)
    for said in ("9.99 USD", "−2.00 USD", "7.99 USD"):
        assert said in page.text


async def test_a_code_that_takes_everything_off_opens_the_studio_at_once(bob, db, cast):
    await promo(db, quantity=100)
    page = await bob.get((await bob.post("/plans/monthly/invoices", {"code": "welcome"})).location)
    assert "<strong>Paid.</strong>" in page.text
    assert (await bob.order()).status == 303


async def test_a_wrong_code_is_said_beside_its_field_and_nothing_is_made(bob, db):
    page = await bob.post("/plans/monthly/invoices", {"code": "NOSUCH<b>"})
    assert page.status == 400
    assert "not known here" in page.text
    assert 'id="code-monthly-error"' in page.text
    assert "NOSUCH&lt;b&gt;" in page.text
    assert await db.fetchval("select count(*) from invoice") == 0


async def test_a_code_is_guessed_ten_times_and_then_no_more_for_a_while(bob, alice, db):
    await promo(db, "SECRETWORD")
    for number in range(10):
        assert (await bob.post("/codes", {"code": f"GUESS{number}"})).status == 400
    for path in ("/codes", "/plans/monthly/invoices"):
        page = await bob.post(path, {"code": "SECRETWORD"})
        assert page.status == 429
        assert int(page.headers["Retry-After"]) > 0
    assert await db.fetchval("select uses from code") == 0


async def test_from_one_address_thirty_guesses_are_made_by_whomever(site, db, cast):
    for account in (cast.alice, cast.bob, cast.carol):
        browser = await site.browser(account)
        for number in range(10):
            assert (await browser.post("/codes", {"code": f"GUESS{number}"})).status == 400
    await db.execute("delete from throttle where key like 'code ' || $1", str(cast.bob.id))
    assert (await (await site.browser(cast.bob)).post("/codes", {"code": "GUESS"})).status == 429


async def test_alice_uses_a_code_for_credits_and_sees_that_she_did(alice, db, cast):
    await promo(db, gives="credits", quantity=5)
    page = await alice.post("/codes", {"code": "welcome"})
    assert "5 credits added to your plan" in page.text
    assert "WELCOME" in (await alice.get("/codes")).text
    assert await available(db, cast.alice) == 105
    assert (await alice.post("/codes", {"code": "welcome"})).status == 409


async def paid(site, invoice):
    await invoices.settle(site.db, invoice, actor="test")


async def test_alice_gives_a_month_and_she_alone_sees_the_code(site, alice, bob, db, cast):
    payment = await alice.post("/gifts", {"plan": "monthly", "to": "dora@example.com", "message": "Yours!"})
    invoice = payment.location
    assert "gift-code" not in (await alice.get(invoice)).text
    await paid(site, invoice.rpartition("/")[2])
    shown = await alice.get(invoice)
    secret = await gifts.bought_with(db, await db.fetchval("select id from invoice"), site.config.secret_keys)
    assert f'value="{secret}"' in shown.text
    assert secret in (await alice.get(f"{invoice}/status")).text
    assert (await bob.get(invoice)).status == 404
    assert secret not in (await alice.get("/codes")).text
    used = await bob.post("/codes", {"code": secret})
    assert "Monthly is yours" in used.text
    assert await available(db, cast.bob) == 100
    assert secret not in (await alice.get(invoice)).text, "it is used"


@pytest.mark.parametrize("fields", [
    {"plan": "nothing"}, {"plan": ""}, {"plan": "monthly", "to": "nobody"}, {"plan": "monthly", "message": "x" * 201},
    {"plan": "monthly", "to": "a@example.com\nBcc: b@example.com"},
])  # fmt: skip
async def test_a_gift_that_makes_no_sense_is_not_made(alice, db, fields):
    assert (await alice.post("/gifts", fields)).status in (400, 404)
    assert await db.fetchval("select count(*) from invoice") == 0


async def test_a_trial_is_offered_begun_with_a_button_and_offered_no_more(dsn, tmp_path, db, cast):
    async with serving(dsn, tmp_path, db, trial_credits=3) as site:
        bob = await site.browser(cast.bob)
        for path in ("/plans", "/dashboard"):
            assert 'action="/trial"' in (await bob.get(path)).text
        assert (await bob.post("/trial")).location == "/studio"
        assert await available(db, cast.bob) == 3
        assert (await bob.order()).status == 303
        for path in ("/plans", "/dashboard"):
            assert 'action="/trial"' not in (await bob.get(path)).text
        again = await bob.post("/trial")
        assert (again.status, "it comes once" in again.text) == (400, True)


async def test_a_trial_waits_for_a_confirmed_mail_and_says_so(dsn, tmp_path, db, cast):
    async with serving(dsn, tmp_path, db, trial_credits=3) as site:
        await db.execute("update account set verified_at = null where id = $1", cast.bob.id)
        bob = await site.browser(cast.bob)
        page = await bob.get("/plans")
        assert "when your e-mail address is confirmed" in page.text
        assert 'action="/trial"' not in page.text
        assert "confirm your e-mail address" in (await bob.post("/trial")).text


async def test_without_the_setting_no_trial_is_offered(bob):
    assert 'action="/trial"' not in (await bob.get("/plans")).text
    assert (await bob.post("/trial")).status == 400


async def test_a_newcomer_by_alices_link_is_hers(dsn, tmp_path, db, cast):
    async with serving(dsn, tmp_path, db, referral_credits=10) as site:
        alice, newcomer = await site.browser(cast.alice), await site.browser()
        assert "Make my link" in (await alice.get("/account/referrals")).text
        await alice.post("/account/referrals")
        link = f"/r/{await referrals.link(db, cast.alice.id)}"
        assert link in (await alice.get("/account/referrals")).text
        line = (await newcomer.get(link)).cookies()["referral"]
        assert "HttpOnly" in line and "SameSite=Lax" in line and "Max-Age=2592000" in line
        assert "referral" not in (await newcomer.get("/r/somebodyelse")).cookies(), "the first one counts"
        form = {"email": "dora@example.com", "password": "dora-likes-vermilion-too"}
        assert (await newcomer.post("/register", form)).status == 303
        assert await db.fetchval("select referrer_id from referral") == cast.alice.id
        page = await alice.get("/account/referrals")
        assert "waits for a first order" in page.text
        assert "dora" not in page.text, "who came is their own affair"


async def test_where_nobody_is_thanked_a_link_sets_no_cookie(stranger):
    page = await stranger.get("/r/abc")
    assert (page.location, "referral" in page.cookies()) == ("/", False)


@pytest.mark.parametrize("code", ["a%20b", "%00", "x" * 41, "..%2f", "é"])
async def test_a_link_that_is_none_leads_nowhere(stranger, code):
    assert (await stranger.get(f"/r/{code}")).status == 404


PROMO = {"word": "SPRING", "gives": "amount", "quantity": "4.99", "currency": "usd", "most_per_account": "1"}


async def test_carol_makes_a_code_looks_at_it_and_stops_it(carol, bob, db):
    made = await carol.act("/admin/codes", PROMO | {"most_uses": "10", "ends_at": "2099-01-31", "plan": "monthly"})
    page = await carol.get(made.location)
    for said in ("SPRING", "4.99 USD off", "0 of 10", "Monthly", "31 Jan 2099"):
        assert said in page.text
    await bob.post("/plans/monthly/invoices", {"code": "spring"})
    assert "bob@example.com" in (await carol.get(made.location)).text
    assert (await carol.act(f"{made.location}/stop", {"reason": "a mistake"})).status == 303
    assert "stopped" in (await carol.get("/admin/codes")).text
    assert (await carol.act(f"{made.location}/stop", {"reason": "again"})).status == 400
    rows = await db.fetch("select actor, action from audit where subject = 'SPRING' order by id")
    assert [tuple(row) for row in rows] == [
        ("carol@example.com", "code.made"), ("carol@example.com", "code.stopped"),
    ]  # fmt: skip


@pytest.mark.parametrize("change, field", [
    ({"word": ""}, "word"), ({"word": "a"}, "word"), ({"quantity": "many"}, "quantity"), ({"quantity": "-1"}, "quantity"),
    ({"quantity": "1.234"}, "quantity"), ({"gives": "percent", "quantity": "101"}, "quantity"), ({"gives": "joy"}, "gives"),
    ({"plan": "nothing"}, "plan"), ({"ends_at": "soon"}, "ends_at"), ({"most_uses": "-1"}, "most_uses"),
])  # fmt: skip
async def test_a_code_that_makes_no_sense_is_refused_beside_its_field(carol, db, change, field):
    page = await carol.act("/admin/codes", PROMO | change)
    assert page.status == 400
    assert f'id="{field}-error"' in page.text
    assert await db.fetchval("select count(*) from code") == 0


async def test_a_batch_of_gifts_is_a_file_told_once(carol, bob, db, cast):
    page = await carol.act("/admin/codes/batches", {"count": "3", "gift_plan": "monthly", "gift_note": "for the fair"})
    assert (page.status, page.headers["Content-Type"].partition(";")[0]) == (200, "text/csv")
    assert "attachment" in page.headers["Content-Disposition"]
    assert page.headers["Cache-Control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(page.text)))
    assert [row["gives"] for row in rows] == ["Monthly"] * 3
    listed = (await carol.get("/admin/codes?kind=gift")).text
    assert all(row["code"] not in listed and f"…{row['code'][-4:]}" in listed for row in rows)
    assert (await bob.post("/codes", {"code": rows[0]["code"]})).status == 200
    assert await available(db, cast.bob) == 100


async def test_fifty_codes_are_a_page(carol, db):
    await gifts.make(db, Batch(60, None, 5), actor="carol@example.com")
    first = await carol.get("/admin/codes?kind=gift")
    assert first.text.count("/admin/codes/") >= 50
    assert (await carol.get(first.older)).status == 200


async def test_a_sandbox_payment_is_over_the_discounted_amount(studio_at_work, cast, db):
    await promo(db)
    bob = await studio_at_work.browser(cast.bob)
    await bob.post("/plans/monthly/invoices", {"code": "welcome"})
    payment = await sandbox.get(db, await db.fetchval("select processor_ref::uuid from invoice"))
    assert payment.amount_cents == 799
