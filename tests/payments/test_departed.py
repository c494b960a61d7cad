"""Money for an account that is deleted: it opens nothing for nobody, somebody is told, and it can be given back."""

from __future__ import annotations

import pytest

from limner.sql import accounts, books, erasure, payments, refunds
from limner.sql.invoices import WrongState

BY = {"actor": "carol@example.com"}


@pytest.mark.parametrize("when", ["before it could be called off", "after it ran out"])
async def test_what_is_paid_after_the_account_is_gone_is_flagged_and_not_credited(till, when):
    invoice = await till.buy()
    await erasure.erase(till.db, till.cast.bob.id, actor="cli", why="asked for")
    if when == "after it ran out":
        till.btcpay.expire(str(invoice.processor_ref))
        await till.cashier().check(await till.invoice(invoice.id))
        assert (await till.invoice(invoice.id)).state == "expired"
    till.btcpay.pay(str(invoice.processor_ref), confirmed=True)
    await till.cashier().check(await till.invoice(invoice.id))
    await till.work()
    await till.look()
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, found.received_cents) == ("expired", "mismatch", 999)
    assert "account was deleted" in found.trouble_words
    assert await till.credits() == 0
    states = await till.db.fetch("select state from subscription where account_id = $1", till.cast.bob.id)
    assert {row["state"] for row in states} <= {"canceled", "expired"}
    assert await till.db.fetchval("select count(*) from notice where template = 'invoice_paid'") == 0
    await refunds.order(till.db, invoice.id, "whole", "nobody is there", **BY)
    await till.work()
    await till.look()
    assert (await refunds.of_invoice(till.db, invoice.id))[0].state == "sent"
    assert (await till.invoice(invoice.id)).trouble == "", "it is dealt with, and does not come again"
    assert [each.rule for each in await books.verify(till.db, till.site.storage) if each.broken] == []


async def test_nothing_is_bought_by_hand_for_an_account_that_is_gone(till):
    invoice = await till.buy()
    carol = await till.site.browser(till.cast.carol)
    assert f"/admin/invoices/{invoice.id}/payment" in (await carol.get(f"/admin/invoices/{invoice.id}")).text
    await erasure.erase(till.db, till.cast.bob.id, actor="cli", why="asked for")
    with pytest.raises(WrongState, match="is deleted"):
        await payments.mark_paid(till.db, invoice.id, "by post", **BY)
    page = await carol.act(f"/admin/invoices/{invoice.id}/payment", {"reason": "by post"})
    assert (page.status, "is deleted" in page.text) == (409, True)
    assert f"/admin/invoices/{invoice.id}/payment" not in (await carol.get(f"/admin/invoices/{invoice.id}")).text
    grants = f"/admin/users/{till.cast.bob.id}/grants"
    page = await carol.post(grants, {"credits": "5", "reason": "sorry"})
    assert (page.status, "is deleted" in page.text, grants in page.text) == (400, True, False)
    assert await till.credits() == 0
    assert (await accounts.get(till.db, till.cast.bob.id)).deleted_at is not None
