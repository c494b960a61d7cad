"""Referrals: who brought whom, and the credits for it, which come with the first order that was really paid."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, Transaction
from limner.sql import audit, ledger, subscriptions
from limner.sql.accounts import Account
from limner.sql.places import household, mail_key

if TYPE_CHECKING:
    from limner.sql.invoices import Invoice

ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"
COOKIE_DAYS = 30
MOST_PER_ADDRESS = 2
"""Accounts that are counted for one referrer from one address in a month: a household, not a farm."""
MOST_PER_DAY = 20
"""Accounts that are counted for one referrer in a day."""

MAKE_LINK = "insert into referral_link (account_id, code) values ($1, $2) on conflict (account_id) do nothing"


async def make_link(db: Db, account_id: UUID) -> None:
    """A link of one's own, once."""
    await db.execute(MAKE_LINK, account_id, "".join(secrets.choice(ALPHABET) for _ in range(10)))


LINK = "select code from referral_link where account_id = $1"


async def link(db: Db, account_id: UUID) -> str | None:
    """The word in somebody's link, if they have made one."""
    return await db.fetchval(LINK, account_id)  # type: ignore[no-any-return]


FORGET = "update referral set address = '' where created_at < now() - interval '30 days' and address <> ''"
LOCK = """
select a.id from referral_link as l join account as a on a.id = l.account_id
where l.code = $1 and a.banned_at is null and a.id <> $2 for update of a
"""
REFERRER = """
select a.email, array(select distinct ip from session where account_id = a.id) as places, (
    select count(*) from referral
    where referrer_id = a.id and address = $2 and created_at > now() - interval '30 days'
) as from_here, (
    select count(*) from referral where referrer_id = a.id and created_at > now() - interval '1 day'
) as today
from account as a where a.id = $1
"""
NOTE = """
insert into referral (account_id, referrer_id, address, credits, refused) values ($1, $2, $3, $4, $5)
on conflict (account_id) do nothing
"""


async def note(db: Db, account: Account, code: str, address: str, credits: int) -> None:
    """A new account came by somebody's link; with ``credits`` of 0 nobody is thanked for that here.

    What speaks against it is noted, too: the same mail in another spelling, the referrer's own address, too many.
    """
    if credits <= 0 or not code or len(code) > 40 or not code.isalnum():
        return
    home = household(address)
    async with db.transaction() as tx:
        await tx.execute(FORGET)
        referrer_id = await tx.fetchval(LOCK, code, account.id)
        row = await tx.fetchrow(REFERRER, referrer_id, home)
        if row is None:
            return
        refused = ""
        if mail_key(row["email"]) == mail_key(account.email):
            refused = "mail"
        elif row["from_here"] >= MOST_PER_ADDRESS or (home in map(household, row["places"]) and row["from_here"] >= 1):
            refused = "address"
        elif row["today"] >= MOST_PER_DAY:
            refused = "many"
        await tx.execute(NOTE, account.id, referrer_id, home, credits, refused)


EARN = """
update referral set invoice_id = $2, earned_at = now()
where account_id = $1 and refused = '' and invoice_id is null returning referrer_id
"""


async def paid(tx: Transaction, invoice: Invoice) -> None:
    """An order was paid. The first one with money in it earns its payer's referrer the credits; once, by constraint."""
    if invoice.amount_cents > 0 and invoice.purpose != "gift":
        referrer_id = await tx.fetchval(EARN, invoice.account_id, invoice.id)
        if referrer_id is not None:
            await pay_due(tx, referrer_id)
    await pay_due(tx, invoice.account_id)


DUE = """
select account_id, referrer_id, credits from referral where referrer_id = $1 and earned_at is not null and entry_id is null
order by earned_at for update
"""
PAID = "update referral set entry_id = $2 where account_id = $1 and entry_id is null"


async def pay_due(tx: Transaction, referrer_id: UUID) -> None:
    """What somebody has earned and not got: as soon as they have a plan, since without one it would be lost."""
    due = await tx.fetch(DUE, referrer_id)
    plan = await subscriptions.alive(tx, referrer_id) if due else None
    for row in due if plan and plan.is_open else ():
        entry_id = await ledger.grant(tx, referrer_id, row["credits"], "Thanks for somebody who came by your link")
        await tx.execute(PAID, row["account_id"], entry_id)
        await _note(tx, "referral.paid", row)


TAKE_BACK = """
update referral set refused = 'refund', invoice_id = null, earned_at = null
where invoice_id = $1 and entry_id is null
"""


# As much as is still there: what was spent meanwhile was spent in good faith.
GIVEN = """
select r.account_id, r.referrer_id, least(r.credits, b.available) as credits
from referral as r join balance as b on b.account_id = r.referrer_id
where r.invoice_id = $1 and r.entry_id is not null and r.taken_credits is null for update
"""
TAKEN = "update referral set taken_credits = $2 where account_id = $1"


async def unpaid(tx: Transaction, invoice_id: UUID) -> None:
    """The order that earned it was paid back: what has not been given yet is not given, what is left of the rest goes."""
    await tx.execute(TAKE_BACK, invoice_id)
    for row in await tx.fetch(GIVEN, invoice_id):
        if row["credits"]:
            why = "The order of somebody who came by your link was paid back"
            await ledger.adjust(tx, row["referrer_id"], -row["credits"], why)
        await tx.execute(TAKEN, row["account_id"], row["credits"])
        await _note(tx, "referral.taken_back", row)


GIVE_AGAIN = """
update referral as r set taken_credits = null from referral as old
where r.invoice_id = $1 and r.taken_credits is not null and old.account_id = r.account_id
returning r.account_id, r.referrer_id, old.taken_credits as credits
"""


async def paid_after_all(tx: Transaction, invoice_id: UUID) -> None:
    """The money could not go back: what was taken comes again."""
    for row in await tx.fetch(GIVE_AGAIN, invoice_id):
        if row["credits"]:
            why = "The order of somebody who came by your link was not paid back after all"
            await ledger.adjust(tx, row["referrer_id"], row["credits"], why)
        await _note(tx, "referral.paid", row)


async def _note(tx: Transaction, action: str, row: asyncpg.Record) -> None:
    after = {"credits": row["credits"], "for": str(row["account_id"])}
    await audit.record(tx, "system", action, str(row["referrer_id"]), None, after)


@dataclass(frozen=True)
class Referral:
    """``state``: waiting for a first order, earned, paid, taken back, or refused and why. No name: that is theirs."""

    state: str
    credits: int
    created_at: datetime
    earned_at: datetime | None


OF_REFERRER = """
select case when refused <> '' then refused when taken_credits is not null then 'taken'
    when entry_id is not null then 'paid' when earned_at is not null then 'earned'
    else 'waiting' end as state, credits, created_at, earned_at
from referral where referrer_id = $1 order by created_at desc limit $2
"""


async def of_referrer(db: Db, account_id: UUID, count: int = 100) -> list[Referral]:
    """Who came by somebody's link, the latest first."""
    return [Referral(**row) for row in await db.fetch(OF_REFERRER, account_id, count)]
