"""The menu of payments: what is to be decided first, marked paid and given back by the same rules as on the web, asked twice."""

from __future__ import annotations

import pytest

from limner.sql import invoices, ledger, payments, plans, refunds
from tests.bot.phone import acts, paired


@pytest.fixture
async def owner(db, config):
    return await paired(db, config)


async def bought(db, account) -> invoices.Invoice:
    return await invoices.create(db, account.id, await plans.by_code(db, "monthly"), "sandbox")


async def paid(db, account) -> invoices.Invoice:
    """Through the processor: what came can go back."""
    invoice = await bought(db, account)
    await invoices.settle(db, invoice.id, actor="test")
    await db.execute("update invoice set received_cents = 1200 where id = $1", invoice.id)
    return await invoices.get(db, invoice.id)


async def test_what_is_to_be_decided_comes_first(owner, cast, db):
    invoice, other = await bought(db, cast.bob), await bought(db, cast.carol)
    await db.execute("update invoice set trouble = 'partial', trouble_words = 'Half <came>.' where id = $1", invoice.id)
    await owner.press("payments")
    assert "To be decided</b>: 1" in owner.shown.text and owner.words[0] == "⚠️ 9.99 USD · bob@example.com"
    await owner.tap("bob@")
    assert "⚠️ Half &lt;came&gt;." in owner.shown.text and "Through sandbox, received 0.00 USD" in owner.shown.text
    await owner.press("payments:open")
    assert {data for data in owner.data if ":see:" in data} == {f"payments:see:{each.id}" for each in (invoice, other)}
    await owner.tap("Find")
    await owner.say(str(other.id).upper())
    assert [words for words in owner.words if "@" in words] == ["🟡 9.99 USD · carol@example.com"]
    await owner.tap("Find")
    await owner.say("100%")
    assert "“100%”" in owner.shown.text and "Nothing here." in owner.shown.text


async def test_an_invoice_is_marked_paid_after_a_yes_and_credited_once(owner, cast, db):
    invoice = await bought(db, cast.bob)
    await owner.press(f"payments:see:{invoice.id}")
    await owner.tap("Mark paid")
    assert "Mark 9.99 USD of <b>bob@example.com</b> for Monthly as paid?" in owner.shown.text
    assert (await invoices.get(db, invoice.id)).state == "pending"
    await owner.yes()
    assert owner.shown.toast == "Done." and "Mark paid" not in str(owner.words)
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    await owner.press(f"payments:paid:{invoice.id}")
    await owner.yes()
    assert "cannot be marked paid again" in owner.shown.toast
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    assert ("bot 7", "invoice.marked_paid") in await acts(db)


async def test_a_doubted_payment_that_holds_is_asked_about_in_words_of_its_own(owner, cast, db):
    invoice = await paid(db, cast.bob)
    assert await payments.doubt(db, invoice, {}, actor="cashier")
    assert (await ledger.balance(db, cast.bob.id)).available == 0
    await owner.press(f"payments:see:{invoice.id}")
    assert "✅ Mark paid" not in owner.words
    await owner.tap("It holds")
    assert "hold after all?" in owner.shown.text and "the 100 credits that were frozen" in owner.shown.text
    assert "plan begins" not in owner.shown.text
    await owner.yes()
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    await owner.press(f"payments:holds:{invoice.id}")
    await owner.yes()
    assert "cannot be marked paid again" in owner.shown.toast


async def test_what_came_into_doubt_after_the_question_is_not_thawed_by_its_yes(owner, cast, db):
    invoice = await bought(db, cast.bob)
    await owner.press(f"payments:paid:{invoice.id}")
    await invoices.settle(db, invoice.id, actor="test")
    assert await payments.doubt(db, await invoices.get(db, invoice.id), {}, actor="cashier")
    await owner.yes()
    assert "is in doubt: look again" in owner.shown.toast
    assert (await ledger.balance(db, cast.bob.id)).available == 0


async def test_a_refund_has_a_reason_shows_what_it_costs_and_is_ordered_once(owner, cast, db):
    invoice = await paid(db, cast.bob)
    await owner.press(f"payments:see:{invoice.id}")
    assert "↩️ Give back 12.00 USD" in owner.words and "↩️ The surplus 2.01 USD" in owner.words
    await owner.tap("Give back")
    await owner.say("x" * 201)
    assert "at most 200 characters, not 201" in owner.shown.text
    await owner.say("Paid <twice>")
    assert "Credits taken for it: 100." in owner.shown.text and "Why: Paid &lt;twice&gt;" in owner.shown.text
    assert await refunds.of_invoice(db, invoice.id) == []
    await owner.yes()
    [refund] = await refunds.of_invoice(db, invoice.id)
    assert (refund.kind, refund.amount_cents, refund.credits_taken, refund.reason, refund.actor) == (
        "whole", 1200, 100, "Paid <twice>", "bot 7",
    )  # fmt: skip
    assert (await ledger.balance(db, cast.bob.id)).available == 0
    await owner.press(f"payments:whole:{invoice.id}")
    assert owner.shown.toast == "There is nothing to give back."
    assert ("bot 7", "invoice.refund") in await acts(db)


