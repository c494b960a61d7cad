"""The Cashier makes invoices payable, watches them until they are final, and sends back what is to go back."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import aiohttp
import anyio

from limner.actors import reconciliation, settlement
from limner.actors.processors.base import Opened, Payment, Processor, Unreachable, Unwilling, plain, processor
from limner.runtime import faults
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import as_raised
from limner.runtime.log import logger
from limner.runtime.presence import Presence
from limner.sql import billing, checkouts, inquiries, invoices, refunds
from limner.sql.billing import CancelInvoice, CheckInvoice, CheckOpenInvoices, OpenInvoice, Reconcile
from limner.sql.channels import INVOICE_CHANGED
from limner.sql.invoices import Invoice, WrongState
from limner.sql.refunds import PayBack

log = logger(__name__)

AT_ONCE = 8
"""Invoices that a round looks at side by side."""
MOST_FAILURES = 3
"""From then on a processor is left alone until the next round."""
LATER = 60.0
"""Seconds until what could not be canceled is tried again."""

BillingMessage = OpenInvoice | CheckInvoice | CheckOpenInvoices | CancelInvoice | PayBack | Reconcile


class Cashier(Actor):
    """Asks before it believes: a webhook only makes it look, and only the processor's own answer counts."""

    mailbox = "billing"
    messages = (OpenInvoice, CheckInvoice, CheckOpenInvoices, CancelInvoice, PayBack, Reconcile)
    concurrency = 4

    def __init__(
        self, db: Database, bus: Bus, presence: Presence, *, config: Config, session: aiohttp.ClientSession
    ) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self.session = session

    async def receive(self, message: BillingMessage) -> None:
        match message:
            case OpenInvoice(invoice_id=invoice_id):
                await self.open(await invoices.get(self.db, invoice_id))
            case CheckInvoice(invoice_id=invoice_id):
                await self.check(await invoices.get(self.db, invoice_id))
            case CheckOpenInvoices():
                await self.look_at_open()
            case CancelInvoice(invoice_id=invoice_id):
                await self.cancel(await invoices.get(self.db, invoice_id))
            case PayBack(refund_id=refund_id):
                await self.pay_back(refund_id)
            case Reconcile():
                await reconciliation.reconcile(self.db, self.config, self.session)

    async def open(self, invoice: Invoice) -> None:
        """Make it payable. Raises Unreachable, Unwilling."""
        if invoice.processor_ref is None and invoice.is_open:
            await self._attach(invoice, await self._with(invoice).open(invoice))

    async def check(self, invoice: Invoice) -> None:
        """Ask the processor and apply its answer. Nothing runs out here before it was asked. Raises Unreachable, Unwilling."""
        way = self._with(invoice)
        if invoice.processor_ref is None and (invoice := await self._looked_for(invoice, way)).processor_ref is None:
            return
        payment = await way.read(str(invoice.processor_ref))
        faults.point("after-read", invoice.id)
        invoice = await invoices.get(self.db, invoice.id)
        if payment and payment.state == "expired" and await self._reopened(invoice, payment):
            return
        if payment and payment.state != "paid" and payment.ref != invoice.processor_ref:
            return  # somebody was faster, and it is open there anew: how the old one ended says nothing of it
        if payment is not None:
            await settlement.apply(self.db, invoice, payment, way.store)
        elif invoice.is_open and invoice.has_run_out:
            log.warning("payment_unknown", invoice=str(invoice.id), processor=invoice.processor)
            await self._expire(invoice)
        faults.point("after-apply", invoice.id)

    async def cancel(self, invoice: Invoice) -> None:
        """Unless money came meanwhile, which only the processor knows: it is asked first. Raises Unreachable."""
        is_unwanted = invoice.is_open or invoice.paid_by or invoice.state == "canceled"
        if invoice.processor_ref is not None and is_unwanted:
            try:
                await self._call_off(invoice, invoice.processor_ref)
            except Unwilling as error:
                raise Unreachable(f"not canceled yet: {error}", after=LATER) from error
        elif invoice.is_open:
            await self._canceled(invoice)

    async def _call_off(self, invoice: Invoice, ref: str) -> None:
        way = self._with(invoice)
        payment = await way.read(ref)
        if payment is not None and payment.is_untouched:
            try:
                await way.cancel(ref)
            except Unwilling as error:  # then something has happened to it
                log.warning("cannot_be_canceled", invoice=str(invoice.id), error=str(error))
            faults.point("after-call-off", invoice.id)
            payment = await way.read(ref)
        if payment is None:
            return await self._canceled(invoice)
        invoice = await invoices.get(self.db, invoice.id)
        if payment.state != "paid" and invoice.processor_ref != ref:
            raise Unreachable("it was opened anew meanwhile", after=1)
        await settlement.apply(self.db, invoice, payment, way.store)
        if payment.is_untouched:
            raise Unreachable("it is still open there", after=LATER)

    async def _canceled(self, invoice: Invoice) -> None:
        try:
            await invoices.move(self.db, invoice.id, "canceled")
        except WrongState as error:
            log.info("not_canceled", invoice=str(invoice.id), why=str(error))

    async def pay_back(self, refund_id: UUID) -> None:
        """Send a refund, once. Raises Unreachable."""
        refund = await refunds.take(self.db, refund_id)
        if refund is None:
            return
        invoice = await invoices.get(self.db, refund.invoice_id)
        try:
            done = await self._with(invoice).refund(invoice, refund)
        except Unwilling as error:
            await refunds.failed(self.db, refund, str(error))
        except Unreachable:
            await refunds.let_go(self.db, refund.id)
            raise
        else:
            faults.point("after-pay-back", refund.id)
            await refunds.sent(self.db, refund, done.ref, done.claim_url)

    async def look_at_open(self) -> None:
        """Every invoice that nobody asked about lately, and every refund that got lost on the way."""
        failures = Counter[str]()
        while batch := await inquiries.to_check(self.db, AT_ONCE, without=_given_up(failures)):
            with as_raised():
                async with anyio.create_task_group() as group:
                    for invoice in batch:
                        group.start_soon(self._check_quietly, invoice, failures)
        for refund_id in await refunds.waiting(self.db):
            try:
                await self.pay_back(refund_id)
            except Unreachable as error:
                log.warning("refund_waits", refund=str(refund_id), error=str(error))

    async def _check_quietly(self, invoice: Invoice, failures: Counter[str]) -> None:
        try:
            await self.check(invoice)
        except (Unreachable, Unwilling) as error:  # the next round asks again
            failures[invoice.processor] += 1
            log.warning("processor_unreachable", invoice=str(invoice.id), error=str(error))

    async def _looked_for(self, invoice: Invoice, way: Processor) -> Invoice:
        """One that the processor may know although we do not know it does: its opening was lost half-way."""
        if not invoice.is_open:
            return invoice
        opened = await way.find(invoice)
        if opened is not None:
            await self._attach(invoice, opened)
        elif invoice.has_run_out:
            await self._expire(invoice)
        else:
            await self.open(invoice)
        return await invoices.get(self.db, invoice.id)

    async def _reopened(self, invoice: Invoice, payment: Payment) -> bool:
        """Whether it was closed there, unpaid, long before its end: then it is open again."""
        if payment.received_cents or not await checkouts.detach(self.db, invoice.id, payment.ref):
            return False
        await self.open(await invoices.get(self.db, invoice.id))
        return True

    async def _attach(self, invoice: Invoice, opened: Opened) -> None:
        faults.point("after-open", invoice.id)
        ways = plain(opened.ways)
        async with self.db.transaction() as tx:
            await checkouts.attach(
                tx, invoice.id, opened.ref, opened.checkout_url, expires_at=opened.expires_at, ways=ways
            )
            if not (await invoices.get(tx, invoice.id)).is_open:  # canceled, or marked paid, while it was being opened
                await billing.call_off(tx, invoice.id, opened.ref)
            tx.tell(INVOICE_CHANGED, str(invoice.id))

    async def _expire(self, invoice: Invoice) -> None:
        try:
            await invoices.move(self.db, invoice.id, "expired")
        except WrongState as error:
            log.info("not_expired", invoice=str(invoice.id), why=str(error))

    def _with(self, invoice: Invoice) -> Processor:
        return processor(invoice.processor, self.config, self.session)


def _given_up(failures: Counter[str]) -> list[str]:
    return [name for name, count in failures.items() if count >= MOST_FAILURES]
