"""Promo codes: what they take off and add, for whom, how often, and what becomes of a use when nobody pays."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.sql import billing, codes, invoices, ledger, pauses, plans, redemptions, subscriptions
from limner.sql.codes import Promo
from limner.sql.redemptions import CodeSpent
from tests.codes.conftest import crowd, sound


async def bought(db, account, code, plan="monthly"):
    return await billing.buy(db, account.id, await plans.by_code(db, plan), "sandbox", code=code)


async def promo(db, word="WELCOME", gives="percent", quantity=20, **limits):
    return await codes.create(db, Promo(word, gives, quantity, **limits), actor="carol@example.com")


async def test_bob_pays_less_with_a_code_and_the_list_price_is_kept(db, cast):
    invoice = await bought(db, cast.bob, await promo(db))
    assert (invoice.amount_cents, invoice.discount_cents, invoice.list_cents) == (799, 200, 999)
    await invoices.settle(db, invoice.id, actor="test")
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    assert (await codes.get(db, (await codes.find(db, "welcome")).id)).uses == 1
    await sound(db)


@given(
    price=st.integers(0, 10**9), gives=st.sampled_from(["percent", "amount"]), quantity=st.integers(1, 10**9),
)  # fmt: skip
def test_a_discount_is_never_more_than_the_price_and_never_less_than_nothing(price, gives, quantity):
    quantity = quantity % 100 + 1 if gives == "percent" else quantity
    off = codes.discount(made(gives, quantity), price, "USD")
    assert 0 <= off <= price
    if gives == "amount":
        assert off == min(price, quantity)
    else:
        assert abs(off * 100 - price * quantity) <= 50, "to the nearest cent"
        assert quantity < 100 or off == price


@given(price=st.integers(0, 10**7), one=st.integers(1, 100), other=st.integers(1, 100))
def test_more_per_cent_never_take_off_less(price, one, other):
    less, more = sorted((one, other))
    assert codes.discount(made("percent", less), price, "USD") <= codes.discount(made("percent", more), price, "USD")


def made(gives, quantity):
    nothing = dict.fromkeys(("plan_id", "plan_ids", "most_uses", "ends_at", "stopped_at", "invoice_id", "batch"))
    return codes.Code(
        id=None, kind="promo", word="X", gives=gives, quantity=quantity, first_order_only=False, most_per_account=1, uses=0,
        currency="USD" if gives == "amount" else None, note="", made_by="", created_at=None, state="active", **nothing,
    )  # fmt: skip


async def test_a_code_in_another_currency_takes_nothing_off(db, cast):
    code = await promo(db, gives="amount", quantity=500, currency="EUR")
    with pytest.raises(codes.Refused, match="EUR"):
        await bought(db, cast.bob, code)


@pytest.mark.parametrize("gives, quantity", [("percent", 100), ("amount", 999), ("amount", 100_000)])
async def test_an_invoice_with_nothing_left_to_pay_is_paid_at_once_and_no_processor_hears_of_it(
    db, cast, gives, quantity
):
    invoice = await bought(db, cast.bob, await promo(db, gives=gives, quantity=quantity))
    paid = await invoices.get(db, invoice.id)
    assert (paid.state, paid.amount_cents, paid.discount_cents) == ("paid", 0, 999)
    assert (await subscriptions.open_one(db, cast.bob.id)).plan.code == "monthly"
    assert await db.fetchval("select count(*) from message where mailbox = 'billing'") == 0
    await sound(db)


async def test_a_free_month_comes_once(db, cast):
    code = await promo(db, quantity=100)
    await bought(db, cast.bob, code)
    with pytest.raises(CodeSpent, match="used this code already"):
        await bought(db, cast.bob, code)
    assert (await ledger.balance(db, cast.bob.id)).available == 100


@pytest.mark.parametrize(
    "typed", ["welcome10", " WELCOME 10 ", "Wel-come1O", "WELC0MEIO", "ＷＥＬＣＯＭＥ１０", "WЕLСОМЕ10"]
)
async def test_a_code_is_read_as_people_write_it(db, typed):
    made = await promo(db, "WELCOME10")
    assert (await codes.find(db, typed)).id == made.id


@pytest.mark.parametrize("typed", ["", "   ", "WELCOM", "x" * 5000, "'; drop table code; --", "%", "💥"])
async def test_what_is_no_code_is_not_found(db, typed):
    await promo(db, "WELCOME10")
    with pytest.raises(codes.NoSuchCode):
        await codes.find(db, typed)


async def test_two_codes_that_read_the_same_are_one(db):
    await promo(db, "HELLO")
    with pytest.raises(codes.CodeTaken):
        await promo(db, "he11o")


@pytest.mark.parametrize(
    "change", [
        {"word": "ab"}, {"word": "x" * 60}, {"gives": "joy"}, {"quantity": 0}, {"quantity": -1}, {"quantity": 101},
        {"gives": "days", "quantity": 367}, {"most_uses": 0}, {"most_per_account": 0},
    ],
)  # fmt: skip
async def test_a_code_that_makes_no_sense_is_not_made(db, change):
    with pytest.raises(codes.Refused):
        await promo(db, **({"word": "WELCOME"} | change))
    assert await db.fetchval("select count(*) from code") == 0


async def test_a_code_for_one_plan_is_not_for_another(db, cast):
    monthly = await plans.by_code(db, "monthly")
    await db.execute(
        "insert into plan (code, name, price_cents, credits_per_cycle) values ('grand', 'Grand', 2999, 400)"
    )
    code = await promo(db, plans=(monthly,))
    with pytest.raises(CodeSpent, match="not for Grand"):
        await bought(db, cast.bob, code, "grand")
    assert (await bought(db, cast.bob, code)).discount_cents == 200


async def test_a_code_for_a_first_order_is_not_for_a_second(db, cast):
    code = await promo(db, first_order_only=True, most_per_account=5)
    await invoices.settle(db, (await bought(db, cast.bob, code)).id, actor="test")
    with pytest.raises(CodeSpent, match="first order"):
        await bought(db, cast.bob, code)


async def test_two_codes_for_a_first_order_are_not_held_at_once(db, cast):
    await bought(db, cast.bob, await promo(db, "FIRST", first_order_only=True))
    with pytest.raises(CodeSpent, match="first order"):
        await bought(db, cast.bob, await promo(db, "ALSOFIRST", first_order_only=True))


async def test_a_code_that_has_ended_or_was_stopped_does_not_hold(db, cast):
    ended, stopped = await promo(db, "ENDED"), await promo(db, "STOPPED")
    await db.execute("update code set ends_at = now() where word = 'ENDED'")
    await codes.stop(db, stopped, "a mistake", actor="carol@example.com")
    for code in (ended, stopped):
        with pytest.raises(CodeSpent, match="does not hold any more"):
            await bought(db, cast.bob, code)
    assert await db.fetchval("select count(*) from invoice") == 0
    said = await db.fetch("select action from audit where subject = 'STOPPED' order by id")
    assert [row["action"] for row in said] == ["code.made", "code.stopped"]


async def test_clicking_twice_finds_the_same_invoice_and_holds_one_use(db, cast):
    code = await promo(db, most_uses=1)
    first, second = await asyncio.gather(*(bought(db, cast.bob, code) for _ in range(2)))
    assert first.id == second.id
    assert await db.fetchval("select uses from code") == 1


@pytest.mark.parametrize("end", ["expired", "canceled", "invalid"])
async def test_a_use_is_given_back_when_its_invoice_ends_unpaid(db, cast, end):
    code = await promo(db, most_uses=1)
    invoice = await bought(db, cast.bob, code)
    with pytest.raises(CodeSpent, match="used up"):
        await bought(db, cast.alice, code)
    await invoices.move(db, invoice.id, end)
    assert (await bought(db, cast.alice, code)).discount_cents == 200
    await sound(db)


async def test_the_open_invoice_that_holds_a_code_is_named(db, cast):
    code = await promo(db)
    await bought(db, cast.bob, code)
    await db.execute("update invoice set expires_at = now()")
    with pytest.raises(CodeSpent, match="An open invoice of yours"):
        await bought(db, cast.bob, code)


async def test_a_payment_that_comes_late_keeps_its_discount_though_the_use_went_to_somebody_else(db, cast):
    code = await promo(db, most_uses=1)
    late = await bought(db, cast.bob, code)
    await invoices.move(db, late.id, "expired")
    await invoices.settle(db, (await bought(db, cast.alice, code)).id, actor="test")
    assert await invoices.settle(db, late.id, actor="test")
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    assert await db.fetchval("select uses from code") == 1
    assert await db.fetchval("select count(*) from redemption where is_beyond and state = 'used'") == 1
    await sound(db)


async def test_one_code_and_twenty_people_at_once_is_used_once(db, cast):
    code = await promo(db, most_uses=1)
    found = await asyncio.gather(*(bought(db, each, code) for each in await crowd(db, 20)), return_exceptions=True)
    assert sum(isinstance(each, invoices.Invoice) for each in found) == 1
    assert {str(each) for each in found if not isinstance(each, invoices.Invoice)} == {redemptions.USED_UP}
    assert await db.fetchval("select count(*) from invoice") == 1
    await sound(db)


async def test_one_person_with_twenty_browsers_uses_a_code_as_often_as_it_allows(db, cast):
    await promo(db, gives="credits", quantity=5, most_per_account=3)
    tries = (redemptions.redeem(db, cast.alice, "welcome") for _ in range(20))
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, str) for each in found) == 3
    assert (await ledger.balance(db, cast.alice.id)).available == 115
    await sound(db)


async def test_credits_are_added_to_an_open_plan_and_the_statement_says_by_what(db, cast):
    await promo(db, gives="credits", quantity=5)
    assert "5 credits" in await redemptions.redeem(db, cast.alice, "WELCOME")
    entry = (await ledger.entries(db, cast.alice.id))[0]
    assert (entry.kind, entry.credits, entry.why) == ("grant", 5, "Code WELCOME")
    with pytest.raises(CodeSpent, match="you have none"):
        await redemptions.redeem(db, cast.bob, "WELCOME")
    assert await db.fetchval("select uses from code") == 1
    await sound(db)


async def test_days_are_added_to_the_end_and_the_next_month_begins_after_them(db, cast):
    await promo(db, gives="days", quantity=10)
    before = (await subscriptions.open_one(db, cast.alice.id)).period_end
    await redemptions.redeem(db, cast.alice, "WELCOME")
    after = (await subscriptions.open_one(db, cast.alice.id)).period_end
    assert (after - before).total_seconds() == 10 * 86400
    await invoices.settle(db, (await bought(db, cast.alice, None)).id, actor="test")
    assert 28 <= ((await subscriptions.open_one(db, cast.alice.id)).period_end - after).days <= 31


@pytest.mark.parametrize("gives, quantity", [("credits", 5), ("days", 3)])
async def test_what_a_code_adds_comes_with_the_order_when_it_is_paid_and_not_before(db, cast, gives, quantity):
    invoice = await bought(db, cast.bob, await promo(db, gives=gives, quantity=quantity))
    assert (invoice.amount_cents, invoice.discount_cents) == (999, 0)
    assert (await ledger.balance(db, cast.bob.id)).available == 0
    await invoices.settle(db, invoice.id, actor="test")
    assert (await ledger.balance(db, cast.bob.id)).available == (105 if gives == "credits" else 100)
    assert (await subscriptions.open_one(db, cast.bob.id)).days_left >= (28 if gives == "credits" else 31)
    await sound(db)


@pytest.mark.parametrize("gives", ["days", "credits"])
async def test_what_was_paid_with_a_code_is_credited_though_the_plan_was_paused_meanwhile(db, cast, gives):
    invoice = await bought(db, cast.alice, await promo(db, gives=gives, quantity=7))
    before = await ledger.balance(db, cast.alice.id)
    await pauses.pause(db, cast.alice.id, "on a journey", actor="carol@example.com")
    await invoices.settle(db, invoice.id, actor="test")
    assert (await invoices.get(db, invoice.id)).state == "paid"
    gained = (await ledger.balance(db, cast.alice.id)).available - before.available
    assert gained == (107 if gives == "credits" else 100)
    await sound(db)


async def test_a_discount_is_for_an_order_alone(db, cast):
    await promo(db)
    with pytest.raises(CodeSpent, match="where you choose a plan"):
        await redemptions.redeem(db, cast.alice, "WELCOME")


async def test_the_schema_itself_refuses_one_use_too_many(db, cast):
    await promo(db, most_uses=1)
    await db.execute("update code set uses = 1")
    with pytest.raises(Exception, match="code_has_uses_left"):
        await db.execute("update code set uses = 2")


async def test_an_edited_plan_leaves_an_invoice_with_a_code_as_it_was(db, cast):
    invoice = await bought(db, cast.bob, await promo(db))
    await db.execute("update plan set price_cents = 5000")
    assert (await invoices.get(db, invoice.id)).list_cents == 999


@pytest.mark.parametrize("off, left", [(950, 49), (998, 1)])
async def test_a_discount_that_leaves_less_than_the_card_takes_is_said_at_the_order_and_spends_nothing(
    db, cast, off, left
):
    code = await promo(db, gives="amount", quantity=off, currency="USD")
    with pytest.raises(
        billing.TooLittle, match=rf"0\.{left:02d} USD would be left to pay; Stripe takes 0\.50 USD"
    ) as why:
        await billing.buy(db, cast.bob.id, await plans.by_code(db, "monthly"), "stripe", code=code)
    assert why.value.field == "code"
    assert await db.fetchval("select count(*) from invoice where account_id = $1", cast.bob.id) == 0
    assert (await codes.find(db, code.word)).uses == 0
    assert (await bought(db, cast.bob, code)).amount_cents == left, "another way takes it"
    await sound(db)


@pytest.mark.parametrize("off, left", [(949, 50), (999, 0)])
async def test_just_enough_and_nothing_at_all_are_taken(db, cast, off, left):
    code = await promo(db, gives="amount", quantity=off, currency="USD")
    invoice = await billing.buy(db, cast.bob.id, await plans.by_code(db, "monthly"), "stripe", code=code)
    assert invoice.amount_cents == left