async def test_another_amount_than_was_agreed_to_does_not_go_back(owner, cast, db):
    invoice = await paid(db, cast.bob)
    await owner.press(f"payments:surplus:{invoice.id}")
    await owner.say("Too much came")
    await db.execute("update invoice set received_cents = 5000 where id = $1", invoice.id)
    await owner.yes()
    assert "another amount by now" in owner.shown.toast and await refunds.of_invoice(db, invoice.id) == []


@pytest.mark.parametrize("state", ["paid", "expired"])
async def test_what_comes_after_all_went_back_is_asked_about_without_a_plan_that_stays(owner, cast, db, state):
    invoice = await bought(db, cast.bob)
    if state == "paid":
        await invoices.settle(db, invoice.id, actor="test")
    await db.execute("update invoice set received_cents = 400, state = $2 where id = $1", invoice.id, state)
    await refunds.order(db, invoice.id, "whole", "a complaint", actor="test")
    await paid(db, cast.bob)
    await db.execute("update invoice set received_cents = 5000 where id = $1", invoice.id)
    await owner.press(f"payments:surplus:{invoice.id}")
    await owner.say("It came later")
    assert "back to <b>bob@example.com</b> through sandbox?" in owner.shown.text
    assert "All else that came went back, or is about to; no credits are taken.\nWhy: It came" in owner.shown.text
    assert "plan" not in owner.shown.text and "surplus" not in owner.shown.text
    await owner.yes()
    assert (await refunds.of_invoice(db, invoice.id))[-1].kind == "surplus"
    assert (await ledger.balance(db, cast.bob.id)).available == 100


@pytest.mark.parametrize(
    ("purpose", "words"), [("plan", "The plan stays, and so do its 100"), ("gift", "The gift stays.")]
)
async def test_what_stays_when_a_surplus_goes_back_is_what_was_paid_for(owner, cast, db, purpose, words):
    invoice = await paid(db, cast.bob)
    await db.execute("update invoice set purpose = $2 where id = $1", invoice.id, purpose)
    await owner.press(f"payments:surplus:{invoice.id}")
    await owner.say("Too much came")
    assert "Give the surplus of 2.01 USD back" in owner.shown.text and words in owner.shown.text


async def test_what_was_decided_is_not_asked_again(owner, cast, db):
    invoice = await bought(db, cast.bob)
    await db.execute("update invoice set trouble = 'over', trouble_words = 'Too much.' where id = $1", invoice.id)
    await owner.press(f"payments:decided:{invoice.id}")
    await owner.yes()
    assert (await invoices.get(db, invoice.id)).trouble == ""
    await owner.press("payments")
    assert "To be decided</b>: 0" in owner.shown.text and await acts(db) == [("bot 7", "invoice.dealt_with")]


async def test_what_came_up_meanwhile_is_not_decided_with_what_was_shown(owner, cast, db):
    invoice = await bought(db, cast.bob)
    await db.execute("update invoice set trouble = 'partial', trouble_words = 'Half came.' where id = $1", invoice.id)
    await owner.press(f"payments:decided:{invoice.id}")
    await db.execute("update invoice set trouble = 'doubted', trouble_words = 'Taken back.' where id = $1", invoice.id)
    await owner.yes()
    assert (await invoices.get(db, invoice.id)).trouble == "doubted" and await acts(db) == []
    assert "Taken back." in owner.shown.toast


async def test_the_processor_is_asked(owner, cast, db):
    invoice = await bought(db, cast.bob)
    await owner.press(f"payments:check:{invoice.id}")
    assert await db.fetchval("select count(*) from message where kind = 'CheckInvoice'") == 1


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_who_is_no_owner_moves_no_money(db, config, cast, role):
    invoice = await paid(db, cast.bob)
    phone = await paired(db, config, role)
    await phone.press(f"payments:see:{invoice.id}")
    assert ("Through sandbox" in phone.shown.text) == (role == "viewer")
    assert not [data for data in phone.data if data.endswith(str(invoice.id))]
    for act in ("paid", "whole", "surplus", "decided", "check"):
        await phone.press(f"payments:{act}:{invoice.id}")
        assert phone.shown.toast == "You may look, not change.", act
    assert await acts(db) == []
