"""The sandbox processor's adapter: it takes no money, and is reached over HTTP like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp

from limner.actors.processors.base import Opened, PaidBack, Payment, Unwilling, Way
from limner.actors.processors.wire import Missing, Wire
from limner.runtime.config import Config
from limner.sql.invoices import Invoice
from limner.sql.refunds import Refund

STATES = {
    "pending": "pending", "confirming": "processing", "settled": "paid", "declined": "canceled", "expired": "expired",
}  # fmt: skip


class Sandbox:
    """Speaks to ``/sandbox/api/payments`` of LIMNER_SANDBOX_URL."""

    store = ""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        base = (config.sandbox_url or f"http://{config.http_host}:{config.http_port}") + "/sandbox/api/payments"
        self.public_url = config.public_url
        headers = {"Authorization": f"Bearer {config.sandbox_secret.get_secret_value()}"}
        self.wire = Wire(session, "the sandbox", base, headers)

    async def open(self, invoice: Invoice) -> Opened:
        asked = {
            "order_ref": str(invoice.id),
            "amount_cents": invoice.amount_cents,
            "currency": invoice.currency,
            "title": invoice.plan.name,
            "return_url": f"{self.public_url}/invoices/{invoice.id}",
        }
        return self._opened(await self.wire.ask("POST", "", body=asked))

    async def find(self, invoice: Invoice) -> Opened | None:
        found = await self.wire.ask("GET", "", wants=list, query={"order_ref": str(invoice.id)})
        return self._opened(found[0]) if found else None

    async def read(self, ref: str) -> Payment | None:
        try:
            answer = await self.wire.ask("GET", f"/{ref}")
        except Missing:
            return None
        with self.wire.sensibly():
            return judged(answer)

    async def refund(self, invoice: Invoice, refund: Refund) -> PaidBack:
        asked = {"ref": str(refund.id), "amount_cents": refund.amount_cents}
        try:
            answer = await self.wire.ask("POST", f"/{invoice.processor_ref}/refunds", body=asked)
        except Missing as error:
            raise Unwilling("the sandbox does not know this payment any more") from error
        with self.wire.sensibly():
            return PaidBack(str(answer["ref"]))

    async def cancel(self, ref: str) -> None:
        try:
            await self.wire.ask("POST", f"/{ref}/cancellation", body={})
        except Missing as error:
            raise Unwilling("the sandbox does not know this payment any more") from error

    async def since(self, moment: datetime) -> AsyncIterator[Payment]:
        found = await self.wire.ask("GET", "", wants=list, query={"since": moment.isoformat()})
        with self.wire.sensibly():
            payments = [judged(each) for each in found]
        for payment in payments:
            yield payment

    def _opened(self, answer: dict[str, Any]) -> Opened:
        with self.wire.sensibly():
            link = f"{self.public_url}/sandbox/{answer['id']}"
            return Opened(str(answer["id"]), link, ways=[Way("sandbox", link)])


def judged(answer: dict[str, Any]) -> Payment:
    """What the sandbox says. Raises KeyError and the like for what is no payment."""
    state = STATES[answer["state"]]
    amount = int(answer["amount_cents"])
    return Payment(
        ref=str(answer["id"]),
        order_ref=str(answer["order_ref"]),
        state=state,
        amount_cents=amount,
        currency=str(answer["currency"]),
        received_cents=int(answer.get("received_cents") or (amount if state == "paid" else 0)),
        is_late=bool(answer.get("is_late", False)),
    )
