"""Paying: an invoice is paid once, when the processor itself says so, and no forged or replayed word counts."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from limner.http.hooks import LARGEST, SIGNATURE
from limner.runtime.signatures import sign
from limner.sql import checkouts, invoices, plans, sandbox
from limner.sql.channels import INVOICE_CHANGED
from tests.http.conftest import Browser, Page, Site, available, serving

SECRET = "sandbox-secret-for-tests"


async def invoiced(site: Site, account, *, said: int | None = None, currency: str = "USD") -> tuple[str, str]:
    """An invoice that the processor knows, perhaps over another amount; the ids of both."""
    invoice = await invoices.create(site.db, account.id, await plans.by_code(site.db, "monthly"), "sandbox")
    payment = await sandbox.open_payment(
        site.db,
        str(invoice.id),
        invoice.amount_cents if said is None else said,
        currency,
        "Monthly",
        return_url=f"{site.url}/invoices/{invoice.id}",
        webhook_url=f"{site.url}/hooks/sandbox",
    )
    await checkouts.attach(site.db, invoice.id, str(payment.id), f"{site.url}/sandbox/{payment.id}")
    return str(invoice.id), str(payment.id)


def event(payment: str, *, number: int = 1, kind: str = "payment.settled") -> bytes:
    return orjson.dumps({"id": f"evt_{number}", "type": kind, "payment_id": payment})


async def call(browser: Browser, body: bytes, *signatures: str) -> Page:
    """The processor's webhook."""
    headers = [("Content-Type", "application/json"), *((SIGNATURE, signature) for signature in signatures)]
    return await browser.send("POST", "/hooks/sandbox", data=body, headers=headers)


async def state(site: Site, invoice: str) -> str:
    return await site.db.fetchval("select state from invoice where id = $1", invoice)


async def until_checked(site: Site) -> None:
    """Until the cashier has nothing left to look at."""

    async def idle() -> bool:
        return not await site.db.fetchval("select exists (select from message where mailbox = 'billing')")

    for _ in range(400):
        if await idle():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the cashier is still busy")


async def test_bob_buys_a_plan_and_may_paint(studio_at_work, cast, db):
    bob = await studio_at_work.browser(cast.bob)
    bought = await bob.post("/plans/monthly/invoices")
    invoice = bought.location
    page = await bob.get(invoice)
    assert "9.99 USD" in page.text
    checkout = await db.fetchval("select checkout_url from invoice")
    assert f'href="{checkout}"' in page.text
    path = checkout.removeprefix(studio_at_work.url)
    assert "No real money moves here" in (await bob.get(path)).text
    paid = await bob.post(path, {"act": "pay"})
    assert paid.location == studio_at_work.url + invoice
    await studio_at_work.until(INVOICE_CHANGED, lambda: db.fetchval("select true from invoice where state = 'paid'"))
    assert "<strong>Paid.</strong>" in (await bob.get(f"{invoice}/status")).text
    assert await available(db, cast.bob) == 100
    assert (await bob.order(model="simulator")).status == 303


async def test_a_declined_payment_grants_nothing_and_says_so(studio_at_work, cast, db):
    bob = await studio_at_work.browser(cast.bob)
    invoice, payment = await invoiced(studio_at_work, cast.bob)
    await bob.post(f"/sandbox/{payment}", {"act": "decline"})
    await studio_at_work.until(
        INVOICE_CHANGED, lambda: db.fetchval("select true from invoice where state = 'canceled'")
    )
    assert "Nothing was charged" in (await bob.get(f"/invoices/{invoice}")).text
    assert await available(db, cast.bob) == 0


async def test_a_lost_webhook_is_made_up_for_by_asking(studio_at_work, cast, db):
    bob = await studio_at_work.browser(cast.bob)
    invoice, payment = await invoiced(studio_at_work, cast.bob)
    await sandbox.decide(db, payment, "settled")
    assert (await bob.post(f"/invoices/{invoice}/check")).location == f"/invoices/{invoice}"
    await studio_at_work.until(INVOICE_CHANGED, lambda: db.fetchval("select true from invoice where state = 'paid'"))
    assert await available(db, cast.bob) == 100


