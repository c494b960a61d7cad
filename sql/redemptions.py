"""Redemptions: who used which code. A use is reserved with an invoice, or happens at once; what it gives is given once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, Transaction
from limner.runtime.errors import Refused
from limner.sql import audit, codes, doubts, ledger, plans, referrals, subscriptions
from limner.sql.accounts import Account
from limner.sql.codes import Code
from limner.sql.plans import Plan


class CodeSpent(Refused):
    """The code is known, and does not hold for this person, this order or this moment."""

    status = 409

    def __init__(self, words: str) -> None:
        super().__init__(words, field="code", code="code_spent")


ENDED = "This code does not hold any more."
USED_UP = "This code has been used up."
USED_BY_YOU = "You have used this code already."
IN_AN_INVOICE = "An open invoice of yours holds this code: pay it, or wait until it has run out."
FOR_A_PRICE = "This code takes something off a price: enter it where you choose a plan."
NEEDS_A_PLAN = "This code adds to a plan, and you have none that is open. Choose one first."
IN_DOUBT = "The payment for this gift is being looked into. It can be used as soon as that is settled: try again later."
A_GIFT = "This is a gift, not a discount: use it on the page of codes."


async def reserve(tx: Db, code: Code, account_id: UUID, plan: Plan, invoice_id: UUID) -> None:
    """Hold a use of it with an invoice that was just made; the schema gives it back when that ends unpaid.

    The account is locked by the caller. Raises CodeSpent.
    """
    if code.kind == "gift":
        raise CodeSpent(A_GIFT)
    if code.plan_ids is not None and plan.id not in code.plan_ids:
        raise CodeSpent(f"This code is not for {plan.name}.")
    if code.first_order_only and await tx.fetchval(HAS_ORDERED, account_id):
        raise CodeSpent("This code is for a first order.")
    await _take(tx, code, account_id, invoice_id)


HAS_ORDERED = """
select exists (select from invoice where account_id = $1 and state = 'paid' and purpose <> 'gift') or exists (
    select from redemption as r join code as c on c.id = r.code_id
    where r.account_id = $1 and r.state = 'reserved' and c.first_order_only
)
"""

# The lowest number that this account has not used: one of as many as it may use.
NTH = """
select min(n) from generate_series(1, $3::int) as n where not exists (
    select from redemption
    where code_id = $1 and account_id = $2 and nth = n and state <> 'returned' and not is_beyond
)
"""
IS_RESERVED = "select exists (select from redemption where code_id = $1 and account_id = $2 and state = 'reserved')"
TAKE = """
with taken as (
    update code set uses = uses + 1 where id = $1 and stopped_at is null and (ends_at is null or ends_at > now()) returning id
)
insert into redemption (code_id, account_id, nth, state, invoice_id, ended_at)
select id, $2, $3, case when $4::uuid is null then 'used' else 'reserved' end, $4, case when $4 is null then now() end
from taken returning id
"""


async def _take(tx: Db, code: Code, account_id: UUID, invoice_id: UUID | None) -> int:
    nth = await tx.fetchval(NTH, code.id, account_id, code.most_per_account)
    if nth is None:
        waits = await tx.fetchval(IS_RESERVED, code.id, account_id)
        raise CodeSpent(IN_AN_INVOICE if waits else USED_BY_YOU)
    with _uses_left():
        taken = await tx.fetchval(TAKE, code.id, account_id, nth, invoice_id)
    if taken is None:
        raise CodeSpent(ENDED)
    return int(taken)


@contextmanager
def _uses_left() -> Iterator[None]:
    """The schema has the last word, whoever was faster. Raises CodeSpent."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "code_has_uses_left":
            raise
        raise CodeSpent(USED_UP) from error
    except asyncpg.UniqueViolationError as error:
        raise CodeSpent(USED_BY_YOU) from error


OF_INVOICE = "select id, code_id from redemption where invoice_id = $1 and state = 'used' and entry_id is null"


async def paid(tx: Transaction, invoice_id: UUID, account_id: UUID) -> None:
    """An invoice was paid, and its plan is open: what its code adds comes now. A discount was given before."""
    row = await tx.fetchrow(OF_INVOICE, invoice_id)
    if row is not None:
        await _give(tx, row["id"], await codes.get(tx, row["code_id"]), account_id)


