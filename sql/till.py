"""The till: invoices as those who run the place see them, on the admin's pages and at the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.amounts import said as money
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.opening import open_briefly
from limner.sql import accounts, audit, billing, doubts, invoices, lists, payments, refundable, refunds
from limner.sql.invoices import Invoice

ME = "cli"
STATES = ("pending", "processing", "paid", "expired", "canceled", "invalid", "trouble")
"""To filter by; "trouble": about which somebody has to decide, whatever its state."""


@dataclass(frozen=True)
class Listed:
    id: UUID
    account_id: UUID
    email: str
    plan: str
    processor: str
    processor_ref: str | None
    amount_cents: int
    currency: str
    received_cents: int
    state: str
    trouble: str
    purpose: str
    created_at: datetime
    paid_at: datetime | None


LIST = """
select i.id, i.account_id, a.email, p.name as plan, i.processor, i.processor_ref, i.amount_cents, i.currency, i.received_cents,
    i.state, i.trouble, i.purpose, i.created_at, i.paid_at
from invoice as i join account as a on a.id = i.account_id join plan as p on p.id = i.plan_id
where case $1 when '' then true when 'trouble' then i.trouble <> '' else i.state = $1 end
    and ($2 = '' or i.account_id in (select w.id from account as w where w.email_key like lower($2)) or i.processor_ref = $3)
    and ($4::uuid is null or i.id = $4 or i.account_id = $4)
    and ($5 = '' or p.code = $5) and ($6 = '' or i.processor = $6)
    and ($7::timestamptz is null or i.created_at >= $7) and ($8::timestamptz is null or i.created_at < $8)
    and ($9::timestamptz is null or (i.created_at, i.id) < ($9, $10::uuid))
