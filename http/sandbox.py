"""The sandbox payment processor: an outsider under our roof, with an API, a checkout page and signed webhooks."""

from __future__ import annotations

import secrets
from typing import Any

import aiohttp
import anyio
import orjson
from aiohttp import web

from limner.http import forms, pages
from limner.http.hooks import SIGNATURE
from limner.http.state import CLIENT, CONFIG, DB, path_id
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import logger
from limner.runtime.signatures import sign
from limner.sql import sandbox
from limner.sql.sandbox import Payment

log = logger(__name__)

MOST_CENTS = 10**9


async def open_payment(request: web.Request) -> web.Response:
    """``POST /sandbox/api/payments``: order_ref, amount_cents, currency, title, return_url."""
    config = _let_in(request)
    try:
        asked: Any = orjson.loads(await forms.raw(request, 16384))
        texts = {name: forms.clean(str(asked[name]))[:500] for name in ("order_ref", "currency", "title", "return_url")}
        amount = int(asked["amount_cents"])
        if not 0 <= amount <= MOST_CENTS:
            raise ValueError(amount)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise web.HTTPBadRequest(reason="The payment is not understood.") from error
    payment = await sandbox.open_payment(
        request.app[DB],
        texts["order_ref"],
        amount,
        texts["currency"],
        texts["title"],
        return_url=texts["return_url"],
        webhook_url=f"http://{config.http_host}:{config.http_port}/hooks/sandbox",
    )
    return web.json_response(_as_json(payment))


async def read_payment(request: web.Request) -> web.Response:
    """``GET /sandbox/api/payments/{id}``: the truth, which a webhook only hints at."""
    _let_in(request)
    return web.json_response(_as_json(await sandbox.get(request.app[DB], path_id(request))))


async def show_checkout(request: web.Request) -> web.Response:
    _must_be_on(request)
    return pages.render(request, "sandbox.html", payment=await sandbox.get(request.app[DB], path_id(request)))


async def decide(request: web.Request) -> web.StreamResponse:
    """Pay or decline, tell the shop by a signed webhook, and go back there."""
    _must_be_on(request)
    act = forms.text(await forms.read(request), "act", most=10)
    if act not in ("pay", "decline"):
        raise Refused(f"A payment can be paid or declined, not {act!r}.", field="act")
    payment = await sandbox.get(request.app[DB], path_id(request))
    if await sandbox.decide(request.app[DB], payment.id, "settled" if act == "pay" else "declined"):
        await _tell_shop(request, payment, f"payment.{'settled' if act == 'pay' else 'declined'}")
    return pages.see_other(payment.return_url)


async def _tell_shop(request: web.Request, payment: Payment, kind: str) -> None:
    secret = request.app[CONFIG].sandbox_secret.get_secret_value()
    body = orjson.dumps({"id": f"evt_{secrets.token_hex(12)}", "type": kind, "payment_id": str(payment.id)})
    headers = {SIGNATURE: sign(secret, body), "Content-Type": "application/json"}
    try:
        with anyio.fail_after(5):
            async with request.app[CLIENT].post(payment.webhook_url, data=body, headers=headers) as answer:
                if answer.status == 200:
                    await sandbox.delivered(request.app[DB], payment.id)
                else:
                    log.warning("webhook_refused", status=answer.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("webhook_lost", error=type(error).__name__)  # the shop asks by itself every half minute


def _must_be_on(request: web.Request) -> None:
    if not request.app[CONFIG].takes_sandbox_payments:
        raise NotFound


def _let_in(request: web.Request) -> Any:
    _must_be_on(request)
    config = request.app[CONFIG]
    secret = config.sandbox_secret.get_secret_value()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not secret or not secrets.compare_digest(given.encode(errors="replace"), secret.encode()):
        raise web.HTTPUnauthorized(reason="The key does not fit.")
    return config


def _as_json(payment: Payment) -> dict[str, Any]:
    return {
        "id": str(payment.id),
        "order_ref": payment.order_ref,
        "state": payment.state,
        "amount_cents": payment.amount_cents,
        "currency": payment.currency,
    }
