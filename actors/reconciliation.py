"""Reconciliation: every night our books and those of the processors are laid side by side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import aiohttp

from limner.actors import settlement
from limner.actors.processors.base import Payment, Processor, Unreachable, Unwilling, processor
from limner.actors.watch import telling
from limner.actors.watch.telling import News
from limner.runtime.config import Config
from limner.runtime.database import Database, Transaction
from limner.runtime.log import logger
from limner.runtime.phrases import phrase
from limner.sql import audit, billing, checkouts, doubts, inquiries, payments, refunds
from limner.sql.invoices import Invoice

log = logger(__name__)

SPAN = timedelta(days=3)
"""How far back: longer than a night that was missed, and than the day in which a late payment is still watched."""


async def reconcile(db: Database, config: Config, session: aiohttp.ClientSession) -> None:
    """Paid there and open here is credited now; paid here and not there is told. Raises Unreachable for those not reached."""
    missed = []
    for name in billing.processors(config):
        try:
            await _with(db, config, name, processor(name, config, session))
        except (Unreachable, Unwilling) as error:
            log.warning("not_reconciled", processor=name, error=str(error))
            missed.append(name)
    if missed:
        raise Unreachable(f"not reconciled: {', '.join(missed)}", after=600)


async def _with(db: Database, config: Config, name: str, way: Processor) -> None:
    since = datetime.now(UTC) - SPAN
    paid = set[str]()
    async for payment in way.since(since):
        if payment.is_late:  # a list does not say whether all of it is confirmed
            payment = await way.read(payment.ref) or payment
        if payment.state == "paid":
            paid.add(payment.ref)
            await _paid_there(db, config, name, way, payment)
        elif payment.received_cents and payment.state in settlement.CLOSED:
            await _left_there(db, name, way, payment)
    for invoice in await inquiries.paid_since(db, name, since):
        if invoice.processor_ref not in paid:
            await _paid_here(db, way, invoice)
    for invoice in await inquiries.by_hand_since(db, name, since):
        if invoice.processor_ref not in paid:
            await _by_hand(db, way, invoice)
    for invoice in await inquiries.in_doubt(db, name, since):
        if invoice.processor_ref not in paid:
            await _held_after_all(db, way, invoice)
    log.info("reconciled", processor=name, paid=len(paid))


async def _paid_there(db: Database, config: Config, name: str, way: Processor, payment: Payment) -> None:
    invoice = await _invoice(db, name, payment.order_ref)
    if invoice is None:  # another shop's, in the same store
        log.info("payment_of_somebody_else", processor=name, ref=payment.ref)
        return
    if invoice.state == "paid":
        # What was in doubt one night may hold the next.
        if invoice.paid_by or _is_more(invoice, payment) or await _is_doubtful(db, invoice):
            await settlement.apply(db, invoice, payment, way.store)
        return
    async with db.transaction() as tx:
        if await settlement.apply(tx, invoice, payment, way.store):  # a webhook may have been faster
            await _credited(tx, config, invoice, payment)


async def _credited(tx: Transaction, config: Config, invoice: Invoice, payment: Payment) -> None:
    """Written down and told in the transaction that credits it: the next night finds it paid, and says nothing more."""
    after = {"state": "paid", "ref": payment.ref}
    await audit.record(tx, "cashier", "invoice.reconciled", str(invoice.id), {"state": invoice.state}, after)
    late = "Invoice {id} was paid at {processor}, and {state} here: it is credited now."
    words = telling.saying(phrase(late, id=str(invoice.id), processor=invoice.processor, state=invoice.state))
    key, place = f"alert reconciled {invoice.id}", f"/admin/invoices/{invoice.id}"
    news = News(key, words, place, f"payments:see:{invoice.id}", moneyless=News(key, lambda language: ""))
    await telling.send(tx, config, [news])


def _is_more(invoice: Invoice, payment: Payment) -> bool:
    return payment.received_cents > invoice.received_cents


async def _is_doubtful(db: Database, invoice: Invoice) -> bool:
    """Also when an admin has decided: should it be taken back once more, they are told once more."""
    is_open = bool(invoice.frozen_credits) or await doubts.is_open(db, invoice.id)
    return is_open or await payments.is_told(db, invoice.id)


async def _left_there(db: Database, name: str, way: Processor, payment: Payment) -> None:
    """Money for what is closed: told, once, also where nobody looks at the invoice any more."""
    invoice = await _invoice(db, name, payment.order_ref)
    if invoice is not None and invoice.processor_ref == payment.ref and invoice.state != "paid":
        await settlement.apply(db, invoice, payment, way.store)


async def _paid_here(db: Database, way: Processor, invoice: Invoice) -> None:
    payment = await way.read(str(invoice.processor_ref))
    if payment is not None and payment.state == "paid":
        # It was opened too long ago to be in the list.
        if _is_more(invoice, payment) or await _is_doubtful(db, invoice):
            await settlement.apply(db, invoice, payment, way.store)
        return
    if payment is not None:
        await settlement.apply(db, invoice, payment, way.store)
        if payment.state == "invalid":  # that is told by itself, and somebody may have decided already
            return
    if await refunds.goes_back(db, invoice.id):
        return
    state = "unknown" if payment is None else payment.state
    words = f"It is paid here, and {state} at the processor: see what became of the money."
    await payments.flag(db, invoice.id, "unbacked", words, {"state": state}, actor="cashier")


async def _by_hand(db: Database, way: Processor, invoice: Invoice) -> None:
    """Money may have come for it, or turned out to be none: also when it was opened too long ago to be in the list."""
    payment = await way.read(str(invoice.processor_ref))
    if payment is not None:
        await settlement.apply(db, invoice, payment, way.store)


async def _held_after_all(db: Database, way: Processor, invoice: Invoice) -> None:
    """One of an older night."""
    payment = await way.read(str(invoice.processor_ref))
    if payment is not None and payment.state == "paid":
        await settlement.apply(db, invoice, payment, way.store)


async def _invoice(db: Database, name: str, order_ref: str) -> Invoice | None:
    try:
        return await checkouts.find(db, UUID(order_ref), name)
    except ValueError:
        return None
