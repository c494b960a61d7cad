"""Stripe's adapter: Checkout Sessions, and refunds of their payments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp

from limner.actors.processors.base import Opened, PaidBack, Payment, Unwilling, Way
from limner.actors.processors.wire import Missing, Wire, web_address
from limner.runtime.config import Config
from limner.sql.invoices import Invoice
from limner.sql.refunds import Refund

HOUR, WINDOW = timedelta(hours=1), timedelta(hours=23)
"""Stripe keeps a session open for 30 minutes to a day: an invoice that is open for longer gets one for each window."""
VERSION = "2024-06-20"
"""Of the API: pinned, so that an account's default changes nothing here."""
PAGE = 100


class Stripe:
    """Speaks to LIMNER_STRIPE_URL. Whatever creates something carries an idempotency key, so it is safe to repeat."""

    store = ""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self.public_url = config.public_url
        key = config.stripe_api_key.get_secret_value() if config.stripe_api_key else ""
        self.wire = Wire(
            session, "Stripe", config.stripe_url, {"Authorization": f"Bearer {key}", "Stripe-Version": VERSION}
        )

    async def open(self, invoice: Invoice) -> Opened:
        order = self._order(invoice)
        once = _once(f"invoice {invoice.id} {order['expires_at']}")
        answer = await self.wire.ask("POST", "/v1/checkout/sessions", form=order, headers=once)
        return self._opened(answer)

    async def find(self, invoice: Invoice) -> Opened | None:
        async for session in self._sessions(invoice.created_at):
            if session.get("client_reference_id") == str(invoice.id) and session.get("status") != "expired":
                return self._opened(session)
        return None

    async def read(self, ref: str) -> Payment | None:
        try:
            answer = await self._session(ref)
        except Missing:
            return None
        with self.wire.sensibly():
            return judged(answer)

    async def refund(self, invoice: Invoice, refund: Refund) -> PaidBack:
        try:
            with self.wire.sensibly():
                intent = (await self._session(str(invoice.processor_ref)))["payment_intent"]["id"]
        except Missing as error:
            raise Unwilling("Stripe does not know this session any more") from error
        asked = {
            "payment_intent": str(intent),
            "amount": str(refund.amount_cents),
            "metadata[refund]": str(refund.id),
            "metadata[order]": str(invoice.id),
        }
        answer = await self.wire.ask("POST", "/v1/refunds", form=asked, headers=_once(f"refund {refund.id}"))
        with self.wire.sensibly():
            if answer["status"] in ("failed", "canceled"):
                raise Unwilling(f"Stripe could not send it: {answer.get('failure_reason') or 'no reason given'}")
            return PaidBack(str(answer["id"]))

    async def cancel(self, ref: str) -> None:
        try:
            await self.wire.ask("POST", f"/v1/checkout/sessions/{quote(ref, safe='')}/expire", form={})
        except Missing as error:
            raise Unwilling("Stripe does not know this session any more") from error

    async def since(self, moment: datetime) -> AsyncIterator[Payment]:
        async for session in self._sessions(moment):
            with self.wire.sensibly():
                payment = judged(session)
            yield payment

    async def _session(self, ref: str) -> dict[str, Any]:
        path = f"/v1/checkout/sessions/{quote(ref, safe='')}"
        return await self.wire.ask("GET", path, query={"expand[]": "payment_intent"})  # type: ignore[no-any-return]

    async def _sessions(self, begin: datetime) -> AsyncIterator[dict[str, Any]]:
        query = {"created[gte]": str(int(begin.timestamp())), "limit": str(PAGE)}
        while True:
            page = await self.wire.ask("GET", "/v1/checkout/sessions", query=query)
            with self.wire.sensibly():
                sessions, has_more = page["data"], page.get("has_more", False)
            for session in sessions:
                yield session
            if not has_more or not sessions:
                return
            query["starting_after"] = str(sessions[-1]["id"])

    def _opened(self, answer: dict[str, Any]) -> Opened:
        with self.wire.sensibly():
            # What is over has no address any more.
            link = web_address(answer.get("url") or f"{self.public_url}/invoices/{answer['client_reference_id']}")
            until = datetime.fromtimestamp(int(answer["expires_at"]), UTC)
            return Opened(str(answer["id"]), link, until, [Way("card", link)])

    def _order(self, invoice: Invoice) -> dict[str, str]:
        """The same for the same invoice, to the byte: else the idempotency key is refused."""
        page = f"{self.public_url}/invoices/{invoice.id}"
        return {
            "mode": "payment",
            "client_reference_id": str(invoice.id),
            "metadata[order]": str(invoice.id),
            "payment_intent_data[metadata][order]": str(invoice.id),
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": invoice.currency.lower(),
            "line_items[0][price_data][unit_amount]": str(invoice.amount_cents),
            "line_items[0][price_data][product_data][name]": invoice.plan.name,
            "success_url": page,
            "cancel_url": page,
            "expires_at": str(int(_until(invoice).timestamp())),
        }


def judged(session: dict[str, Any]) -> Payment:
    """What a Checkout Session comes to. Raises KeyError and the like for what is none."""
    amount = session["amount_total"]
    state = _state(session)
    return Payment(
        ref=str(session["id"]),
        order_ref=str(session.get("client_reference_id") or ""),
        state=state,
        amount_cents=amount if isinstance(amount, int) else -1,
        currency=str(session["currency"]).upper(),
        received_cents=amount if state == "paid" and isinstance(amount, int) else 0,
    )


def _state(session: dict[str, Any]) -> str:
    """``complete`` only means that the form was sent: some ways to pay take days, and may still fail."""
    if session["payment_status"] in ("paid", "no_payment_required"):
        return "paid"
    if session["status"] == "complete":
        intent = session.get("payment_intent")
        is_over = isinstance(intent, dict) and intent.get("status") in ("requires_payment_method", "canceled")
        return "invalid" if is_over else "processing"
    return {"open": "pending", "expired": "expired"}[session["status"]]


def _until(invoice: Invoice) -> datetime:
    """The end of the window that now is in, or of the invoice: the same however often it is asked within a window."""
    window = max(0, (datetime.now(UTC) - invoice.created_at) // WINDOW)
    end = invoice.created_at + (window + 1) * WINDOW + HOUR
    return min(end, max(invoice.expires_at, invoice.created_at + HOUR))


def _once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": f"limner {key}"}
