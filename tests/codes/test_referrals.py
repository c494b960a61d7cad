"""Referrals: thanks come once, with the first order that was really paid, and never for bringing oneself."""

from __future__ import annotations

import asyncio

import pytest

from limner.sql import accounts, audit, billing, codes, invoices, ledger, plans, referrals, refunds, sessions, trials
from limner.sql.codes import Promo
from tests.codes.conftest import crowd, sound


async def brought(db, referrer, account, *, address="198.51.100.1", credits=10):
    await referrals.make_link(db, referrer.id)
    await referrals.note(db, account, await referrals.link(db, referrer.id), address, credits)


async def buys(db, account, *, code=None):
    plan = await plans.by_code(db, "monthly")
    invoice = await billing.buy(db, account.id, plan, "sandbox", code=code)
    await invoices.settle(db, invoice.id, actor="test")
    return invoice


async def thanks(db, account):
    why = "select coalesce(sum(credits), 0)::int from ledger_entry where account_id = $1 and why like 'Thanks%'"
    return await db.fetchval(why, account.id)


async def states(db, account):
    return [each.state for each in await referrals.of_referrer(db, account.id)]


async def test_alice_is_thanked_when_bob_has_paid_his_first_order_and_not_before(db, cast):
    await brought(db, cast.alice, cast.bob)
    assert (await thanks(db, cast.alice), await states(db, cast.alice)) == (0, ["waiting"])
    await buys(db, cast.bob)
    assert (await thanks(db, cast.alice), await states(db, cast.alice)) == (10, ["paid"])
    await buys(db, cast.bob)
    assert await thanks(db, cast.alice) == 10, "once"
    assert any(each.action == "referral.paid" for each in await audit.listing(db))
    await sound(db)


async def test_a_free_order_a_gift_and_a_trial_earn_nothing(db, cast, config):
    await brought(db, cast.alice, cast.bob)
    trying = config.model_copy(update={"trial_credits": 3})
    await trials.claim(db, cast.bob, "192.0.2.1", trying)
    free = await codes.create(db, Promo("FREE", "percent", 100), actor="test")
    assert (await buys(db, cast.bob, code=free)).amount_cents == 0
    monthly = await plans.by_code(db, "monthly")
    gift = await billing.buy_gift(db, cast.bob, monthly, "sandbox", ("k" * 40,), to="", message="")
    await invoices.settle(db, gift.id, actor="test")
    assert (await thanks(db, cast.alice), await states(db, cast.alice)) == (0, ["waiting"])
    await buys(db, cast.bob)
    assert await thanks(db, cast.alice) == 10
    await sound(db)


async def test_ten_settlements_at_once_thank_once(db, cast):
    await brought(db, cast.alice, cast.bob)
    plan = await plans.by_code(db, "monthly")
    made = [(await billing.buy(db, cast.bob.id, plan, way)).id for way in ("one", "two", "three")]
    await asyncio.gather(*(invoices.settle(db, each, actor="test") for each in made * 4))
    assert await thanks(db, cast.alice) == 10
    await sound(db)


async def test_many_who_pay_at_once_are_each_thanked_for(db, cast):
    people = await crowd(db, 6)
    for number, each in enumerate(people):
        await brought(db, cast.alice, each, address=f"198.51.{number}.1")
    await asyncio.gather(*(buys(db, each) for each in people))
    assert await thanks(db, cast.alice) == 60
    await sound(db)


async def test_a_referrer_without_a_plan_gets_it_with_the_next_one(db, cast):
    carol_brings, bob = (await crowd(db, 1))[0], cast.bob
    await brought(db, bob, carol_brings)
    await buys(db, carol_brings)
    assert (await thanks(db, bob), await states(db, bob)) == (0, ["earned"])
    await buys(db, bob)
    assert (await ledger.balance(db, bob.id)).available == 110
    assert await states(db, bob) == ["paid"]
    await sound(db)


async def test_nobody_brings_themselves_in_another_spelling(db, cast):
    await db.execute("update account set email = 'alice.painter@gmail.com' where id = $1", cast.alice.id)
    other = await accounts.create(db, "alicepainter+2@gmail.com", "none")
    await brought(db, cast.alice, other)
    assert await states(db, cast.alice) == ["mail"]
    await buys(db, other)
    assert await thanks(db, cast.alice) == 0


