"""Webhooks: the processors' hints. A believed one makes the cashier look; its word alone grants nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import SecretStr

from limner.http import forms
from limner.http.state import CONFIG, DB
from limner.runtime.log import logger
from limner.runtime.signatures import is_signed, is_signed_lately
from limner.sql import billing, checkouts
from limner.sql.invoices import Invoice

log = logger(__name__)

LARGEST = 64 * 1024
SIGNATURE = "Limner-Sandbox-Signature"
BTCPAY_SIGNATURE = "BTCPay-Sig"
STRIPE_SIGNATURE = "Stripe-Signature"

Holds = Callable[[str, bytes, str], bool]


async def sandbox(request: web.Request) -> web.Response:
    """A hint of the sandbox. 204: believed and kept. 401: not signed by it. 503: no secret, or nothing that we know yet."""
    config = request.app[CONFIG]
    secret = config.sandbox_secret if config.takes_sandbox_payments else None
    event = _event(await _signed(request, "sandbox", secret, SIGNATURE, is_signed))
    ref, about, kind = (_text(event, name) for name in ("id", "payment_id", "type"))
    return await _believe(request, "sandbox", ref, about, "", kind)


async def btcpay(request: web.Request) -> web.Response:
    """The same of BTCPay Server, which tries again on 5xx only: any other refusal is final."""
    config = request.app[CONFIG]
    secret = config.btcpay_webhook_secret if config.takes_btcpay_payments else None
    event = _event(await _signed(request, "btcpay", secret, BTCPAY_SIGNATURE, is_signed))
    if "invoiceId" not in event:  # a test of the endpoint, or news of something else
        return web.Response(status=204)
    if _text(event, "storeId") != config.btcpay_store:
        raise web.HTTPBadRequest(reason="That is another store.")
    ref = _text(event, "originalDeliveryId" if event.get("originalDeliveryId") else "deliveryId")
    about, kind = _text(event, "invoiceId"), _text(event, "type")
    return await _believe(request, "btcpay", f"{ref} {kind}", about, _order(event.get("metadata"), "orderId"), kind)


async def stripe(request: web.Request) -> web.Response:
    """The same of Stripe, whose signatures are old after five minutes."""
    config = request.app[CONFIG]
    secret = config.stripe_webhook_secret if config.takes_stripe_payments else None
    event = _event(await _signed(request, "stripe", secret, STRIPE_SIGNATURE, _is_signed_now))
    ref, kind = _text(event, "id"), _text(event, "type")
    try:
        session = event["data"]["object"]
        if session["object"] != "checkout.session":
            return web.Response(status=204)
    except (KeyError, TypeError) as error:
        raise web.HTTPBadRequest(reason="The event is not understood.") from error
    return await _believe(request, "stripe", ref, _text(session, "id"), _order(session, "client_reference_id"), kind)


async def _signed(request: web.Request, processor: str, secret: SecretStr | None, header: str, holds: Holds) -> bytes:
    """The raw bytes that the one signature is over. Without a secret nobody is believed, whatever they sign with."""
    key = secret.get_secret_value() if secret else ""
    if not key:
        raise web.HTTPServiceUnavailable(reason="This processor is not set up here.")
    body = await forms.raw(request, LARGEST)
    if len(request.headers.getall(header, [])) != 1 or not holds(key, body, request.headers[header]):
        log.warning("webhook_not_signed", processor=processor)
        raise web.HTTPUnauthorized(reason="The signature does not fit.")
    return body


def _is_signed_now(secret: str, body: bytes, given: str) -> bool:
    return is_signed_lately(secret, body, given, time.time())


async def _believe(request: web.Request, processor: str, ref: str, about: str, order: str, kind: str) -> web.Response:
    invoice = await _invoice(request, processor, about, order)
    if invoice is None:  # it may still be on its way into our books: the sender should try again
        raise web.HTTPServiceUnavailable(reason="This payment is not known yet.")
    await billing.hint(request.app[DB], invoice, ref, kind)
    return web.Response(status=204)


async def _invoice(request: web.Request, processor: str, about: str, order: str) -> Invoice | None:
    """By the processor's name for it, else by our own, which it repeats: a payment may be faster than its name."""
    found = await checkouts.by_ref(request.app[DB], processor, about)
    if found is not None or not order:
        return found
    try:
        return await checkouts.find(request.app[DB], UUID(order), processor)
    except ValueError:
        return None


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except ValueError as error:
        raise web.HTTPBadRequest(reason="The event is not understood.") from error
    if not isinstance(event, dict):
        raise web.HTTPBadRequest(reason="The event is not understood.")
    return event


def _text(event: Any, name: str) -> str:
    value = event.get(name) if isinstance(event, dict) else None
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or forms.clean(value) != value:
        raise web.HTTPBadRequest(reason="The event is not understood.")
    return value


def _order(about: Any, name: str) -> str:
    value = about.get(name) if isinstance(about, dict) else None
    return value if isinstance(value, str) else ""
