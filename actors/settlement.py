"""What a processor's answer does to an invoice: the table of states, in one place."""

from __future__ import annotations

import contextlib
from dataclasses import asdict

from limner.actors.processors.base import Payment, plain
from limner.runtime.amounts import plain as decimal
from limner.runtime.database import Db
from limner.runtime.log import logger
from limner.sql import audit, invoices, payments, refundable, refunds
from limner.sql.invoices import Invoice, WrongState

log = logger(__name__)

ME = "cashier"
CLOSED = ("expired", "invalid", "canceled")


async def apply(db: Db, invoice: Invoice, payment: Payment, store: str) -> bool:
    """Believe it, if it is about this very invoice. Any number of times, in any order, at once: the effect is the same.

    Returns whether it was this time that it became paid.
    """
    if wrong := differences(invoice, payment, store):
        await _mismatch(db, invoice, payment, "The processor's payment differs in " + ", ".join(wrong) + ".")
    elif payment.state == "paid":
        return await _paid(db, invoice, payment)
    elif invoice.state == "paid":
        await _not_paid_there(db, invoice, payment)
    else:
        await _moved(db, invoice, payment)
    return False


def differences(invoice: Invoice, payment: Payment, store: str) -> list[str]:
    """What of it is not this invoice's: a signed, settled payment counts only over this amount, for this order, to us."""
    pairs = {
        "order": (payment.order_ref, str(invoice.id)),
        "amount": (payment.amount_cents, invoice.amount_cents),
        "currency": (payment.currency, invoice.currency),
        "store": (payment.store, store),
    }
    return [name for name, (theirs, ours) in pairs.items() if theirs != ours]


async def _paid(db: Db, seen: Invoice, payment: Payment) -> bool:
    async with db.transaction() as tx:
        # The account first, as erasure locks. With the invoice, no part of it is given back meanwhile.
        is_ownerless = seen.state != "paid" and await payments.is_ownerless(tx, seen.id)
        invoice = await invoices.locked(tx, seen.id)
        if invoice.state != "paid" and any(each.state != "failed" for each in await refunds.of_invoice(tx, invoice.id)):
            await payments.note(tx, invoice.id, payment.received_cents, is_late=payment.is_late)
            words = "It was paid in full after a part of it had been given back."
            await _mismatch(tx, invoice, payment, words)
            return False
        await payments.note(tx, invoice.id, payment.received_cents, is_late=payment.is_late)
        if invoice.state != "paid" and is_ownerless:
            with contextlib.suppress(WrongState):  # it is over already; what is over can be given back
                await invoices.move(tx, invoice.id, "expired")
            words = "It was paid after its account was deleted: nothing was credited. Give the money back."
            await payments.flag(tx, invoice.id, "mismatch", words, _said(payment), actor=ME)
            return False
        is_new = await invoices.settle(tx, invoice.id, actor=ME)
        if is_new and (payment.is_marked or payment.is_late):
            how = "invoice.marked_elsewhere" if payment.is_marked else "invoice.paid_late"
            await audit.record(tx, ME, how, str(invoice.id), {"state": invoice.state}, _said(payment))
        await payments.holds(tx, invoice.id, actor=ME)
        await _too_much(tx, invoice, payment)
        return is_new


async def _not_paid_there(db: Db, seen: Invoice, payment: Payment) -> None:
    """What was marked paid by hand before any of it came there does not hang on that; what came for it later is too much."""
    async with db.transaction() as tx:
        invoice = await invoices.locked(tx, seen.id)  # none of it is given back meanwhile
        if payment.state == "invalid" and (invoice.known_cents or not invoice.paid_by):
            await payments.doubt(tx, invoice, _said(payment), actor=ME)
        elif invoice.paid_by and payment.state in CLOSED:
            await payments.note(tx, invoice.id, payment.received_cents, is_late=payment.is_late)
            await _too_much(tx, invoice, payment)


async def _too_much(tx: Db, invoice: Invoice, payment: Payment) -> None:
    """What did not go back yet, of all that came: told again when more of it comes. The invoice is locked."""
    paid = await invoices.get(tx, invoice.id)
    owed = await refundable.surplus(tx, paid)
    if owed < invoices.DUST_CENTS:
        return
    said = _said(payment) | {"received_cents": paid.received_cents}
    await payments.flag(tx, invoice.id, "over", _over(paid, payment, decimal(owed)), said, actor=ME)


def _over(paid: Invoice, payment: Payment, more: str) -> str:
    currency, there = paid.currency, paid.processor
    words = f"{more} {currency} more than asked came: give it back, or leave it."
    if paid.paid_by:
        words = f"It was marked paid by hand, and {more} {currency} came at {there} as well: give it back, or leave it."
    if payment.state == "invalid":  # we had it closed when it was marked: that, or what came is not good
        words = (
            f"It was marked paid by hand, and {more} {currency} was seen at {there}, which calls it invalid: "
            "look there before you give it back."
        )
    return words


async def _moved(db: Db, seen: Invoice, payment: Payment) -> None:
    async with db.transaction() as tx:
        invoice = await invoices.locked(tx, seen.id)
        if invoice.state == "paid":  # since it was looked at
            return await _not_paid_there(tx, invoice, payment)
        await payments.note(tx, invoice.id, payment.received_cents, is_late=payment.is_late, ways=plain(payment.ways))
        if payment.state not in ("pending", invoice.state):
            with contextlib.suppress(WrongState):  # what is over does not begin again
                await invoices.move(tx, invoice.id, payment.state)
        if payment.state in CLOSED and payment.received_cents:
            await _too_little(tx, await invoices.get(tx, invoice.id), payment)


async def _too_little(tx: Db, invoice: Invoice, payment: Payment) -> None:
    """What of it is here and did not go back: told again when more of it comes. The invoice is locked."""
    owed = await refundable.owed(tx, invoice)
    here = owed["whole"] or owed["surplus"]
    if here:
        said = _said(payment) | {"received_cents": invoice.received_cents}
        await payments.flag(tx, invoice.id, "partial", _came(invoice, payment, decimal(here)), said, actor=ME)


def _came(invoice: Invoice, payment: Payment, received: str) -> str:
    amount, currency = decimal(invoice.amount_cents), invoice.currency
    words = (
        f"{received} of {amount} {currency} came before it was closed or called invalid there: give it back, or mark it paid "
        "when the rest has come."
    )
    if payment.state == "expired":
        words = f"{received} of {amount} {currency} came before it ran out: give it back, or mark it paid when the rest has come."
    return words


async def _mismatch(db: Db, invoice: Invoice, payment: Payment, words: str) -> None:
    if await payments.flag(db, invoice.id, "mismatch", words, _said(payment), actor=ME):
        log.error("payment_mismatch", invoice=str(invoice.id), said=payment.amount_cents, currency=payment.currency)


def _said(payment: Payment) -> dict[str, object]:
    """What the processor said, for the audit."""
    return {name: value for name, value in asdict(payment).items() if name != "ways"}
