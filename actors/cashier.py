"""The Cashier makes invoices payable, and watches them until they are final."""

from __future__ import annotations

from uuid import UUID

import aiohttp

from limner.actors.processors.base import Payment, Unreachable, processor
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.presence import Presence
from limner.sql import audit, invoices
from limner.sql.billing import CheckInvoice, CheckOpenInvoices, OpenInvoice
from limner.sql.channels import INVOICE_CHANGED
from limner.sql.invoices import Invoice

log = logger(__name__)


class Cashier(Actor):
    """Asks before it believes: a webhook only makes it look, and only the processor's own answer counts."""

    mailbox = "billing"
    messages = (OpenInvoice, CheckInvoice, CheckOpenInvoices)
    concurrency = 4

    def __init__(
        self, db: Database, bus: Bus, presence: Presence, *, config: Config, session: aiohttp.ClientSession
    ) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self.session = session

    async def receive(self, message: OpenInvoice | CheckInvoice | CheckOpenInvoices) -> None:
        match message:
            case OpenInvoice(invoice_id=invoice_id):
                await self.open(invoice_id)
            case CheckInvoice(invoice_id=invoice_id):
                await self.check(await invoices.get(self.db, invoice_id))
            case CheckOpenInvoices():
                for invoice in await invoices.to_check(self.db):
                    await self._check_quietly(invoice)

    async def open(self, invoice_id: UUID) -> None:
        invoice = await invoices.get(self.db, invoice_id)
        opened = await processor(invoice.processor, self.config, self.session).open(invoice)
        await invoices.attach(self.db, invoice.id, opened.ref, opened.checkout_url)
        self.db.tell(INVOICE_CHANGED, str(invoice.id))

    async def check(self, invoice: Invoice) -> None:
        """Ask the processor and apply its answer, once. Raises Unreachable."""
        if invoice.processor_ref is None or not (invoice.is_open or invoice.state == "expired"):
            return
        payment = await processor(invoice.processor, self.config, self.session).read(invoice.processor_ref)
        if not _belongs(payment, invoice):
            log.error("payment_mismatch", invoice=str(invoice.id), said=payment.amount_cents, currency=payment.currency)
            said = {"amount_cents": payment.amount_cents, "currency": payment.currency, "order": payment.order_ref}
            await audit.record(self.db, "cashier", "invoice.mismatch", str(invoice.id), None, said)
        elif payment.state == "paid":
            await invoices.settle(self.db, invoice.id, actor="cashier")
        elif payment.state != invoice.state and payment.state != "pending" and invoice.is_open:
            await invoices.move(self.db, invoice.id, payment.state)

    async def _check_quietly(self, invoice: Invoice) -> None:
        try:
            await self.check(invoice)
        except Unreachable as error:
            log.warning("processor_unreachable", invoice=str(invoice.id), error=str(error))  # the next round asks again


def _belongs(payment: Payment, invoice: Invoice) -> bool:
    """The signed, settled payment must be for this order, over this amount, in this currency."""
    return (payment.order_ref, payment.amount_cents, payment.currency) == (
        str(invoice.id),
        invoice.amount_cents,
        invoice.currency,
    )
