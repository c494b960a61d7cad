"""A gift whose payment is in doubt is used by nobody: neither late nor at the same moment. When it holds, it is a gift again."""

from __future__ import annotations

import pytest

from limner.sql import accounts, billing, codes, doubts, gifts, ledger, payments, plans, redemptions, refunds
from limner.sql.codes import Sought
from limner.sql.redemptions import CodeSpent
from tests.beside import beside
from tests.payments.test_doubts import BY, in_doubt, said

BARRED = "payment for this gift is being looked into"


async def given(till):
    """Bob has paid for a month that anybody may use: the invoice, and the code."""
    keys, plan = till.site.config.secret_keys, await plans.by_code(till.db, "monthly")
    made = await billing.buy_gift(till.db, till.cast.bob, plan, "btcpay", keys, to="", message="")
    await till.work()
    invoice = await till.invoice(made.id)
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    return invoice, await gifts.bought_with(till.db, invoice.id, keys)


async def bounced(till, invoice) -> None:
    till.btcpay.bounce(invoice.processor_ref)
    await said(till)


async def dora(till):
    account = await accounts.create(till.db, "dora@example.com", "none")
    await till.db.execute("update account set verified_at = now() where id = $1", account.id)
    return await accounts.get(till.db, account.id)


async def test_a_gift_in_doubt_is_used_by_nobody_until_its_payment_holds(till):
    (invoice, secret), finder = await given(till), await dora(till)
    await bounced(till, invoice)
    with pytest.raises(CodeSpent, match=BARRED):
        await redemptions.redeem(till.db, finder, secret)
    assert (await codes.find(till.db, secret)).state == "in doubt"
    assert "Nobody can use its gift" in (await till.invoice(invoice.id)).trouble_words
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await said(till)
    assert "Monthly is yours" in await redemptions.redeem(till.db, finder, secret)
    assert (await ledger.balance(till.db, finder.id)).available == 100


async def test_an_admin_who_says_that_it_holds_gives_the_gift_free(till):
    (invoice, secret), finder = await given(till), await dora(till)
    await bounced(till, invoice)
    await payments.mark_paid(till.db, invoice.id, "the bank has it", **BY)
    assert "Monthly is yours" in await redemptions.redeem(till.db, finder, secret)


async def test_what_is_left_as_it_is_stays_barred(till):
    (invoice, secret), finder = await given(till), await dora(till)
    await bounced(till, invoice)
    await payments.dealt_with(till.db, await till.invoice(invoice.id), "it is lost", **BY)
    with pytest.raises(CodeSpent, match=BARRED):
        await redemptions.redeem(till.db, finder, secret)


@pytest.mark.parametrize("trouble", doubts.TROUBLES)
async def test_whatever_the_doubt_is_about_the_gift_waits(till, trouble):
    (invoice, secret), finder = await given(till), await dora(till)
    assert await payments.flag(till.db, invoice.id, trouble, "See what became of the money.", {}, actor="cashier")
    with pytest.raises(CodeSpent, match=BARRED):
        await redemptions.redeem(till.db, finder, secret)


async def test_whoever_uses_it_just_as_it_is_doubted_gets_nothing(till):
    (invoice, secret), finder = await given(till), await dora(till)

    async def use() -> None:
        with pytest.raises(CodeSpent, match=BARRED):
            await redemptions.redeem(till.db, finder, secret)

    await beside(till.db, lambda tx: payments.doubt(tx, invoice, {}, actor="cashier"), use())
    assert await till.db.fetchval("select count(*) from redemption") == 0


async def test_whoever_was_faster_has_it_and_the_doubt_says_so(till):
    (invoice, secret), finder = await given(till), await dora(till)
    later = payments.doubt(till.db, invoice, {}, actor="cashier")
    await beside(till.db, lambda tx: redemptions.redeem(tx, finder, secret), later)
    assert "used already" in (await till.invoice(invoice.id)).trouble_words
    assert (await codes.find(till.db, secret)).state == "used up"
    assert (await ledger.balance(till.db, finder.id)).available == 100
    assert await in_doubt(till) == {"USD": (999, 1)}


async def test_whoever_uses_it_just_as_it_holds_again_has_it(till):
    (invoice, secret), finder = await given(till), await dora(till)
    await bounced(till, invoice)
    later = redemptions.redeem(till.db, finder, secret)
    await beside(till.db, lambda tx: payments.mark_paid(tx, invoice.id, "the bank has it", **BY), later)
    assert (await ledger.balance(till.db, finder.id)).available == 100


@pytest.mark.parametrize("is_doubted", [False, True])
async def test_a_gift_comes_again_when_its_money_could_not_go_back(till, is_doubted):
    (invoice, secret), finder = await given(till), await dora(till)
    if is_doubted:
        await bounced(till, invoice)
    refund = await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    with pytest.raises(CodeSpent, match="does not hold any more"):
        await redemptions.redeem(till.db, finder, secret)
    await refunds.failed(till.db, await refunds.take(till.db, refund.id), "no")
    assert (await codes.find(till.db, secret)).state == ("in doubt" if is_doubted else "active")
    if is_doubted:
        await payments.mark_paid(till.db, invoice.id, "the bank has it", **BY)
    assert "Monthly is yours" in await redemptions.redeem(till.db, finder, secret)


async def test_what_an_admin_had_stopped_before_stays_stopped(till):
    invoice, secret = await given(till)
    await codes.stop(till.db, await codes.find(till.db, secret), "lost", **BY)
    refund = await refunds.order(till.db, invoice.id, "whole", "a complaint", **BY)
    await refunds.failed(till.db, await refunds.take(till.db, refund.id), "no")
    assert (await codes.find(till.db, secret)).state == "stopped"


async def test_its_pages_say_why_nobody_can_use_it(till):
    invoice, secret = await given(till)
    bob, carol = await till.site.browser(till.cast.bob), await till.site.browser(till.cast.carol)
    assert "cannot be used until that is settled" not in (await bob.get(f"/invoices/{invoice.id}")).text
    await bounced(till, invoice)
    assert "The gift cannot be used until that is settled" in (await bob.get(f"/invoices/{invoice.id}")).text
    assert BARRED in (await bob.post("/codes", {"code": secret})).text
    code = await codes.find(till.db, secret)
    assert [each.id for each in await codes.look_through(till.db, Sought(state="in doubt"))] == [code.id]
    page = (await carol.get(f"/admin/codes/{code.id}")).text
    assert "in doubt" in page and f"/admin/invoices/{invoice.id}" in page
    assert "its gift can be used again" in (await carol.get(f"/admin/invoices/{invoice.id}")).text