async def test_twenty_webhooks_at_once_pay_once(studio_at_work, cast, db):
    browser = await studio_at_work.browser()
    invoice, payment = await invoiced(studio_at_work, cast.bob)
    await sandbox.decide(db, payment, "settled")
    bodies = [event(payment, number=number // 2) for number in range(20)]
    answers = await asyncio.gather(*(call(browser, body, sign(SECRET, body)) for body in bodies))
    assert {answer.status for answer in answers} == {204}
    await until_checked(studio_at_work)
    assert await state(studio_at_work, invoice) == "paid"
    assert await available(db, cast.bob) == 100
    assert await db.fetchval("select count(*) from payment_event") == 10
    assert await db.fetchval("select count(*) from audit where action = 'invoice.paid'") == 1


async def test_a_replayed_webhook_changes_nothing(studio_at_work, cast, db):
    browser = await studio_at_work.browser()
    _, payment = await invoiced(studio_at_work, cast.bob)
    await sandbox.decide(db, payment, "settled")
    body = event(payment)
    for _ in range(3):
        assert (await call(browser, body, sign(SECRET, body))).status == 204
        await until_checked(studio_at_work)
    assert await available(db, cast.bob) == 100


@pytest.mark.parametrize("said, currency", [(1, "USD"), (998, "USD"), (999, "EUR"), (99900, "USD")])
async def test_a_settled_payment_over_something_else_pays_nothing(studio_at_work, cast, db, said, currency):
    browser = await studio_at_work.browser()
    invoice, payment = await invoiced(studio_at_work, cast.bob, said=said, currency=currency)
    await sandbox.decide(db, payment, "settled")
    body = event(payment)
    await call(browser, body, sign(SECRET, body))
    await until_checked(studio_at_work)
    assert await state(studio_at_work, invoice) == "pending"
    assert await available(db, cast.bob) == 0
    assert await db.fetchval("select count(*) from audit where action = 'invoice.mismatch'") == 1


async def test_a_signed_word_without_a_payment_behind_it_pays_nothing(studio_at_work, cast, db):
    browser = await studio_at_work.browser()
    invoice, payment = await invoiced(studio_at_work, cast.bob)
    body = event(payment)
    assert (await call(browser, body, sign(SECRET, body))).status == 204
    await until_checked(studio_at_work)
    assert await state(studio_at_work, invoice) == "pending"
    assert await available(db, cast.bob) == 0


async def test_every_signature_but_the_right_one_is_refused(site, stranger, cast, db):
    _, payment = await invoiced(site, cast.bob)
    body = event(payment)
    right = sign(SECRET, body)
    for signatures in (
        (), ("",), (right[:-1],), (right + "0",), (right.upper(),), (right.removeprefix("sha256="),),
        (right.replace("sha256", "sha1"),), (right, right), (sign(SECRET, body), "x"), (sign("", body),),
        (sign(SECRET, body + b" "),), (sign("another secret", body),), ("\udcff",), (right + "," + right,),
    ):  # fmt: skip
        page = await call(stranger, body, *signatures)
        assert page.status == 401, signatures
        assert "error" in orjson.loads(page.body)
    assert await db.fetchval("select count(*) from payment_event") == 0
    assert await db.fetchval("select count(*) from message where mailbox = 'billing'") == 0


async def test_the_signature_is_over_the_bytes_as_they_came(stranger, site, cast):
    _, payment = await invoiced(site, cast.bob)
    body = event(payment).replace(b",", b" ,\n")
    assert (await call(stranger, body, sign(SECRET, body))).status == 204


async def test_a_webhook_that_comes_in_pieces_is_read_whole(stranger, site, cast):
    _, payment = await invoiced(site, cast.bob)
    body = event(payment)

    async def slowly():
        for at in range(0, len(body), 10):
            yield body[at : at + 10]
            await asyncio.sleep(0.005)

    page = await stranger.send("POST", "/hooks/sandbox", data=slowly(), headers={SIGNATURE: sign(SECRET, body)})
    assert page.status == 204


async def test_a_payment_that_is_not_known_yet_is_asked_for_again_later(stranger):
    body = event("0d7e6f1c-0000-4000-8000-000000000000")
    assert (await call(stranger, body, sign(SECRET, body))).status == 503


async def test_an_event_that_makes_no_sense_is_refused(stranger, db):
    for body in (
        b"", b"[]", b"null", b'"x"', b"{}", b"not json", b'{"id": 1, "type": "x", "payment_id": "y"}',
        b'{"id": "", "type": "x", "payment_id": "y"}', b'{"id": "a\\u0000", "type": "x", "payment_id": "y"}',
        b'{"id": ["a"], "type": {}, "payment_id": null}', b"[" * 10_000, b"\xff\xfe",
    ):  # fmt: skip
        page = await call(stranger, body, sign(SECRET, body))
        assert page.status == 400, body[:50]
    assert await db.fetchval("select count(*) from payment_event") == 0


async def test_a_webhook_has_a_size(stranger):
    for body in (b"x" * (LARGEST + 1), b"x" * (4 * LARGEST)):
        assert (await call(stranger, body, sign(SECRET, body))).status == 413

    async def unannounced():
        for _ in range(10):
            yield b"x" * 16384

    page = await stranger.send("POST", "/hooks/sandbox", data=unannounced(), headers={SIGNATURE: "sha256=0"})
    assert page.status == 413


@pytest.mark.parametrize("change", [{"sandbox_secret": ""}, {"sandbox_payments": False}])
async def test_a_processor_that_is_not_set_up_believes_nobody(dsn, tmp_path, db, cast, change):
    async with serving(dsn, tmp_path, db, **change) as site:
        _, payment = await invoiced(site, cast.bob)
        browser, body = await site.browser(), event(payment)
        for secret in ("", SECRET):
            assert (await call(browser, body, sign(secret, body))).status == 503
        for key in ("", "Bearer ", f"Bearer {SECRET}"):
            page = await browser.send("GET", f"/sandbox/api/payments/{payment}", headers={"Authorization": key})
            assert page.status in (401, 404)


async def test_without_a_processor_nothing_can_be_bought_or_paid(dsn, tmp_path, db, cast):
    async with serving(dsn, tmp_path, db, sandbox_payments=False) as site:
        _, payment = await invoiced(site, cast.bob)
        bob = await site.browser(cast.bob)
        assert (await bob.post("/plans/monthly/invoices")).status == 400
        assert (await bob.get(f"/sandbox/{payment}")).status == 404
        assert (await bob.post(f"/sandbox/{payment}", {"act": "pay"})).status == 404


@pytest.mark.parametrize("act", ["", "steal", "x" * 11, "PAY"])
async def test_at_the_checkout_one_pays_or_declines(bob, site, cast, db, act):
    _, payment = await invoiced(site, cast.bob)
    assert (await bob.post(f"/sandbox/{payment}", {"act": act})).status == 400
    assert await db.fetchval("select state from sandbox_payment") == "pending"


async def test_a_decided_payment_cannot_be_decided_again(bob, site, cast, db):
    _, payment = await invoiced(site, cast.bob)
    await bob.post(f"/sandbox/{payment}", {"act": "decline"})
    await bob.post(f"/sandbox/{payment}", {"act": "pay"})
    assert await db.fetchval("select state from sandbox_payment") == "declined"
    assert "This payment is declined" in (await bob.get(f"/sandbox/{payment}")).text


async def test_an_open_invoice_is_used_again(bob, db):
    first, second = await asyncio.gather(*(bob.post("/plans/monthly/invoices") for _ in range(2)))
    assert first.location == second.location
    assert await db.fetchval("select count(*) from invoice") == 1


@pytest.mark.parametrize("code", ["nothing", "monthly%00", "%ff", "x" * 2000])
async def test_only_what_is_on_sale_can_be_bought(bob, db, code):
    assert (await bob.post(f"/plans/{code}/invoices")).status == 404
    assert await db.fetchval("select count(*) from invoice") == 0


async def test_a_plan_that_was_taken_off_sale_cannot_be_bought(bob, db):
    await db.execute("update plan set active = false")
    assert (await bob.post("/plans/monthly/invoices")).status == 404
    assert "No plan is on sale" in (await bob.get("/plans")).text


async def test_the_processor_takes_only_what_makes_sense(stranger, db):
    good = {"order_ref": "o", "amount_cents": 1, "currency": "USD", "title": "t", "return_url": "u"}
    for change in (
        {"amount_cents": -1}, {"amount_cents": 10**30}, {"amount_cents": 1e300}, {"amount_cents": "many"},
        {"amount_cents": None}, {"amount_cents": []},
    ):  # fmt: skip
        body = (
            orjson.dumps(good | change)
            if change["amount_cents"] != 10**30
            else b'{"amount_cents": 1' + b"0" * 30 + b"}"
        )
        page = await stranger.send(
            "POST", "/sandbox/api/payments", data=body, headers={"Authorization": f"Bearer {SECRET}"}
        )
        assert page.status == 400, change
    assert await db.fetchval("select count(*) from sandbox_payment") == 0