async def redeem(db: Db, account: Account, typed: str, *, ip: str = "") -> str:
    """Use a code that gives something by itself, at once. Returns what came of it, in words. Raises NoSuchCode, CodeSpent."""
    async with db.transaction() as tx:
        code = await codes.find(tx, typed)
        if code.gives in ("percent", "amount"):
            raise CodeSpent(FOR_A_PRICE)
        if code.plan_ids is not None or code.first_order_only:
            raise CodeSpent("This code comes with an order: enter it where you choose a plan.")
        await tx.execute("select 1 from account where id = $1 for update", account.id)
        await _must_be_undoubted(tx, code)
        redemption_id = await _take(tx, code, account.id, None)
        words = await _give(tx, redemption_id, code, account.id)
        await audit.record(tx, account.email, "code.used", code.shown, None, codes.about(code), ip=ip)
        return words


async def _must_be_undoubted(tx: Transaction, code: Code) -> None:
    """Of a gift that was bought its payment is held still, and looked at afterwards. Raises CodeSpent."""
    if code.invoice_id is not None:
        await doubts.steady(tx, code.invoice_id)
        if (await codes.get(tx, code.id)).state == "in doubt":
            raise CodeSpent(IN_DOUBT)


async def _give(tx: Transaction, redemption_id: int, code: Code, account_id: UUID) -> str:
    match code.gives:
        case "days":
            held = await subscriptions.locked(tx, account_id)
            if held is None or not held.runs:
                raise CodeSpent(NEEDS_A_PLAN)
            until = await subscriptions.move(tx, held, timedelta(days=code.quantity), keeps_pause=True)
            return f"{code.promise}: your plan is open until {until:%-d %B %Y}."
        case "credits":
            held = await subscriptions.alive(tx, account_id)
            if held is None or not held.runs:  # a paused one keeps them
                raise CodeSpent(NEEDS_A_PLAN)
            await _grant(tx, redemption_id, account_id, code.quantity, _why(code))
            return f"{code.promise} added to your plan."
        case "cycle":
            return await _begin_cycle(tx, redemption_id, code, account_id)
        case _:
            return ""


async def _begin_cycle(tx: Transaction, redemption_id: int, code: Code, account_id: UUID) -> str:
    """A month of the plan, as if it had been paid for."""
    plan = await plans.get(tx, code.plan_id or 0)
    until = await subscriptions.given(tx, account_id, plan, code.quantity)
    await _grant(tx, redemption_id, account_id, code.quantity, f"{_why(code)}: {plan.name}")
    await referrals.pay_due(tx, account_id)
    return f"{plan.name} is yours until {until:%-d %B %Y}, with {code.quantity} credits."


def _why(code: Code) -> str:
    return f"{'Gift' if code.kind == 'gift' else 'Code'} {code.shown}"


GRANTED = "update redemption set entry_id = $2 where id = $1 and entry_id is null returning id"


async def _grant(tx: Transaction, redemption_id: int, account_id: UUID, credits: int, why: str) -> None:
    entry_id = await ledger.grant(tx, account_id, credits, why)
    if await tx.fetchval(GRANTED, redemption_id, entry_id) is None:
        raise AssertionError(f"redemption {redemption_id} was granted before")


USES = """
select r.id, r.state, r.is_beyond, r.invoice_id, r.created_at, a.id as account_id, a.email
from redemption as r join account as a on a.id = r.account_id
where r.code_id = $1 order by r.id desc limit $2
"""


async def of_code(db: Db, code_id: UUID, count: int = 100) -> list[dict[str, Any]]:
    """Who used it, the latest first."""
    return [dict(row) for row in await db.fetch(USES, code_id, count)]


OF_ACCOUNT = f"""
select {codes.COLUMNS}, r.state as use_state, r.created_at as used_at, r.invoice_id as use_invoice
from redemption as r join code as c on c.id = r.code_id
where r.account_id = $1 and r.state <> 'returned' order by r.id desc limit $2
"""


async def of_account(db: Db, account_id: UUID, count: int = 20) -> list[dict[str, Any]]:
    """The codes that somebody used, the latest first: code, state, at, invoice."""
    found = []
    for row in await db.fetch(OF_ACCOUNT, account_id, count):
        fields = dict(row)
        about = {"state": fields.pop("use_state"), "at": fields.pop("used_at"), "invoice_id": fields.pop("use_invoice")}
        found.append({"code": Code(**fields), **about})
    return found
