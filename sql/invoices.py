"""Invoices: what somebody was asked to pay. A paid one grants its credits exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import accounts, audit, codes, gifts, notices, plans, redemptions, referrals, subscriptions
from limner.sql.channels import INVOICE_CHANGED
from limner.sql.codes import Code
from limner.sql.plans import Plan


class WrongState(Refused):
    """The invoice cannot go there from where it is."""

    status = 409


DUST_CENTS = 50
"""Less than that is not worth what it costs to send it back."""


@dataclass(frozen=True)
class Invoice:
    id: UUID
    account_id: UUID
    plan: Plan
    processor: str
    processor_ref: str | None
    checkout_url: str | None
    amount_cents: int
    currency: str
    credits: int
    state: str
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    purpose: str
    discount_cents: int
    details: dict[str, Any]
    received_cents: int
    is_late: bool
    ways: list[dict[str, str]]
    trouble: str
    trouble_words: str
    frozen_credits: int
    paid_by: str
    has_run_out: bool
    known_cents: int = 0
    """What its processor had seen when somebody marked it paid by hand: a part of the price."""

    @property
    def is_open(self) -> bool:
        return self.state in ("pending", "processing")

    @property
    def missing_cents(self) -> int:
        return max(0, self.amount_cents - self.received_cents)

    @property
    def list_cents(self) -> int:
        """The price before a code took something off."""
        return self.amount_cents + self.discount_cents


COLUMNS = (
    "id, account_id, plan_id, processor, processor_ref, checkout_url, amount_cents, currency, credits, state, "
    "created_at, expires_at, paid_at, purpose, discount_cents, details, received_cents, is_late, ways, trouble, "
    "trouble_words, frozen_credits, paid_by, expires_at < now() as has_run_out, known_cents"
)

# An open invoice for the same plan and processor is used again: nobody collects five of them by clicking.
REUSE = f"""
select {COLUMNS} from invoice
where account_id = $1 and plan_id = $2 and processor = $3 and state in ('pending', 'processing')
    and expires_at > now() + interval '2 minutes' and amount_cents = $4 and currency = $5
    and purpose in ('plan', 'renewal') and discount_cents = $6
    and (select code_id from redemption where invoice_id = invoice.id) is not distinct from $7::uuid
