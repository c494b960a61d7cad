"""What an admin decides is about what they were shown, wherever they were shown it, and the audit says how it stood."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from click.testing import CliRunner

from limner.runtime.cli import commands as cli
from limner.sql import erasure, payments, refunds
from limner.sql.invoices import WrongState
from tests.bot.phone import paired
from tests.conftest import VAULT_KEYS
from tests.payments.test_doubts import BY, bought, doubted


async def told(till, *words: str, answer: str = ""):
    """What a command says."""
    environment = {"LIMNER_DATABASE_URL": till.site.config.dsn, "LIMNER_VAULT_KEYS": VAULT_KEYS}
    return await asyncio.to_thread(CliRunner(env=environment).invoke, cli.main, ["invoice", *words], answer)


async def spend(till, credits: int) -> None:
    paint = "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', $2, 'painted')"
    await till.db.execute(paint, till.cast.bob.id, -credits)


async def partial(till):
    """Not paid, and to be decided."""
    invoice = await till.buy()
    await payments.flag(till.db, invoice.id, "partial", "Half of it came.", {}, actor="cashier")
    return await till.invoice(invoice.id)


async def test_paid_by_hand_decides_nothing_that_was_not_shown(till):
    invoice = await till.buy()
    await payments.flag(till.db, invoice.id, "partial", "Half of it came.", {}, actor="cashier")
    with pytest.raises(WrongState, match=r"came up meanwhile: Half of it came\."):
        await payments.mark_paid(till.db, invoice.id, "in cash", **BY, seen=invoice)
    seen = await till.invoice(invoice.id)
    with pytest.raises(WrongState, match="came up meanwhile"):
        await payments.mark_paid(till.db, invoice.id, "in cash", **BY, seen=replace(seen, trouble="over"))
    await payments.dealt_with(till.db, seen, "left", **BY)
    with pytest.raises(WrongState, match="decided by now"):
        await payments.mark_paid(till.db, invoice.id, "in cash", **BY, seen=seen)
    assert (await till.invoice(invoice.id)).state == "pending"


async def test_a_bot_that_asked_before_it_came_up_decides_nothing_of_it(till):
    phone = await paired(till.db, till.site.config)
    invoice = await till.buy()
    await phone.press(f"payments:paid:{invoice.id}")
    await payments.flag(till.db, invoice.id, "partial", "Half of it came.", {}, actor="cashier")
    await phone.yes()
    assert "Half of it came." in phone.shown.toast
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble) == ("pending", "partial")


async def test_the_command_asks_when_something_is_to_be_decided(till):
    invoice = await partial(till)
    asked = await told(till, "paid", str(invoice.id), "--reason", "in cash", answer="n\n")
    assert (asked.exit_code, "To decide: Half of it came." in asked.output) == (1, True)
    assert (await till.invoice(invoice.id)).state == "pending"
    assert (await told(till, "paid", str(invoice.id), "--reason", "in cash", "--yes")).exit_code == 0
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble) == ("paid", "")
    plain = await till.buy()
    assert (await told(till, "paid", str(plain.id), "--reason", "in cash")).exit_code == 0


async def test_what_goes_back_is_what_the_page_had_shown(till):
    carol, invoice = await till.site.browser(till.cast.carol), await bought(till)
    at = f"/admin/invoices/{invoice.id}/refunds"
    page = await carol.get(at)
    shown = {name: page.values(name)[0] for name in ("shown_whole", "shown_surplus", "shown_credits")}
    assert shown == {"shown_whole": "999", "shown_surplus": "0", "shown_credits": "100"}
    asked = {"kind": "whole", "reason": "a complaint"} | shown
    await spend(till, 70)
    again = await carol.post(at, asked)
    assert (again.status, "another amount by now" in again.text, again.values("shown_credits")) == (409, True, ["30"])
    assert (again.values("reason"), 'value="whole" checked' in again.text) == (["a complaint"], True)
    await till.db.execute("update invoice set received_cents = 1200 where id = $1", invoice.id)
    assert (await carol.post(at, asked | {"shown_credits": "30"})).status == 409
    assert (await carol.post(at, asked | {"shown_whole": ""})).status == 400
    assert await refunds.of_invoice(till.db, invoice.id) == []
    assert (await carol.post(at, asked | {"shown_credits": "30", "shown_whole": "1200"})).status == 303
    assert [each.credits_taken for each in await refunds.of_invoice(till.db, invoice.id)] == [30]


@pytest.mark.parametrize(("spent", "is_given"), [(10, True), (11, False), (-1, False)])
async def test_a_few_pictures_painted_meanwhile_are_no_other_amount_and_more_credits_are(till, spent, is_given):
    invoice = await bought(till)
    await spend(till, 50)
    await spend(till, spent)
    ordered = refunds.order(till.db, invoice.id, "whole", "a complaint", **BY, seen=(999, 50))
    if is_given:
        assert (await ordered).credits_taken == 40
        return
    with pytest.raises(WrongState, match="another amount by now"):
        await ordered
    assert await till.credits() == 50 - spent


async def test_what_goes_back_is_what_the_bot_had_shown(till):
    phone, invoice = await paired(till.db, till.site.config), await bought(till)
    await phone.press(f"payments:whole:{invoice.id}")
    await phone.say("A complaint")
    await spend(till, 70)
    await phone.yes()
    assert "another amount by now" in phone.shown.toast
    assert (await refunds.of_invoice(till.db, invoice.id), await till.credits()) == ([], 30)


async def test_a_deleted_accounts_payment_can_be_said_to_hold(till):
    invoice, carol = await doubted(till), await till.site.browser(till.cast.carol)
    await erasure.erase(till.db, till.cast.bob.id, actor="cli", why="asked for")
    at = f"/admin/invoices/{invoice.id}"
    assert f'action="{at}/payment"' in (await carol.get(at)).text
    assert (await carol.act(f"{at}/payment", {})).status == 303
    found = await till.invoice(invoice.id)
    assert (found.trouble, found.frozen_credits) == ("", 0)
    assert not await till.db.fetchval("select count(*) from payment_doubt where until is null")


async def test_the_audit_says_what_was_decided_and_how_it_stood(till):
    invoice = await doubted(till)
    words = (await till.invoice(invoice.id)).trouble_words
    await payments.mark_paid(till.db, invoice.id, "the bank has it", **BY)
    row = await till.db.fetchrow("select before, after from audit where action = 'invoice.marked_paid'")
    before = {"state": "paid", "trouble": "doubted", "words": words, "frozen_credits": 100, "in_doubt": True}
    after = {"state": "paid", "trouble": "", "words": "", "frozen_credits": 0, "in_doubt": False}
    assert (row["before"], row["after"]) == (before, after | {"reason": "the bank has it"})
