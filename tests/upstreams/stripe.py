"""A stand-in for Stripe's API over real HTTP: Checkout Sessions, refunds, idempotency keys and webhooks."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from limner.runtime.signatures import sign_at
from tests.upstreams.base import Asked, Script, Upstream, run

__all__ = ["Asked", "FakeStripe", "Script", "Session"]

KEY = "sk_test_limner"
SECRET = "whsec_limner_for_tests"


@dataclass
class Session:
    """A Checkout Session. ``lies``: fields that its JSON has instead of the true ones."""

    id: str
    order: str
    amount: int
    currency: str
    expires_at: int
    status: str = "open"
    payment_status: str = "unpaid"
    intent: str | None = None
    intent_status: str = "requires_payment_method"
    lies: dict[str, Any] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))


class FakeStripe(Upstream):
    """What becomes of a session is said by ``pay``, ``confirm``, ``fail`` and ``expire``; each writes its events."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sessions: dict[str, Session] = {}
        self.refunds: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self._answers: dict[str, tuple[dict[str, Any], Script]] = {}
        self._numbers = itertools.count(1)

    async def usual(self, asked: Asked) -> Script:
        """By path and method; a repeated idempotency key gets what it got before, or a refusal for other parameters."""
        if asked.key != KEY:
            return Script(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}})
        once = asked.headers.get("idempotency-key")
        if once in self._answers:
            fields, answer = self._answers[once]
            return (
                answer
                if fields == asked.fields
                else error(400, "Keys for idempotent requests can only be used with the same parameters")
            )
        answer = self._act(asked)
        if once:
            self._answers[once] = asked.fields, answer
        return answer

    def _act(self, asked: Asked) -> Script:
        match asked.method, asked.path.strip("/").split("/")[1:]:
            case "POST", ["checkout", "sessions"]:
                return self._create(asked.fields)
            case "GET", ["checkout", "sessions"]:
                return self._list(asked.query)
            case "GET", ["checkout", "sessions", ref] if ref in self.sessions:
                return Script(body=self._json(self.sessions[ref], expanded="expand[]" in asked.query))
            case "POST", ["checkout", "sessions", ref, "expire"] if ref in self.sessions:
                if self.sessions[ref].status != "open":
                    return error(400, 'Only Checkout Sessions with a status in ["open"] can be expired')
                self.expire(ref)
                return Script(body=self._json(self.sessions[ref]))
            case "POST", ["refunds"]:
                return self._refund(asked.fields)
        return error(404, "No such resource")

    def _create(self, fields: dict[str, Any]) -> Script:
        until, now = int(fields["expires_at"]), int(time.time())
        if not now + 1800 <= until <= now + 86400:
            return error(400, "The `expires_at` timestamp must be between 30 minutes and 24 hours from now")
        session = Session(
            f"cs_test_{next(self._numbers):04}",
            fields["client_reference_id"],
            int(fields["line_items[0][price_data][unit_amount]"]),
            fields["line_items[0][price_data][currency]"],
            until,
        )
        self.sessions[session.id] = session
        return Script(body=self._json(session))

    def _list(self, query: dict[str, str]) -> Script:
        least, most = int(query.get("created[gte]", 0)), int(query.get("created[lte]", 2**40))
        found = [each for each in reversed(self.sessions.values()) if least <= each.created <= most]
        if after := query.get("starting_after"):
            found = found[[each.id for each in found].index(after) + 1 :]
        size = int(query.get("limit", 10))
        page = [self._json(each) for each in found[:size]]
        return Script(body={"object": "list", "data": page, "has_more": len(found) > size})

    def _refund(self, fields: dict[str, Any]) -> Script:
        session = next((each for each in self.sessions.values() if each.intent == fields["payment_intent"]), None)
        if session is None:
            return error(404, "No such payment_intent")
        gone = sum(each["amount"] for each in self.refunds if each["payment_intent"] == session.intent)
        if int(fields["amount"]) > session.amount - gone:
            return error(400, "Refund amount is greater than unrefunded amount on charge")
        refund = {
            "id": f"re_{next(self._numbers):04}", "object": "refund", "amount": int(fields["amount"]),
            "payment_intent": session.intent, "status": "succeeded",
        }  # fmt: skip
        self.refunds.append(refund)
        return Script(body=refund)

    def _json(self, session: Session, *, expanded: bool = False) -> dict[str, Any]:
        intent: Any = session.intent
        if expanded and intent:
            intent = {"id": session.intent, "object": "payment_intent", "status": session.intent_status}
        return {
            "id": session.id,
            "object": "checkout.session",
            "status": session.status,
            "payment_status": session.payment_status,
            "amount_total": session.amount,
            "currency": session.currency,
            "client_reference_id": session.order,
            "created": session.created,
            "expires_at": session.expires_at,
            "payment_intent": intent,
            "url": f"{self.base_url}/c/pay/{session.id}" if session.status == "open" else None,
        } | session.lies

    # What payers and time do.

    def pay(self, ref: str, *, delayed: bool = False) -> None:
        """The form is sent. ``delayed``: by a way that takes days, such as a debit."""
        session = self.sessions[ref]
        session.status, session.intent = "complete", f"pi_{next(self._numbers):04}"
        session.intent_status = "processing" if delayed else "succeeded"
        session.payment_status = "unpaid" if delayed else "paid"
        self._happened(session, "checkout.session.completed")

    def confirm(self, ref: str) -> None:
        session = self.sessions[ref]
        session.payment_status, session.intent_status = "paid", "succeeded"
        self._happened(session, "checkout.session.async_payment_succeeded")

    def fail(self, ref: str) -> None:
        self.sessions[ref].intent_status = "requires_payment_method"
        self._happened(self.sessions[ref], "checkout.session.async_payment_failed")

    def expire(self, ref: str) -> None:
        session = self.sessions[ref]
        if session.status == "open":
            session.status = "expired"
            self._happened(session, "checkout.session.expired")

    def _happened(self, session: Session, kind: str) -> None:
        self.events.append({
            "id": f"evt_{next(self._numbers):06}", "object": "event", "type": kind, "created": int(time.time()),
            "data": {"object": self._json(session)},
        })  # fmt: skip


def error(status: int, words: str) -> Script:
    return Script(status, {"error": {"type": "invalid_request_error", "message": words}})


async def deliver(
    client: aiohttp.ClientSession, site: str, event: dict[str, Any], *, secret: str = SECRET, age: int = 0,
    signatures: Sequence[str] | None = None,
) -> int:  # fmt: skip
    """Send one event to the shop, signed ``age`` seconds ago; returns its answer's status."""
    body = json.dumps(event).encode()
    signed = [sign_at(secret, body, int(time.time()) - age)] if signatures is None else signatures
    headers = [("Content-Type", "application/json"), *(("Stripe-Signature", each) for each in signed)]
    async with client.post(f"{site}/hooks/stripe", data=body, headers=headers) as answer:
        return answer.status


if __name__ == "__main__":
    run(FakeStripe)
