"""Webhooks: the processors' hints. A believed one makes the cashier look; its word alone grants nothing."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from limner.http import forms
from limner.http.state import CONFIG, DB
from limner.runtime.log import logger
from limner.runtime.signatures import is_signed
from limner.sql import billing, invoices

log = logger(__name__)

LARGEST = 64 * 1024
SIGNATURE = "Limner-Sandbox-Signature"


async def sandbox(request: web.Request) -> web.Response:
    """A hint of the sandbox processor. 200: believed and kept. 401: not signed by it. 503: no secret, or unknown yet."""
    config = request.app[CONFIG]
    secret = config.sandbox_secret.get_secret_value()
    if not secret or not config.takes_sandbox_payments:
        raise web.HTTPServiceUnavailable(reason="This processor is not set up here.")
    body = await forms.raw(request, LARGEST)
    if len(request.headers.getall(SIGNATURE, [])) != 1 or not is_signed(secret, body, request.headers[SIGNATURE]):
        log.warning("webhook_not_signed", processor="sandbox")
        raise web.HTTPUnauthorized(reason="The signature does not fit.")
    event = _event(body)
    invoice = await invoices.by_ref(request.app[DB], "sandbox", event["payment_id"])
    if invoice is None:  # it may still be on its way into our books: the sender should try again
        raise web.HTTPServiceUnavailable(reason="This payment is not known yet.")
    await billing.hint(request.app[DB], invoice, event["id"], event["type"])
    return web.json_response({"ok": True})


def _event(body: bytes) -> dict[str, str]:
    try:
        event: Any = orjson.loads(body)
        return {name: _text(event[name]) for name in ("id", "type", "payment_id")}
    except (ValueError, KeyError, TypeError) as error:
        raise web.HTTPBadRequest(reason="The event is not understood.") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or "\x00" in value:
        raise TypeError
    return value
