"""A stand-in for BTCPay Server's Greenfield API over real HTTP: one store, its invoices, payments, pull payments and webhooks."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import aiohttp

from limner.runtime.signatures import sign
from tests.upstreams.base import Asked, Script, Upstream, run

__all__ = ["Asked", "BtcpayInvoice", "FakeBtcpay", "Script"]

STORE = "9CiNzKoANXxmk5ayZngSXrHTiVvvgCrwrpFQd4m2K776"
KEY = "greenfield-key-for-tests"
SECRET = "webhook-secret-of-btcpay"
RATE = Decimal(50_000)
"""US dollars for a bitcoin, today and for ever."""


@dataclass
class BtcpayInvoice:
    """``lies``: fields that its JSON has instead of the true ones."""

    id: str
    order: str
    amount: Decimal
    currency: str
    checkout: dict[str, Any]
    status: str = "New"
    additional: str = "None"
    payments: list[dict[str, Any]] = field(default_factory=list)
    lies: dict[str, Any] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def paid(self) -> Decimal:
        """In the currency of the invoice; what turned out invalid does not count."""
        return sum((each["worth"] for each in self.payments if each["status"] != "Invalid"), Decimal(0))

    @property
    def needed(self) -> Decimal:
        return self.amount * (100 - Decimal(str(self.checkout.get("paymentTolerance") or 0))) / 100


class FakeBtcpay(Upstream):
    """What becomes of an invoice is said by ``pay``, ``confirm``, ``expire``, ``mark``; each writes its events.

    Nothing is delivered by itself: ``deliver`` sends one event, as often and in whatever order a test likes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.invoices: dict[str, BtcpayInvoice] = {}
        self.pulls: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.is_old = False
        """Before 2.1: it says nothing of paidAmount."""
        self._numbers = itertools.count(1)

    def key(self, request: Any) -> str:
        return request.headers.get("Authorization", "").removeprefix("token ")  # type: ignore[no-any-return]

    async def usual(self, asked: Asked) -> Script:
        """By path and method."""
        if asked.key != KEY:
            return Script(401, {"code": "unauthenticated", "message": "Authentication is required"})
        base = f"/api/v1/stores/{STORE}/"
        if not asked.path.startswith(base):
            return Script(404, {"code": "store-not-found", "message": "The store was not found"})
        parts = [unquote(part) for part in asked.path.removeprefix(base).split("/")]
        match asked.method, parts:
            case "POST", ["invoices"]:
                return self._create(asked.fields)
            case "GET", ["invoices"]:
                return self._list(asked.query)
            case "GET", ["pull-payments"]:
                return Script(body=self.pulls)
            case method, ["invoices", ref, *rest] if ref in self.invoices:
                return self._about(method, self.invoices[ref], rest, asked.fields)
        return Script(404, {"code": "invoice-not-found", "message": "The invoice was not found"})

    # What an API client does.

    def _create(self, fields: dict[str, Any]) -> Script:
        invoice = BtcpayInvoice(
            f"Inv{next(self._numbers):04}",
            fields["metadata"]["orderId"],
            Decimal(fields["amount"]),
            fields["currency"],
            fields["checkout"],
        )
        self.invoices[invoice.id] = invoice
        self._happened(invoice, "InvoiceCreated")
        return Script(body=self._json(invoice))

    def _list(self, query: dict[str, str]) -> Script:
        found = [
            each
            for each in self.invoices.values()
            if query.get("orderId") in (None, each.order) and each.created >= int(query.get("startDate", 0))
        ]
        skip = int(query.get("skip", 0))
        return Script(body=[self._json(each) for each in found[skip : skip + int(query.get("take", 50))]])

    def _about(self, method: str, invoice: BtcpayInvoice, rest: list[str], fields: dict[str, Any]) -> Script:
        match method, rest:
            case "GET", []:
                return Script(body=self._json(invoice))
            case "GET", ["payment-methods"]:
                return Script(body=self._methods(invoice))
            case "POST", ["status"]:
                if invoice.status in ("Settled", "Invalid") and fields["status"] == invoice.status:
                    return Script(
                        422, [{"path": "status", "message": "Status can only be marked to invalid or settled"}]
                    )
                self.mark(invoice.id, fields["status"])
                return Script(body=self._json(invoice))
            case "POST", ["refund"]:
                return self._refund(invoice, fields)
        return Script(404, {"code": "not-found", "message": "Not found"})

    def _refund(self, invoice: BtcpayInvoice, fields: dict[str, Any]) -> Script:
        if invoice.paid <= 0:
            return Script(400, {"code": "non-refundable", "message": "Cannot refund this invoice"})
        is_surplus = fields["refundVariant"] == "OverpaidAmount"
        amount = invoice.paid - invoice.amount if is_surplus else Decimal(fields["customAmount"])
        pull = {
            "id": f"Pull{next(self._numbers):04}",
            "name": fields["name"],
            "amount": f"{amount:f}",
            "currency": invoice.currency,
            "archived": False,
            "payoutMethods": fields.get("payoutMethods"),
        }
        pull["viewLink"] = f"{self.base_url}/pull-payments/{pull['id']}"
        self.pulls.append(pull)
        return Script(body=pull)

    def _json(self, invoice: BtcpayInvoice) -> dict[str, Any]:
        until = invoice.created + 60 * invoice.checkout.get("expirationMinutes", 15)
        said = {
            "id": invoice.id,
            "storeId": STORE,
            "amount": f"{invoice.amount:f}",
            "paidAmount": f"{invoice.paid:f}",
            "currency": invoice.currency,
            "type": "Standard",
            "checkoutLink": f"{self.base_url}/i/{invoice.id}",
            "createdTime": invoice.created,
            "expirationTime": until,
            "monitoringExpiration": until + 60 * invoice.checkout.get("monitoringMinutes", 1440),
            "status": invoice.status,
            "additionalStatus": invoice.additional,
            "availableStatusesForManualMarking": ["Settled", "Invalid"],
            "metadata": {"orderId": invoice.order},
            "checkout": invoice.checkout,
            "archived": False,
        }
        if self.is_old:
            del said["paidAmount"]
        return said | invoice.lies

    def _methods(self, invoice: BtcpayInvoice) -> list[dict[str, Any]]:
        due = max(Decimal(0), invoice.amount - invoice.paid) / RATE
        return [
            {
                "paymentMethodId": "BTC-CHAIN",
                "currency": "BTC",
                "destination": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
                "paymentLink": f"bitcoin:BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ?amount={due:f}",
                "rate": f"{RATE:f}",
                "paymentMethodPaid": f"{invoice.paid / RATE:f}",
                "totalPaid": f"{invoice.paid / RATE:f}",
                "due": f"{due:f}",
                "amount": f"{invoice.amount / RATE:f}",
                "activated": True,
                "payments": [
                    {name: value for name, value in each.items() if name != "worth"} for each in invoice.payments
                ],
            }
        ]

    # What payers, the chain and the merchant do.

    def pay(self, ref: str, worth: str | None = None, *, confirmed: bool = False) -> None:
        """So much comes in; by default all that is missing. It is confirmed later, unless it is at once."""
        invoice = self.invoices[ref]
        value = invoice.amount - invoice.paid if worth is None else Decimal(worth)
        is_after = invoice.status == "Expired"
        invoice.payments.append(
            {"id": f"tx{next(self._numbers)}", "value": f"{value / RATE:f}", "status": "Processing", "worth": value}
        )
        self._happened(invoice, "InvoiceReceivedPayment", afterExpiration=is_after)
        is_enough = invoice.paid >= invoice.needed
        if is_after:
            invoice.additional = "PaidLate" if is_enough else "PaidPartial"
        elif is_enough:
            invoice.status = "Processing"
            invoice.additional = "PaidOver" if invoice.paid > invoice.amount else "None"
            self._happened(invoice, "InvoiceProcessing", overPaid=invoice.additional == "PaidOver")
        else:
            invoice.additional = "PaidPartial"
        if confirmed:
            self.confirm(ref)

    def confirm(self, ref: str) -> None:
        """Every payment is buried deep enough in the chain. For a late one no InvoiceSettled comes."""
        invoice = self.invoices[ref]
        for payment in invoice.payments:
            if payment["status"] == "Processing":
                payment["status"] = "Settled"
                self._happened(invoice, "InvoicePaymentSettled", afterExpiration=invoice.status == "Expired")
        if invoice.status == "Processing":
            invoice.status = "Settled"
            self._happened(invoice, "InvoiceSettled", manuallyMarked=False, overPaid=invoice.additional == "PaidOver")

    def expire(self, ref: str) -> None:
        """Its time is up. One that is being paid does not run out."""
        invoice = self.invoices[ref]
        if invoice.status == "New":
            invoice.status = "Expired"
            self._happened(invoice, "InvoiceExpired", partiallyPaid=invoice.additional == "PaidPartial")

    def mark(self, ref: str, status: str) -> None:
        """The merchant says so, by hand."""
        invoice = self.invoices[ref]
        invoice.status, invoice.additional = status, "Marked"
        self._happened(invoice, f"Invoice{status}", manuallyMarked=True)

    def bounce(self, ref: str) -> None:
        """Its payments were spent twice."""
        invoice = self.invoices[ref]
        for payment in invoice.payments:
            payment["status"] = "Invalid"
        invoice.status, invoice.additional = "Invalid", "None"
        self._happened(invoice, "InvoiceInvalid", manuallyMarked=False)

    # Webhooks.

    def _happened(self, invoice: BtcpayInvoice, kind: str, **about: Any) -> None:
        delivery = f"dlv{next(self._numbers):06}"
        self.events.append({
            "deliveryId": delivery, "webhookId": "hook1", "originalDeliveryId": delivery, "isRedelivery": False,
            "type": kind, "timestamp": int(time.time()), "storeId": STORE, "invoiceId": invoice.id,
            "metadata": {"orderId": invoice.order}, **about,
        })  # fmt: skip

    def again(self, event: dict[str, Any]) -> dict[str, Any]:
        """Its redelivery: a new name, and the old one beside it."""
        return event | {"deliveryId": f"dlv{next(self._numbers):06}", "isRedelivery": True}


async def deliver(
    client: aiohttp.ClientSession, site: str, event: dict[str, Any], *, secret: str = SECRET,
    signatures: Sequence[str] | None = None,
) -> int:  # fmt: skip
    """Send one event to the shop; returns its answer's status."""
    body = json.dumps(event).encode()
    signed = [sign(secret, body)] if signatures is None else signatures
    headers = [("Content-Type", "application/json"), *(("BTCPay-Sig", each) for each in signed)]
    async with client.post(f"{site}/hooks/btcpay", data=body, headers=headers) as answer:
        return answer.status


if __name__ == "__main__":
    run(FakeBtcpay)
