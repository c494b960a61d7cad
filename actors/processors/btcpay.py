"""BTCPay Server's adapter, over its Greenfield API: invoices of one store, and refunds as pull payments."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import aiohttp

from limner.actors.processors.base import Opened, PaidBack, Payment, Unreachable, Unwilling, Way
from limner.actors.processors.wire import Missing, Wire, cents, exact_cents, web_address
from limner.runtime.amounts import plain
from limner.runtime.config import Config
from limner.sql.invoices import Invoice
from limner.sql.refunds import Refund

PAGE = 100
SHORT = timedelta(hours=1)
STATES = {"New": "pending", "Processing": "processing", "Settled": "paid", "Expired": "expired", "Invalid": "invalid"}
BEST = ("Settled", "Processing", "New", "Expired", "Invalid")
"""Of several invoices for one order, which counts: the furthest."""
PAYABLE = ("bitcoin:", "lightning:", "litecoin:", "monero:", "ethereum:", "tron:", "liquidnetwork:", "dogecoin:")
"""What a link to a wallet may begin with; from an outsider's mouth, any other is left out."""


class Btcpay:
    """Speaks to LIMNER_BTCPAY_URL with an API key for one store. It has no idempotency keys: we look before we create."""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self.config = config
        self.store = config.btcpay_store
        key = config.btcpay_api_key.get_secret_value() if config.btcpay_api_key else ""
        base = f"{config.btcpay_url}/api/v1/stores/{quote(self.store, safe='')}"
        self.wire = Wire(session, "BTCPay Server", base, {"Authorization": f"token {key}"})

    async def open(self, invoice: Invoice) -> Opened:
        if known := await self.find(invoice):
            return known
        return await self._opened(await self._ask("POST", "/invoices", body=self._order(invoice)))

    async def find(self, invoice: Invoice) -> Opened | None:
        found = await self._ask("GET", "/invoices", wants=list, query={"orderId": str(invoice.id)})
        with self.wire.sensibly():
            ours = [each for each in found if _order_ref(each) == str(invoice.id)]
            best = min(ours, key=lambda each: BEST.index(each["status"]), default=None)
        return None if best is None else await self._opened(best)

    async def read(self, ref: str) -> Payment | None:
        path = f"/invoices/{quote(ref, safe='')}"
        try:
            answer = await self._ask("GET", path)
            needs_methods = answer.get("additionalStatus") in ("PaidLate", "PaidPartial") or "paidAmount" not in answer
            methods = await self._methods(ref) if needs_methods else []
        except Missing:
            return None
        with self.wire.sensibly():
            return judged(answer, methods, self.config.btcpay_tolerance)

    async def refund(self, invoice: Invoice, refund: Refund) -> PaidBack:
        name = f"Refund {refund.id}"
        pulls = await self._ask("GET", "/pull-payments", wants=list, query={"includeArchived": "true"})
        for pull in pulls:
            if isinstance(pull, dict) and pull.get("name") == name:
                return self._paid_back(pull)
        path = f"/invoices/{quote(str(invoice.processor_ref), safe='')}"
        try:
            found = await self._methods(str(invoice.processor_ref))
            with self.wire.sensibly():
                methods = _payout_methods(found)
            asked = {"name": name, "description": refund.reason, "payoutMethods": methods}
            if methods:
                asked["payoutMethodId"] = methods[0]  # servers before 2.1 know one only
            return self._paid_back(await self._ask("POST", f"{path}/refund", body=asked | _variant(refund)))
        except Missing as error:
            raise Unwilling("BTCPay Server does not know this invoice any more") from error

    async def cancel(self, ref: str) -> None:
        try:
            await self._ask("POST", f"/invoices/{quote(ref, safe='')}/status", body={"status": "Invalid"})
        except Missing as error:
            raise Unwilling("BTCPay Server does not know this invoice any more") from error

    async def since(self, moment: datetime) -> AsyncIterator[Payment]:
        skip, start = 0, str(int(moment.timestamp()))
        while True:
            query = {"startDate": start, "skip": str(skip), "take": str(PAGE)}
            page = await self._ask("GET", "/invoices", wants=list, query=query)
            with self.wire.sensibly():
                payments = [judged(answer, [], self.config.btcpay_tolerance) for answer in page]
            for payment in payments:
                yield payment
            if len(page) < PAGE:
                return
            skip += PAGE

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        return await self.wire.ask(method, path, **options)

    async def _methods(self, ref: str) -> Sequence[dict[str, Any]]:
        return await self._ask("GET", f"/invoices/{quote(ref, safe='')}/payment-methods", wants=list)  # type: ignore[no-any-return]

    async def _opened(self, answer: dict[str, Any]) -> Opened:
        with self.wire.sensibly():
            ref, link = str(answer["id"]), web_address(answer["checkoutLink"])
            until = datetime.fromtimestamp(int(answer["expirationTime"]), UTC)
        return Opened(ref, link, until, await self._ways(ref))

    async def _ways(self, ref: str) -> Sequence[Way]:
        """Without them an invoice can still be paid at the checkout: they are no reason to wait."""
        try:
            methods = await self._methods(ref)
            with self.wire.sensibly():
                return _ways(methods)
        except (Unreachable, Unwilling, Missing):
            return ()

    def _order(self, invoice: Invoice) -> dict[str, Any]:
        page = f"{self.config.public_url}/invoices/{invoice.id}"
        checkout: dict[str, Any] = {
            "speedPolicy": self.config.btcpay_speed,
            "expirationMinutes": self._minutes(invoice),
            "monitoringMinutes": 1440,
            "paymentTolerance": self.config.btcpay_tolerance,
            "redirectURL": page,
            "redirectAutomatically": True,
        }
        if methods := [each.strip() for each in self.config.btcpay_methods.split(",") if each.strip()]:
            checkout |= {"paymentMethods": methods, "defaultPaymentMethod": methods[0]}
        return {
            "amount": plain(invoice.amount_cents),
            "currency": invoice.currency,
            "metadata": {"orderId": str(invoice.id), "orderUrl": page, "itemDesc": invoice.plan.name},
            "checkout": checkout,
        }

    def _minutes(self, invoice: Invoice) -> int:
        """A renewal is open until the period ends; whatever is bought now, for as long as the operator holds a rate."""
        whole = math.ceil((invoice.expires_at - datetime.now(UTC)).total_seconds() / 60)
        is_long = invoice.expires_at - invoice.created_at > SHORT
        return max(self.config.btcpay_minutes, whole) if is_long else self.config.btcpay_minutes

    def _paid_back(self, pull: dict[str, Any]) -> PaidBack:
        with self.wire.sensibly():
            return PaidBack(str(pull["id"]), web_address(pull["viewLink"]))