order by i.created_at desc, i.id desc limit $11
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``text``: a part of the address, or the processor's number.

    ``id``: of an invoice or of an account.
    """

    state: str = ""
    text: str = ""
    id: UUID | None = None
    plan: str = ""
    processor: str = ""
    since: datetime | None = None
    until: datetime | None = None


Place = tuple[datetime | None, UUID | None]


async def look_through(db: Db, sought: Sought, before: Place = (None, None), count: int = 50) -> list[Listed]:
    """Newest first."""
    text = (lists.part(sought.text), sought.text)
    asked = (sought.state, *text, sought.id, sought.plan, sought.processor, sought.since, sought.until)
    return [Listed(**row) for row in await lists.read(db, LIST, *asked, *before, count)]


NEWER = LIST.replace("(i.created_at, i.id) < (", "(i.created_at, i.id) > (").replace(" desc", "")


async def newer(db: Db, sought: Sought, than: Place, count: int) -> list[Listed]:
    """The next ones above this place, newest first."""
    text = (lists.part(sought.text), sought.text)
    asked = (sought.state, *text, sought.id, sought.plan, sought.processor, sought.since, sought.until)
    return [Listed(**row) for row in reversed(await lists.read(db, NEWER, *asked, *than, count))]


def sought(state: str, search: str) -> Sought:
    """``search``: a part of the address, or the number of the invoice, here or at the processor."""
    try:
        return Sought(state, id=UUID(search))
    except ValueError:
        return Sought(state, search)


async def listing(
    db: Db, *, state: str = "", search: str = "", before: tuple[datetime, UUID] | None = None, count: int = 50
) -> list[Listed]:
    """Newest first."""
    return await look_through(db, sought(state, search), before or (None, None), count)


@dataclass(frozen=True)
class Event:
    kind: str
    event_ref: str
    received_at: datetime


EVENTS = "select kind, event_ref, received_at from payment_event where invoice_id = $1 order by id desc limit 50"


async def events(db: Db, invoice_id: UUID) -> list[Event]:
    """The webhooks about it that were believed, newest first."""
    return [Event(**row) for row in await db.fetch(EVENTS, invoice_id)]


ACTS = """
select id, actor, action, subject, before, after, ip, created_at from audit where subject = $1 order by id desc limit 50
"""


async def acts(db: Db, invoice_id: UUID) -> list[audit.Entry]:
    """What was done about it, newest first."""
    return [audit.Entry(**row) for row in await db.fetch(ACTS, str(invoice_id))]


async def list_invoices(config: Config, *, state: str, search: str, count: int) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each.id}  {each.created_at:%Y-%m-%d %H:%M}  {each.state:<10} {money(each.amount_cents, each.currency):>12}  "
            f"{each.processor:<8} {each.email}" + (f"  ! {each.trouble}" if each.trouble else "")
            for each in await listing(db, state=state, search=search, count=count)
        ] or ["no invoices"]


async def show(config: Config, invoice_id: UUID) -> list[str]:
    async with open_briefly(config) as db:
        invoice = await invoices.get(db, invoice_id)
        account = await accounts.get(db, invoice.account_id)
        lines = _facts(invoice, account.email, is_doubted=await doubts.is_open(db, invoice_id))
        lines += [
            f"refund      {each.id} {each.kind}, {money(each.amount_cents, each.currency)}, {each.state}"
            + (f", {each.claim_url}" if each.claim_url else "") + (f": {each.error}" if each.error else "")
            for each in await refunds.of_invoice(db, invoice_id)
        ]  # fmt: skip
        lines += [
            f"webhook     {each.received_at:%Y-%m-%d %H:%M:%S} {each.kind}" for each in await events(db, invoice_id)
        ]
        done = await acts(db, invoice_id)
        return lines + [
            f"audit       {each.created_at:%Y-%m-%d %H:%M:%S} {each.action} by {each.actor}" for each in done
        ]


def _facts(invoice: Invoice, email: str, *, is_doubted: bool) -> list[str]:
    received = money(invoice.received_cents, invoice.currency)
    facts = {
        "invoice": str(invoice.id),
        "of": email,
        "for": f"{invoice.plan.name}, {invoice.credits} credits ({invoice.purpose})",
        "amount": f"{money(invoice.amount_cents, invoice.currency)}, received {received}",
        "state": invoice.state + (", late" if invoice.is_late else ""),
        "through": f"{invoice.processor} {invoice.processor_ref or '(not opened yet)'}",
        "pay at": invoice.checkout_url or "",
        "made": f"{invoice.created_at:%Y-%m-%d %H:%M}, until {invoice.expires_at:%Y-%m-%d %H:%M}",
        "by hand": invoice.paid_by,
        "to decide": invoice.trouble_words,
        "in doubt": "its money is not counted in the revenue" if is_doubted else "",
        "frozen": f"{invoice.frozen_credits} credits" if invoice.frozen_credits else "",
    }
    return [f"{name:<11} {value}" for name, value in facts.items() if value]


async def look(config: Config, invoice_id: UUID) -> Invoice:
    async with open_briefly(config) as db:
        return await invoices.get(db, invoice_id)


async def mark_paid(config: Config, invoice_id: UUID, reason: str, seen: Invoice) -> str:
    """``seen``: as it was shown."""
    async with open_briefly(config) as db:
        await payments.mark_paid(db, invoice_id, reason, actor=ME, seen=seen)
        return f"invoice {invoice_id} is paid"


async def ask_refund(config: Config, invoice_id: UUID, kind: str) -> tuple[str, tuple[int, int]]:
    """What a refund would do, as a question; and the cents and credits that it names."""
    async with open_briefly(config) as db:
        invoice = await invoices.get(db, invoice_id)
        account = await accounts.get(db, invoice.account_id)
        owed = await refundable.owed(db, invoice)
        credits = owed["credits"] if kind == "whole" else 0
        taken = f", and take back {credits} credits" if kind == "whole" else ""
        question = (
            f"Give {money(owed[kind], invoice.currency)} back to {account.email} through {invoice.processor}{taken}?"
        )
        return question, (owed[kind], credits)


async def refund(config: Config, invoice_id: UUID, kind: str, reason: str, seen: tuple[int, int] | None) -> str:
    """``seen``: the cents and credits that somebody agreed to."""
    async with open_briefly(config) as db:
        ordered = await refunds.order(db, invoice_id, kind, reason, actor=ME, seen=seen)
        amount = money(ordered.amount_cents, ordered.currency)
        return f"{amount} goes back, {ordered.credits_taken} credits are taken back: `limner invoice show {invoice_id}` says when"


async def check(config: Config, invoice_id: UUID) -> str:
    async with open_briefly(config) as db:
        invoice = await invoices.get(db, invoice_id)
        await billing.ask(db, invoice.id)
        return f"{invoice.processor} is being asked: `limner invoice show {invoice_id}` says what came of it"
