"""The pages of money: choose how to pay, see what is missing, and what admins may do about it."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from limner.http import qr
from limner.runtime.cli.commands import main
from limner.sql import accounts, refunds
from tests.payments.conftest import open_till


async def test_whoever_buys_chooses_among_the_processors_that_are_set_up(till):
    bob = await till.site.browser(till.cast.bob)
    page = await bob.get("/plans")
    assert re.findall(r'name="processor" value="(\w+)"', page.text) == ["btcpay", "stripe", "sandbox"]
    for chosen in ("stripe", "btcpay"):
        bought = await bob.post("/plans/monthly/invoices", {"processor": chosen})
        assert await till.db.fetchval("select processor from invoice where id = $1", bought.location[10:]) == chosen
    for wrong in ("paypal", "x" * 21, "Stripe"):
        assert (await bob.post("/plans/monthly/invoices", {"processor": wrong})).status == 400


async def test_with_one_processor_there_is_nothing_to_choose(dsn, tmp_path, db, cast):
    async with open_till(dsn, tmp_path, db, cast, sandbox_payments=False, stripe_api_key=None) as till:
        bob = await till.site.browser(cast.bob)
        assert 'name="processor"' not in (await bob.get("/plans")).text
        await bob.post("/plans/monthly/invoices")
        assert await db.fetchval("select processor from invoice") == "btcpay"
        assert (await bob.post("/plans/monthly/invoices", {"processor": "sandbox"})).status == 400


async def test_the_invoice_shows_the_code_the_address_and_what_is_missing(till):
    bob = await till.site.browser(till.cast.bob)
    invoice = await till.buy()
    page = (await bob.get(f"/invoices/{invoice.id}")).text
    assert 'class="qr-code"' in page and "style=" not in page and invoice.ways[0]["address"] in page
    assert f'value="{invoice.ways[0]["due"]}"' in page and "data-countdown" in page and "until " in page
    till.btcpay.pay(invoice.processor_ref, "4.00")
    await till.look()
    page = (await bob.get(f"/invoices/{invoice.id}/status")).text
    assert "4.00 USD of 9.99 USD arrived" in page and "5.99 USD are missing" in page
    till.btcpay.pay(invoice.processor_ref)
    await till.look()
    assert "being confirmed" in (await bob.get(f"/invoices/{invoice.id}/status")).text
    till.btcpay.confirm(invoice.processor_ref)
    await bob.post(f"/invoices/{invoice.id}/check")
    await till.work()
    assert "<strong>Paid.</strong>" in (await bob.get(f"/invoices/{invoice.id}")).text


async def test_a_link_that_is_none_of_a_wallet_is_left_out(till):
    bob = await till.site.browser(till.cast.bob)
    invoice = await till.buy()
    for link in ("javascript:alert(1)", "https://evil.example", "data:text/html,x"):
        await till.db.execute("update invoice set ways = $1", [dict(invoice.ways[0], link="")])
        assert link not in (await bob.get(f"/invoices/{invoice.id}")).text
    from limner.actors.processors.btcpay import _ways

    method = {"paymentMethodId": "X", "destination": "<b>", "paymentLink": "javascript:alert(1)"}
    assert _ways([method])[0].link == ""


def test_a_code_holds_what_it_was_made_of_or_is_not_drawn():
    assert "<svg" in str(qr.drawn("bitcoin:BC1Q?amount=1"))
    assert qr.drawn("x" * 5000) is None


async def test_its_owner_cancels_an_invoice_and_nobody_a_paid_one(till):
    bob = await till.site.browser(till.cast.bob)
    alice = await till.site.browser(till.cast.alice)
    invoice = await till.buy()
    assert (await alice.post(f"/invoices/{invoice.id}/cancellation")).status == 404
    assert (await bob.post(f"/invoices/{invoice.id}/cancellation")).status == 303
    await till.work()
    assert not (await till.invoice(invoice.id)).is_open
    assert (await bob.post(f"/invoices/{invoice.id}/cancellation")).status == 409


async def test_an_admin_gives_money_back_in_two_steps(till):
    carol, bob = await till.site.browser(till.cast.carol), await till.site.browser(till.cast.bob)
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "15.00", confirmed=True)
    await till.look()
    at = f"/admin/invoices/{invoice.id}"
    assert "To decide." in (await carol.get(at)).text
    asked = await carol.get(f"{at}/refunds")
    assert "5.01 USD" in asked.text and "15.00 USD" in asked.text and "100 credits" in asked.text
    assert await refunds.of_invoice(till.db, invoice.id) == []
    shown = {name: asked.values(name)[0] for name in ("shown_whole", "shown_surplus", "shown_credits")}
    surplus = {"kind": "surplus", "reason": "too much"} | shown
    assert (await carol.post(f"{at}/refunds", surplus | {"reason": ""})).status == 400
    assert (await carol.post(f"{at}/refunds", surplus | {"kind": "half"})).status == 400
    assert (await carol.post(f"{at}/refunds", surplus)).location == at
    assert (await carol.post(f"{at}/refunds", surplus)).status == 409
    await till.work()
    link = till.btcpay.pulls[0]["viewLink"]
    assert link in (await carol.get(at)).text and link in (await bob.get(f"/invoices/{invoice.id}")).text
    actor = await till.db.fetchval("select actor from audit where action = 'invoice.refund'")
    assert actor == till.cast.carol.email


async def test_an_admin_marks_an_invoice_paid_with_a_reason_and_once(till):
    carol = await till.site.browser(till.cast.carol)
    invoice = await till.buy()
    at = f"/admin/invoices/{invoice.id}"
    assert (await carol.act(f"{at}/payment", {}, reason="")).status == 400
    assert (await carol.act(f"{at}/payment", {"reason": "in cash"})).status == 303
    assert (await carol.act(f"{at}/payment", {"reason": "in cash"})).status == 409
    assert (await carol.act(f"{at}/decision", {"reason": "nothing to decide"})).status == 409
    assert await till.is_credited_once(invoice)
    assert "by hand: carol@example.com" in (await carol.get(at)).text


async def test_support_sees_invoices_and_changes_nothing(till):
    await accounts.set_role(till.db, till.cast.bob, "support", actor="test")
    support, invoice = await till.site.browser(till.cast.bob), await till.buy()
    at = f"/admin/invoices/{invoice.id}"
    assert 'method="post"' not in (await support.get(at)).text.partition('<main id="main"')[2]
    for path in ("payment", "refunds", "decision", "check"):
        assert (await support.post(f"{at}/{path}", {"reason": "x", "kind": "whole"})).status == 403


@pytest.mark.parametrize("query", ["", "?state=paid", "?state=trouble", "?q=bob", "?q=%00%25_"])
async def test_invoices_are_found(till, query):
    invoice = await till.buy()
    carol = await till.site.browser(till.cast.carol)
    page = await carol.get(f"/admin/invoices{query}")
    assert page.status == 200
    assert (str(invoice.id) in page.text) == (query in ("", "?q=bob"))


@pytest.mark.parametrize(("query", "words"), [("?state=nonsense", "nonsense"), ("?before=x", "Before")])
async def test_what_makes_no_sense_of_a_list_of_invoices_is_named(till, query, words):
    page = await (await till.site.browser(till.cast.carol)).get(f"/admin/invoices{query}")
    assert (page.status, words in page.text) == (400, True)


async def test_the_command_line_lists_shows_marks_and_gives_back(till, monkeypatch, dsn):
    import asyncio

    paid, by_hand = await till.buy(), await till.buy("stripe")
    till.btcpay.pay(paid.processor_ref, confirmed=True)
    await till.look()
    monkeypatch.setenv("LIMNER_DATABASE_URL", dsn)

    async def limner(*words: str, fed: str = ""):
        return await asyncio.to_thread(CliRunner().invoke, main, ["invoice", *map(str, words)], input=fed)

    listed = await limner("list", "--state", "paid")
    assert str(paid.id) in listed.output and "9.99 USD" in listed.output and str(by_hand.id) not in listed.output
    shown = await limner("show", paid.id)
    assert "received 9.99 USD" in shown.output and "invoice.paid by cashier" in shown.output
    assert (await limner("paid", by_hand.id, "--reason", "in cash")).exit_code == 0
    again = await limner("paid", by_hand.id, "--reason", "in cash")
    assert again.exit_code == 1 and "cannot be marked paid again" in again.output + (again.stderr or "")
    asked = await limner("refund", paid.id, "--reason", "a complaint", fed="n\n")
    assert asked.exit_code == 1 and "Give 9.99 USD back to bob@example.com through btcpay" in asked.output
    assert await refunds.of_invoice(till.db, paid.id) == []
    assert (await limner("refund", paid.id, "--reason", "a complaint", "--yes")).exit_code == 0
    assert (await limner("refund", paid.id, "--reason", "a complaint", "--yes")).exit_code == 1
    await till.work()
    assert len(till.btcpay.pulls) == 1
    assert "sent" in (await limner("show", paid.id)).output
    assert (await limner("check", paid.id)).exit_code == 0


async def test_the_sandbox_plays_what_payers_do(till):
    bob = await till.site.browser(till.cast.bob)
    for acts, state, received in (
        (("part",), "pending", 499), (("part", "pay"), "paid", 999), (("over",), "paid", 1499), (("confirm",), "processing", 999),
        (("confirm", "pay"), "paid", 999), (("expire",), "expired", 0), (("expire", "late"), "paid", 999),
        (("late",), "paid", 999), (("decline",), "canceled", 0),
    ):  # fmt: skip
        for lost in ("", "yes"):
            invoice = await till.buy("sandbox")
            for act in acts:
                assert (await bob.post(f"/sandbox/{invoice.processor_ref}", {"act": act, "lost": lost})).status == 303
            await (till.look() if lost else till.work())
            found = await till.invoice(invoice.id)
            assert (found.state, found.received_cents) == (state, received), (acts, lost)
            assert await till.grants(invoice) == int(state == "paid")
            await till.db.execute("update invoice set expires_at = now() - interval '2 days'")


async def test_the_sandbox_gives_back(till):
    bob = await till.site.browser(till.cast.bob)
    invoice = await till.buy("sandbox")
    await bob.post(f"/sandbox/{invoice.processor_ref}", {"act": "pay"})
    await till.work()
    await refunds.order(till.db, invoice.id, "whole", "a complaint", actor="carol")
    await till.work()
    assert await till.db.fetchval("select refunded_cents from sandbox_payment") == 999
    assert "9.99 USD went back" in (await bob.get(f"/sandbox/{invoice.processor_ref}")).text