order by created_at desc limit 1
"""

CREATE = f"""
insert into invoice (
    account_id, plan_id, processor, amount_cents, currency, credits, purpose, details, idempotency_key, expires_at,
    discount_cents
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now() + make_interval(mins => 30)), $11)
returning {COLUMNS}
"""


async def create(db: Db, account_id: UUID, plan: Plan, processor: str, *, code: Code | None = None) -> Invoice:
    """An invoice for one cycle of the plan at today's terms; an open one with the same terms is found again.

    ``code``: a use of it is reserved, and what it takes off is off the price. Raises CodeSpent.
    """
    async with db.transaction() as tx:
        await tx.execute("select 1 from account where id = $1 for update", account_id)
        off = codes.discount(code, plan.price_cents, plan.price_currency) if code else 0
        terms = (account_id, plan.id, processor, plan.price_cents - off, plan.price_currency)
        row = await tx.fetchrow(REUSE, *terms, off, code and code.id)
        if row is not None:
            return await _invoice(tx, row)
        await subscriptions.prepare(tx, account_id, plan.id)
        invoice = await make(tx, account_id, plan, processor, off=off)
        if code is not None:
            await redemptions.reserve(tx, code, account_id, plan, invoice.id)
        return invoice


async def make(
    db: Db,
    account_id: UUID,
    plan: Plan,
    processor: str,
    *,
    purpose: str = "plan",
    price: tuple[int, int] | None = None,
    details: dict[str, Any] | None = None,
    key: str | None = None,
    until: datetime | None = None,
    off: int = 0,
) -> Invoice:
    """A new invoice for that purpose. ``price``: cents and credits, unless those of a whole cycle.

    ``off``: cents that a code takes off.
    ``key``: no second one is ever made under it. ``until``: unless it is to be paid within half an hour.
    """
    cents, credits = price or (plan.price_cents, plan.credits_per_cycle)
    terms = (account_id, plan.id, processor, cents - off, plan.price_currency, credits)
    return await _invoice(db, await db.fetchrow(CREATE, *terms, purpose, details or {}, key, until, off))


GET = f"select {COLUMNS} from invoice where id = $1"


async def get(db: Db, invoice_id: UUID, account_id: UUID | None = None) -> Invoice:
    """Raises NotFound, also when it belongs to another account than ``account_id``."""
    row = await db.fetchrow(GET, invoice_id)
    if row is None or (account_id is not None and row["account_id"] != account_id):
        raise NotFound("There is no such invoice, or it is not yours.")
    return await _invoice(db, row)


LOCK = "select 1 from invoice where id = $1 for update"


async def locked(tx: Db, invoice_id: UUID) -> Invoice:
    """As it is now; nobody else changes it, its refunds or its doubts until the transaction ends. Raises NotFound."""
    await tx.execute(LOCK, invoice_id)
    return await get(tx, invoice_id)


LIST = f"select {COLUMNS} from invoice where account_id = $1 order by created_at desc limit $2"


async def of_account(db: Db, account_id: UUID, count: int = 50) -> list[Invoice]:
    return [await _invoice(db, row) for row in await db.fetch(LIST, account_id, count)]


PENDING = f"""
select {COLUMNS} from invoice where account_id = $1 and state in ('pending', 'processing') and expires_at > now()
order by created_at desc limit 1
"""


async def pending(db: Db, account_id: UUID) -> Invoice | None:
    row = await db.fetchrow(PENDING, account_id)
    return None if row is None else await _invoice(db, row)


SETTLE = "update invoice set state = 'paid', paid_at = now() where id = $1 and state <> 'paid' returning account_id"


async def settle(db: Db, invoice_id: UUID, *, actor: str) -> bool:
    """The processor says it is paid, finally: that beats our own expiry. Credits once; False when it was paid before."""
    async with db.transaction() as tx:
        if await tx.fetchval(SETTLE, invoice_id) is None:
            return False
        invoice = await get(tx, invoice_id)
        effect: dict[str, Any] = {}
        if invoice.purpose == "gift":
            await gifts.paid(tx, invoice)
        else:
            effect = await subscriptions.paid(tx, invoice)
            await redemptions.paid(tx, invoice.id, invoice.account_id)
        await referrals.paid(tx, invoice)
        after = {"state": "paid", "credits": invoice.credits} | effect
        await audit.record(tx, actor, "invoice.paid", str(invoice_id), None, after)
        await _thank(tx, invoice, effect.get("until"))
        tx.tell(INVOICE_CHANGED, str(invoice_id))
        return True


async def _thank(tx: Db, invoice: Invoice, until: str | None) -> None:
    """A receipt by mail, unless a code had paid for all of it. ``until``: when what was bought ends."""
    if not invoice.amount_cents or invoice.paid_at is None:
        return
    payer = await accounts.get(tx, invoice.account_id)
    details = {
        "what": f"Gift: {invoice.plan.name}" if invoice.purpose == "gift" else invoice.plan.name,
        "amount_cents": invoice.amount_cents,
        "currency": invoice.currency,
        "paid_at": invoice.paid_at.isoformat(),
        "ends_at": until,
        "path": f"/invoices/{invoice.id}",
    }
    once = f"paid {invoice.id}"
    await notices.mail(tx, payer.email, "invoice_paid", locale=payer.locale, details=details, dedupe_key=once)


# What ran out may still be paid late. A paid one goes nowhere: money goes back by a refund.
MOVE = """
update invoice set state = $2
where id = $1 and state <> $2 and (
    state = 'pending' or state = 'processing' and $2 in ('invalid', 'expired')
    or state = 'expired' and $2 in ('processing', 'invalid')
)
returning id
"""


async def move(db: Db, invoice_id: UUID, state: str) -> bool:
    """To processing, expired, canceled or invalid. False when it is there already. Raises WrongState when it is paid."""
    async with db.transaction() as tx:
        if await tx.fetchval(MOVE, invoice_id, state) is not None:
            tx.tell(INVOICE_CHANGED, str(invoice_id))
            return True
        now = (await get(tx, invoice_id)).state
        if now != state:
            raise WrongState(f"The invoice is {now}; it cannot become {state}.", field="state")
        return False


async def read(db: Db, rows: Sequence[object]) -> list[Invoice]:
    """Invoices from rows of COLUMNS."""
    return [await _invoice(db, row) for row in rows]


async def _invoice(db: Db, row: object) -> Invoice:
    fields = dict(row)  # type: ignore[call-overload]
    return Invoice(plan=await plans.get(db, fields.pop("plan_id")), **fields)
