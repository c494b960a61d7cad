"""The sandbox payment processor: an outsider under our roof, with an API, a checkout page and signed webhooks."""

from __future__ import annotations

import secrets
from datetime import datetime
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
        amount = _cents(asked["amount_cents"], least=0)
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


async def list_payments(request: web.Request) -> web.Response:
    """``GET /sandbox/api/payments``: those of an ``order_ref``, or ``since`` a moment."""
    _let_in(request)
    order_ref, since = request.query.get("order_ref"), request.query.get("since")
    try:
        moment = datetime.fromisoformat(since) if since else None
        if moment is not None and moment.tzinfo is None:
            raise ValueError(since)
    except ValueError as error:
        raise web.HTTPBadRequest(reason="That is no moment.") from error
    wanted = None if order_ref is None else forms.clean(order_ref)
    found = await sandbox.listing(request.app[DB], order_ref=wanted, since=moment)
    return web.json_response([_as_json(payment) for payment in found])


async def read_payment(request: web.Request) -> web.Response:
    """``GET /sandbox/api/payments/{id}``: the truth, which a webhook only hints at."""
    _let_in(request)
    return web.json_response(_as_json(await sandbox.get(request.app[DB], path_id(request))))


async def cancel_payment(request: web.Request) -> web.Response:
    """``POST /sandbox/api/payments/{id}/cancellation``: nobody pays it any more; a decided one stays as it is."""
    _let_in(request)
    payment = await sandbox.get(request.app[DB], path_id(request))
    await sandbox.decide(request.app[DB], payment.id, "declined")
    return web.json_response(_as_json(await sandbox.get(request.app[DB], payment.id)))


async def pay_back(request: web.Request) -> web.Response:
    """``POST /sandbox/api/payments/{id}/refunds``: ref, amount_cents. The same ref is sent once."""
    _let_in(request)
    payment = await sandbox.get(request.app[DB], path_id(request))
    try:
        asked: Any = orjson.loads(await forms.raw(request, 16384))
        ref, amount = forms.clean(str(asked["ref"]))[:100], _cents(asked["amount_cents"], least=1)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise web.HTTPBadRequest(reason="The refund is not understood.") from error
    try:
        await sandbox.pay_back(request.app[DB], payment.id, ref, amount)
    except Refused as why:
        raise web.HTTPUnprocessableEntity(reason=str(why)) from why
    return web.json_response({"ref": ref, "amount_cents": amount})


async def show_checkout(request: web.Request) -> web.Response:
    _must_be_on(request)
    return pages.render(request, "sandbox.html", payment=await sandbox.get(request.app[DB], path_id(request)))


async def decide(request: web.Request) -> web.StreamResponse:
    """Play one of the things that payers do, tell the shop by a signed webhook if it is not to be lost, and go back there."""
    _must_be_on(request)
    form = await forms.read(request)
    act, is_lost = forms.text(form, "act", most=10), bool(forms.text(form, "lost", most=10))
    if act not in PLAYS:
        raise Refused(f"A payment can be paid or declined, not {act!r}.", field="act")
    payment = await sandbox.get(request.app[DB], path_id(request))
    kind = await PLAYS[act](request.app[DB], payment)
    if kind and not is_lost:
        await _tell_shop(request, payment, kind)
    return pages.see_other(payment.return_url)


async def _pay(db: Any, payment: Payment) -> str:
    return "payment.settled" if await sandbox.decide(db, payment.id, "settled") else ""


async def _late(db: Any, payment: Payment) -> str:
    await sandbox.expire(db, payment.id)
    due = max(0, payment.amount_cents - payment.received_cents)
    return "payment.settled" if await sandbox.receive(db, payment.id, due) else ""


async def _decline(db: Any, payment: Payment) -> str:
    return "payment.declined" if await sandbox.decide(db, payment.id, "declined") else ""


async def _part(db: Any, payment: Payment) -> str:
    """Half of what is due, rounded down: whoever pays a part never pays it all."""
    half = (payment.amount_cents - payment.received_cents) // 2
    return "payment.received" if half > 0 and await sandbox.receive(db, payment.id, half) else ""


async def _over(db: Any, payment: Payment) -> str:
    due = payment.amount_cents - payment.received_cents
    return "payment.settled" if await sandbox.receive(db, payment.id, due + payment.amount_cents // 2 + 1) else ""


async def _confirm(db: Any, payment: Payment) -> str:
    due = payment.amount_cents - payment.received_cents
    return "payment.confirming" if await sandbox.receive(db, payment.id, due, is_confirming=True) else ""


async def _expire(db: Any, payment: Payment) -> str:
    return "payment.expired" if await sandbox.expire(db, payment.id) else ""


PLAYS = {
    "pay": _pay, "decline": _decline, "part": _part, "over": _over, "confirm": _confirm, "expire": _expire, "late": _late,
}  # fmt: skip


async def _tell_shop(request: web.Request, payment: Payment, kind: str) -> None:
    secret = request.app[CONFIG].sandbox_secret.get_secret_value()
    body = orjson.dumps({"id": f"evt_{secrets.token_hex(12)}", "type": kind, "payment_id": str(payment.id)})
    headers = {SIGNATURE: sign(secret, body), "Content-Type": "application/json"}
    try:
        with anyio.fail_after(5):
            async with request.app[CLIENT].post(payment.webhook_url, data=body, headers=headers) as answer:
                if 200 <= answer.status < 300:
                    await sandbox.delivered(request.app[DB], payment.id)
                else:
                    log.warning("webhook_refused", status=answer.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("webhook_lost", error=type(error).__name__)  # the shop asks by itself every half minute


def _cents(value: Any, *, least: int) -> int:
    amount = int(value)
    if not least <= amount <= MOST_CENTS:
        raise ValueError(amount)
    return amount


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
        "received_cents": payment.received_cents,
        "is_late": payment.is_late,
        "refunded_cents": payment.refunded_cents,
    }