def judged(answer: dict[str, Any], methods: Sequence[dict[str, Any]], tolerance: float) -> Payment:
    """What an invoice and its payment methods come to. Raises KeyError and the like for what is no invoice."""
    amount = exact_cents(answer["amount"])
    received = _received(answer, methods)
    state = STATES[answer["status"]]
    additional = str(answer.get("additionalStatus", "None"))
    is_late = state == "expired" and additional == "PaidLate"
    if is_late:  # no InvoiceSettled ever comes for it
        state = _late(_payments(methods), received >= _needed(amount, tolerance))
    return Payment(
        ref=str(answer["id"]),
        order_ref=_order_ref(answer),
        state=state,
        amount_cents=amount,
        currency=str(answer["currency"]),
        store=str(answer["storeId"]),
        received_cents=received,
        is_late=is_late,
        is_marked=additional == "Marked",
        ways=_ways(methods) if additional == "PaidPartial" and state == "pending" else (),
    )


def _late(statuses: Sequence[str], is_enough: bool) -> str:
    if "Processing" in statuses:
        return "processing"
    return "paid" if is_enough and "Settled" in statuses else "expired"


def _needed(amount: int, tolerance: float) -> Decimal:
    return Decimal(amount) * (100 - Decimal(str(tolerance))) / 100 if amount >= 0 else Decimal("Infinity")


def _payments(methods: Sequence[dict[str, Any]]) -> list[str]:
    return [str(payment["status"]) for method in methods for payment in method.get("payments") or ()]


def _received(answer: dict[str, Any], methods: Sequence[dict[str, Any]]) -> int:
    """In the invoice's currency. Servers before 2.1 do not say it: there it is counted from what each method got."""
    if answer.get("paidAmount") is not None:
        return cents(answer["paidAmount"])
    paid = [Decimal(str(each.get("paymentMethodPaid") or 0)) * Decimal(str(each.get("rate") or 0)) for each in methods]
    return cents(sum(paid, Decimal(0)))


def _order_ref(answer: dict[str, Any]) -> str:
    return str((answer.get("metadata") or {}).get("orderId") or "")


def _ways(methods: Sequence[dict[str, Any]]) -> list[Way]:
    ways = []
    for method in methods:
        link = str(method.get("paymentLink") or "")
        if not method.get("activated", True) or not link.lower().startswith(PAYABLE):
            link = ""
        if link or method.get("destination"):
            about = (str(method.get(name) or "")[:2000] for name in ("destination", "due", "currency"))
            ways.append(Way(str(method.get("paymentMethodId", ""))[:60], link[:2000], *about))
    return ways


def _payout_methods(methods: Sequence[dict[str, Any]]) -> list[str]:
    """By what it was paid. An LNURL takes no payouts: they go over Lightning itself."""
    paid = [each["paymentMethodId"] for each in methods if Decimal(str(each.get("paymentMethodPaid") or 0)) > 0]
    return list(dict.fromkeys(str(each).replace("-LNURL", "-LN") for each in paid))


def _variant(refund: Refund) -> dict[str, str]:
    """The amount that was ordered: "OverpaidAmount" is whatever is too much there by now, also what went back before."""
    amount = {"customAmount": plain(refund.amount_cents), "customCurrency": refund.currency}
    return {"refundVariant": "Custom", **amount}
