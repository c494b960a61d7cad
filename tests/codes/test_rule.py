"""The rule of the books about codes: each kind of damage is found, and each guard of the schema refuses by itself."""

from __future__ import annotations

import asyncpg
import pytest

from limner.sql import billing, books, codes, invoices, plans, redemptions, referrals, trials
from limner.sql.codes import Promo
from tests.codes.conftest import sound

RULE = "a code, a trial and a referral give what they promise, once"


@pytest.fixture
async def fair(db, cast, config):
    """One of each: a use with a grant, one that is reserved, a gift that was paid, a trial, a referral that was thanked for."""
    monthly = await plans.by_code(db, "monthly")
    await codes.create(db, Promo("CREDITS", "credits", 5), actor="test")
    await redemptions.redeem(db, cast.alice, "CREDITS")
    off = await codes.create(db, Promo("OFF", "percent", 10), actor="test")
    await billing.buy(db, cast.alice.id, monthly, "sandbox", code=off)
    gift = await billing.buy_gift(db, cast.alice, monthly, "sandbox", ("k" * 40,), to="", message="")
    await invoices.settle(db, gift.id, actor="test")
    await trials.claim(db, cast.bob, "192.0.2.1", config.model_copy(update={"trial_credits": 3}))
    await referrals.make_link(db, cast.alice.id)
    await referrals.note(db, cast.bob, await referrals.link(db, cast.alice.id) or "", "192.0.2.1", 10)
    invoice = await billing.buy(db, cast.bob.id, monthly, "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    await sound(db)


DAMAGE = (
    "update redemption set entry_id = null where entry_id is not null",
    "update redemption set entry_id = (select max(id) from ledger_entry where kind = 'grant') where entry_id is not null",
    "update code set quantity = 6 where word = 'CREDITS'",
    "update code set uses = 0 where word = 'OFF'",
    "update redemption set state = 'returned', ended_at = now() where state = 'reserved'",
    "update redemption set state = 'used', ended_at = now() where state = 'reserved'",
    "delete from code where invoice_id is not null",
    "update invoice set state = 'expired' where discount_cents > 0",
    "update trial set credits = 4",
    "update referral set credits = 11",
    "update referral set entry_id = (select entry_id from trial)",
)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_each_damage_is_found(db, dsn, fair, damage):
    vandal = await asyncpg.connect(dsn)
    await vandal.execute(f"set session_replication_role = replica; {damage}")
    await vandal.close()
    assert await db.fetch(books.RULES[RULE])


REFUSED = {
    "code_has_uses_left": "update code set most_uses = 1, uses = 2 where word = 'OFF'",
    "redemption_nth": (
        "insert into redemption (code_id, account_id, nth, state, ended_at)"
        " select code_id, account_id, nth, 'used', now() from redemption where entry_id is not null"
    ),
    "redemption_entry_id_key": (
        "update redemption set state = 'used', ended_at = now(), entry_id = (select max(entry_id) from redemption)"
    ),
    "redemption_invoice_id_key": (
        "insert into redemption (code_id, account_id, nth, state, invoice_id)"
        " select code_id, account_id, 9, 'reserved', invoice_id from redemption where invoice_id is not null"
    ),
    "trial_pkey": "insert into trial select account_id, sha256('x'), '', '', 1, (select min(id) from ledger_entry) from trial",
    "trial_mail_hash_key": (
        "insert into trial select (select id from account where role = 'admin'), mail_hash, '', '', 1,"
        " (select min(id) from ledger_entry) from trial"
    ),
    "referral_pkey": (
        "insert into referral (account_id, referrer_id, address, credits)"
        " select account_id, (select id from account where role = 'admin'), '', 1 from referral"
    ),
    "referral_check": "update referral set referrer_id = account_id",
    "code_invoice_id_key": (
        "insert into code (kind, word, secret_hash, gives, quantity, plan_id, most_uses, invoice_id, made_by)"
        " select kind, word, sha256('x'), gives, quantity, plan_id, 1, invoice_id, '' from code where invoice_id is not null"
    ),
}


@pytest.mark.parametrize("guard", REFUSED)
async def test_the_schema_refuses_what_would_give_twice(db, fair, guard):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as why:
        await db.execute(REFUSED[guard])
    assert why.value.constraint_name == guard
