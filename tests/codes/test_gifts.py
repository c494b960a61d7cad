"""Gift codes: money that anybody may hold, used once, and of which the database knows only a hash."""

from __future__ import annotations

import asyncio

import pytest

from limner.sql import billing, codes, gifts, invoices, ledger, plans, redemptions, subscriptions
from limner.sql.gifts import Batch
from limner.sql.redemptions import CodeSpent
from tests.codes.conftest import crowd, sound

KEYS = ("k" * 40, "old" * 20)


async def month(db, count=1, **more):
    plan = await plans.by_code(db, "monthly")
    return await gifts.make(db, Batch(count, plan, 0, **more), actor="carol@example.com")


async def given(db, cast, **about):
    plan = await plans.by_code(db, "monthly")
    return await billing.buy_gift(db, cast.alice, plan, "sandbox", KEYS, **({"to": "", "message": ""} | about))


async def test_bob_uses_a_gift_and_has_a_plan(db, cast):
    (secret,) = await month(db)
    assert "Monthly is yours until" in await redemptions.redeem(db, cast.bob, secret)
    assert (await subscriptions.open_one(db, cast.bob.id)).plan.code == "monthly"
    entry = (await ledger.entries(db, cast.bob.id))[0]
    assert (entry.kind, entry.credits, entry.why) == ("grant", 100, f"Gift …{secret[-4:]}: Monthly")
    await sound(db)


async def test_a_gift_on_top_of_a_plan_adds_a_month_at_its_end(db, cast):
    (secret,) = await month(db)
    before = (await subscriptions.open_one(db, cast.alice.id)).period_end
    await redemptions.redeem(db, cast.alice, secret)
    after = (await subscriptions.open_one(db, cast.alice.id)).period_end
    assert 28 <= (after - before).days <= 31
    assert (await ledger.balance(db, cast.alice.id)).available == 200


async def test_one_gift_and_twenty_people_at_once_goes_to_one(db, cast):
    (secret,) = await month(db)
    people = await crowd(db, 20)
    found = await asyncio.gather(*(redemptions.redeem(db, each, secret) for each in people), return_exceptions=True)
    assert sum(isinstance(each, str) for each in found) == 1
    assert all(isinstance(each, str | CodeSpent) for each in found)
    assert await db.fetchval("select count(*) from ledger_entry where why like 'Gift%'") == 1
    assert await db.fetchval("select count(*) from subscription where account_id <> $1", cast.alice.id) == 1
    await sound(db)


async def test_the_database_never_holds_a_gift(db, cast):
    invoice = await given(db, cast)
    await invoices.settle(db, invoice.id, actor="test")
    secrets = [*(await month(db, 3)), await gifts.bought_with(db, invoice.id, KEYS)]
    for table in ("code", "audit", "notice", "message", "invoice", "redemption"):
        held = await db.fetchval(f"select coalesce(string_agg(t::text, ' '), '') from {table} as t")
        for secret in secrets:
            assert secret not in held
            assert codes.key_of(secret) not in held


async def test_each_gift_of_a_batch_is_another_and_has_80_bits(db):
    made = await month(db, 200)
    assert len(set(made)) == 200
    assert all(len(codes.key_of(secret)) == 16 and set(secret) <= set(gifts.ALPHABET + "-") for secret in made)
    assert await db.fetchval("select count(*) from audit where action = 'code.batch_made'") == 1


@pytest.mark.parametrize("count, credits", [(0, 5), (-1, 5), (1001, 5), (1, 0), (1, -5), (1, 10**9)])
async def test_a_batch_that_makes_no_sense_is_not_made(db, count, credits):
    with pytest.raises(codes.Refused):
        await gifts.make(db, Batch(count, None, credits), actor="carol@example.com")


async def test_credits_as_a_gift_are_for_whoever_has_a_plan(db, cast):
    (secret,) = await gifts.make(db, Batch(1, None, 25), actor="carol@example.com")
    with pytest.raises(CodeSpent, match="Choose one first"):
        await redemptions.redeem(db, cast.bob, secret)
    await redemptions.redeem(db, cast.alice, secret.lower().replace("-", " "))
    assert (await ledger.balance(db, cast.alice.id)).available == 125
    await sound(db)


async def test_a_gift_is_no_discount(db, cast):
    (secret,) = await month(db)
    with pytest.raises(CodeSpent, match="This is a gift"):
        code = await codes.find(db, secret)
        await billing.buy(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox", code=code)


async def test_a_bought_gift_holds_when_it_is_paid_and_gives_its_buyer_nothing(db, cast):
    invoice = await given(db, cast)
    code_id = await db.fetchval("select id from code")
    secret = gifts.secret_of(code_id, KEYS[0])
    assert await gifts.bought_with(db, invoice.id, KEYS) is None
    with pytest.raises(codes.NoSuchCode):
        await redemptions.redeem(db, cast.bob, secret)
    await invoices.settle(db, invoice.id, actor="test")
    assert await gifts.bought_with(db, invoice.id, KEYS) == secret
    assert (await ledger.balance(db, cast.alice.id)).available == 100
    await sound(db)
    await redemptions.redeem(db, cast.bob, secret)
    assert await gifts.is_redeemed(db, invoice.id)
    await sound(db)


async def test_a_bought_gift_is_still_shown_after_the_keys_were_rotated(db, cast):
    invoice = await given(db, cast)
    await invoices.settle(db, invoice.id, actor="test")
    secret = await gifts.bought_with(db, invoice.id, KEYS)
    assert await gifts.bought_with(db, invoice.id, ("new" * 20, KEYS[0])) == secret
    assert await gifts.bought_with(db, invoice.id, ("new" * 20,)) is None


@pytest.mark.parametrize("to", ["", "dora@example.com"])
async def test_a_paid_gift_goes_out_by_mail_once_without_the_code_in_the_outbox(db, cast, to):
    invoice = await given(db, cast, to=to, message="Happy birthday")
    assert await db.fetchval("select count(*) from notice") == 0
    await asyncio.gather(*(invoices.settle(db, invoice.id, actor="test") for _ in range(5)))
    (notice,) = await db.fetch("select * from notice where template = 'gift_code'")
    assert notice["recipient"] == (to or "alice@example.com")
    assert notice["details"]["giver"] == ("alice@example.com" if to else None)
    assert notice["details"]["invoice_id"] == str(invoice.id)
    assert "code" not in notice["details"]


async def test_a_gift_whose_money_goes_back_cannot_be_used_any_more(db, cast):
    invoice = await given(db, cast)
    await invoices.settle(db, invoice.id, actor="test")
    secret = await gifts.bought_with(db, invoice.id, KEYS)
    async with db.transaction() as tx:
        assert await gifts.withdraw(tx, invoice.id, actor="carol@example.com")
    with pytest.raises(CodeSpent):
        await redemptions.redeem(db, cast.bob, secret)


async def test_a_plan_that_grew_meanwhile_gives_what_was_promised(db, cast):
    (secret,) = await month(db)
    await db.execute("update plan set credits_per_cycle = 7")
    await redemptions.redeem(db, cast.bob, secret)
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    await sound(db)
