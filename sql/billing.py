"""Billing's messages: what the pages and webhooks ask the cashier to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from limner.runtime import mailbox
from limner.runtime.amounts import said
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.runtime.mailbox import Message
from limner.sql import gifts, inquiries, invoices
from limner.sql.accounts import Account
from limner.sql.codes import Code
from limner.sql.invoices import Invoice, WrongState
from limner.sql.plans import Plan


@dataclass(frozen=True)
class OpenInvoice(Message):
    """Make an invoice known to its processor, so that it can be paid."""

    mailbox = "billing"
    invoice_id: UUID


@dataclass(frozen=True)
class CheckInvoice(Message):
    """Ask the processor what became of an invoice."""

    mailbox = "billing"
    invoice_id: UUID


@dataclass(frozen=True)
class CheckOpenInvoices(Message):
    """Ask about every invoice that nobody asked about lately."""

    mailbox = "billing"


@dataclass(frozen=True)
class CancelInvoice(Message):
    """Have the processor take no money for an invoice any more; what was paid meanwhile stays paid."""

    mailbox = "billing"
    invoice_id: UUID


@dataclass(frozen=True)
class Reconcile(Message):
    """Compare our books with those of the processors, both ways."""

    mailbox = "billing"


def processors(config: Config) -> tuple[str, ...]:
    """Through whom one can pay here; the first one is offered first."""
    takes = {
        "btcpay": config.takes_btcpay_payments,
        "stripe": config.takes_stripe_payments,
        "sandbox": config.takes_sandbox_payments,
    }
    return tuple(name for name, is_on in takes.items() if is_on)


LEAST = {
    "stripe": {
        "USD": 50,
        "EUR": 50,
        "GBP": 30,
        "AUD": 50,
        "CAD": 50,
        "CHF": 50,
        "NZD": 50,
        "SGD": 50,
        "PLN": 200,
        "SEK": 300,
    },
}
"""Cents: what a processor takes at the least. Below that Stripe makes no payment at all."""


class TooLittle(Refused):
    """What is left to pay is less than this way of paying takes."""


def takes(processor: str, cents: int, currency: str) -> bool:
    return cents == 0 or cents >= LEAST.get(processor, {}).get(currency, 1)


def check_amount(processor: str, cents: int, currency: str) -> None:
    """Raises TooLittle, said of the code that left so little."""
    if not takes(processor, cents, currency):
        least = LEAST[processor][currency]
        raise TooLittle(
            f"{said(cents, currency)} would be left to pay; {processor.capitalize()} takes {said(least, currency)}"
            " or more. Pay in another way, or use the code for something larger.", field="code",
        )  # fmt: skip


async def buy(db: Db, account_id: UUID, plan: Plan, processor: str, *, code: Code | None = None) -> Invoice:
    """An invoice for one cycle of the plan, and the order to make it payable: in one transaction. Raises CodeSpent, TooLittle.

    When ``code`` has taken everything off its price, it is paid at once and no processor hears of it.
    """
    async with db.transaction() as tx:
        invoice = await invoices.create(tx, account_id, plan, processor, code=code)
        check_amount(processor, invoice.amount_cents, invoice.currency)
        if code is not None and invoice.discount_cents and not invoice.amount_cents:
            await invoices.settle(tx, invoice.id, actor=f"code {code.shown}")
        else:
            await make_payable(tx, invoice)
        return invoice


async def buy_gift(
    db: Db, account: Account, plan: Plan, processor: str, secret_keys: Sequence[str], *, to: str, message: str
) -> Invoice:
    """An invoice for a cycle of the plan as a gift, with its code, which holds as soon as it is paid."""
    async with db.transaction() as tx:
        details = {"to": to, "message": message}
        invoice = await invoices.make(tx, account.id, plan, processor, purpose="gift", details=details)
        await gifts.attach(tx, invoice, secret_keys, actor=account.email)
        await make_payable(tx, invoice)
        return invoice


async def make_payable(tx: Db, invoice: Invoice) -> None:
    """Have the cashier make it known to its processor, unless it is."""
    if invoice.processor_ref is None:
        await mailbox.send(tx, OpenInvoice(invoice.id), key=f"open {invoice.id}", max_attempts=20)


async def hint(db: Db, invoice: Invoice, event_ref: str, kind: str) -> None:
    """A believed webhook: recorded, and the cashier goes to see. Its word alone grants nothing.

    A redelivery is recorded already, and so is the order to go and see: both were written together.
    """
    async with db.transaction() as tx:
        if await inquiries.note_event(tx, invoice.processor, event_ref, invoice.id, kind):
            await ask(tx, invoice.id)


async def ask(db: Db, invoice_id: UUID) -> None:
    """Have the processor asked at once: after a webhook, or when the payer says "I have paid"."""
    await mailbox.send(db, CheckInvoice(invoice_id), max_attempts=20)


async def cancel(db: Db, invoice: Invoice) -> None:
    """Its owner does not want it any more. Raises WrongState when that cannot be."""
    if not invoice.is_open:
        raise WrongState(f"The invoice is {invoice.state}; it cannot become canceled.", field="state")
    if invoice.received_cents or invoice.state == "processing":
        raise WrongState("Money is on its way: this invoice cannot be canceled any more.", field="state")
    await call_off(db, invoice.id)


async def call_off(db: Db, invoice_id: UUID, ref: str = "") -> None:
    """Have its processor take no more money for it, unless some came. ``ref``: since it is open there under this name."""
    await mailbox.send(db, CancelInvoice(invoice_id), key=f"cancel {invoice_id} {ref}".rstrip(), max_attempts=20)