async def test_one_household_is_counted_and_no_farm(db, cast):
    await sessions.start(db, cast.alice.id, ip="198.51.100.1", agent="")
    for each in await crowd(db, 4):
        await brought(db, cast.alice, each)
    assert sorted(await states(db, cast.alice)) == ["address", "address", "address", "waiting"]


async def test_elsewhere_two_from_one_address_are_counted(db, cast):
    for each in await crowd(db, 4):
        await brought(db, cast.alice, each, address="203.0.113.9")
    assert sorted(await states(db, cast.alice)) == ["address", "address", "waiting", "waiting"]


@pytest.mark.parametrize("code", ["", "nobody", "x" * 500, "a b", "'; --", "\x00"])
async def test_a_link_that_is_nobodys_is_noted_for_nobody(db, cast, code):
    await referrals.note(db, cast.bob, code, "198.51.100.1", 10)
    assert await db.fetchval("select count(*) from referral") == 0


async def test_where_nobody_is_thanked_nothing_is_noted(db, cast):
    await brought(db, cast.alice, cast.bob, credits=0)
    assert await db.fetchval("select count(*) from referral") == 0


async def test_the_first_link_counts_and_ones_own_never(db, cast):
    await brought(db, cast.alice, cast.bob)
    await brought(db, cast.carol, cast.bob)
    await brought(db, cast.carol, cast.carol)
    assert await db.fetchval("select array_agg(referrer_id) from referral") == [cast.alice.id]


async def test_an_order_that_is_paid_back_before_the_thanks_came_brings_none(db, cast):
    (newcomer,) = await crowd(db, 1)
    await brought(db, cast.bob, newcomer)
    invoice = await buys(db, newcomer)
    async with db.transaction() as tx:
        await referrals.unpaid(tx, invoice.id)
    await buys(db, cast.bob)
    assert (await thanks(db, cast.bob), await states(db, cast.bob)) == (0, ["refund"])
    await sound(db)


async def test_what_is_left_of_the_thanks_is_taken_back_when_the_order_is_paid_back(db, cast):
    await brought(db, cast.alice, cast.bob)
    invoice = await buys(db, cast.bob)
    before = (await ledger.balance(db, cast.alice.id)).available
    await refunds.order(db, invoice.id, "whole", "a complaint", actor="test")
    assert (await ledger.balance(db, cast.alice.id)).available == before - 10
    assert await states(db, cast.alice) == ["taken"]
    line = (await ledger.entries(db, cast.alice.id, 1))[0]
    assert (line.change, "came by your link was paid back" in line.why) == (-10, True)
    assert any(each.action == "referral.taken_back" for each in await audit.listing(db))
    await sound(db)


async def test_thanks_stay_taken_when_a_surplus_cannot_be_sent_while_the_rest_goes_back(db, cast):
    await brought(db, cast.alice, cast.bob)
    invoice = await buys(db, cast.bob)
    before = (await ledger.balance(db, cast.alice.id)).available
    await db.execute("update invoice set received_cents = amount_cents + 500 where id = $1", invoice.id)
    surplus = await refunds.order(db, invoice.id, "surplus", "too much", actor="test")
    await refunds.order(db, invoice.id, "whole", "a complaint", actor="test")
    await refunds.failed(db, surplus, "no funds")
    assert (await ledger.balance(db, cast.alice.id)).available == before - 10
    assert await states(db, cast.alice) == ["taken"]
    await sound(db)


@pytest.mark.parametrize("left, taken", [(4, 4), (0, 0)])
async def test_thanks_that_were_spent_stay_spent(db, cast, left, taken):
    await brought(db, cast.alice, cast.bob)
    invoice = await buys(db, cast.bob)
    available = (await ledger.balance(db, cast.alice.id)).available
    await ledger.adjust(db, cast.alice.id, left - available, "painted")
    await refunds.order(db, invoice.id, "whole", "a complaint", actor="test")
    assert (await ledger.balance(db, cast.alice.id)).available == left - taken
    assert await db.fetchval("select taken_credits from referral") == taken
    await sound(db)


async def test_thanks_come_again_when_the_money_could_not_go_back(db, cast):
    await brought(db, cast.alice, cast.bob)
    invoice = await buys(db, cast.bob)
    before = (await ledger.balance(db, cast.alice.id)).available
    refund = await refunds.order(db, invoice.id, "whole", "a complaint", actor="test")
    await refunds.failed(db, refund, "no funds")
    assert (await ledger.balance(db, cast.alice.id)).available == before
    assert await states(db, cast.alice) == ["paid"]
    await sound(db)
