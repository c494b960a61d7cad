"""Plans, invoices, and the way to the processor."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

import anyio
from aiohttp import web

from limner.http import forms, guessing, pages, qr
from limner.http.state import BUS, CONFIG, DB, look_of, path_id, signed_in
from limner.runtime.errors import NotFound, Refused
from limner.sql import (
    billing,
    changes,
    gifts,
    invoices,
    plans,
    refundable,
    refunds,
    subscriptions,
    trials,
)
from limner.sql.channels import INVOICE_CHANGED
from limner.sql.invoices import Invoice

PATIENCE = 2.0
"""Seconds to wait for the cashier, so that most people never see an invoice that cannot be paid yet."""


async def show_plans(request: web.Request) -> web.Response:
    return await _plans(request)


async def _plans(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    """What can be bought; whoever has tried for nothing so far buys like anybody, and has nothing to change."""
    db, viewer = request.app[DB], signed_in(request)
    on_sale, held = await plans.on_sale(db), await subscriptions.alive(db, viewer.id)
    can_change = held is not None and held.runs and held.plan.price_cents > 0
    return pages.render(
        request,
        "plans.html",
        why,
        form=form or {},
        plans=on_sale,
        subscription=held,
        offers={plan.code: changes.offer(held, plan) for plan in on_sale} if held and can_change else {},
        processors=billing.processors(request.app[CONFIG]),
        trial=await trials.offer(db, viewer, request.app[CONFIG]),
    )


async def buy(request: web.Request) -> web.StreamResponse:
    viewer, code = signed_in(request), request.match_info["code"]
    if code != forms.clean(code):
        raise NotFound
    plan, form = await plans.by_code(request.app[DB], code), await forms.read(request)
    try:
        given = await guessing.code(request, form)
        invoice = await billing.buy(request.app[DB], viewer.id, plan, _processor(request, form), code=given)
    except Refused as why:
        if why.field != "code":
            raise
        return await _plans(request, why, forms.kept(form, "code") | {"plan": plan.code})
    await _until_payable(request, invoice.id)
    return pages.see_other(f"/invoices/{invoice.id}")


async def show_invoices(request: web.Request) -> web.Response:
    viewer = signed_in(request)
    return pages.render(request, "invoices.html", invoices=await invoices.of_account(request.app[DB], viewer.id))


async def show_invoice(request: web.Request) -> web.Response:
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    return pages.render(request, "invoice.html", **await _shown(request, invoice))


async def show_status(request: web.Request) -> web.Response:
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    return pages.render(request, "partials/invoice_status.html", **await _shown(request, invoice))


async def check_again(request: web.Request) -> web.StreamResponse:
    """ "I have paid": the processor is asked at once."""
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    await billing.ask(request.app[DB], invoice.id)
    return pages.see_other(f"/invoices/{invoice.id}")


async def cancel(request: web.Request) -> web.StreamResponse:
    """Its owner changed their mind; what was paid meanwhile stays paid."""
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    await billing.cancel(request.app[DB], invoice)
    return pages.see_other(f"/invoices/{invoice.id}", "asked_processor")


async def _shown(request: web.Request, invoice: Invoice) -> dict[str, Any]:
    """The invoice, the way to pay that is drawn, and what went back."""
    way = _drawn(invoice)
    return {
        "invoice": invoice,
        "way": way,
        "code": qr.drawn(way["link"] or way["address"]) if way else None,
        "gift": await _gift(request, invoice),
        "refunds": await refunds.of_invoice(request.app[DB], invoice.id),
        "went_back": not invoice.paid_by and await refunds.goes_back(request.app[DB], invoice.id),
        "more": await _more(request, invoice),
    }


async def _more(request: web.Request, invoice: Invoice) -> int:
    """What came too much, and somebody was told of."""
    cents = await refundable.surplus(request.app[DB], invoice)
    return cents if cents >= invoices.DUST_CENTS else 0


def _drawn(invoice: Invoice) -> dict[str, str] | None:
    """The first way that can be drawn, else the checkout's address, for whoever pays with the phone in the other hand."""
    if invoice.state != "pending" or invoice.checkout_url is None:
        return None
    checkout = {"method": "", "link": invoice.checkout_url, "address": "", "due": "", "currency": ""}
    return next((way for way in invoice.ways if way["link"] or way["address"]), checkout)


def _processor(request: web.Request, form: forms.Form) -> str:
    """The one that was chosen, or the first. Raises Refused for one that is not set up here."""
    offered = billing.processors(request.app[CONFIG])
    if not offered:
        raise Refused("No way to pay is set up here yet. Please write to the people who run this place.")
    chosen = forms.text(form, "processor", most=20) or offered[0]
    if chosen not in offered:
        raise Refused(f"One can pay by {', '.join(offered)} here, not {chosen!r}.", field="processor")
    return chosen


async def _gift(request: web.Request, invoice: Invoice) -> dict[str, object] | None:
    """What the buyer of a gift is shown as soon as it is paid."""
    if invoice.purpose != "gift" or invoice.state != "paid":
        return None
    db = request.app[DB]
    secret = "" if look_of(request) else await gifts.bought_with(db, invoice.id, request.app[CONFIG].secret_keys)
    is_redeemed, is_barred = await gifts.is_redeemed(db, invoice.id), await gifts.is_barred(db, invoice.id)
    return {"code": secret, "is_redeemed": is_redeemed, "is_barred": is_barred}


async def _until_payable(request: web.Request, invoice_id: UUID) -> None:
    send, receive = anyio.create_memory_object_stream[None](1)

    def heard(payload: str | None) -> None:
        if payload in (None, str(invoice_id)):
            with contextlib.suppress(anyio.WouldBlock):
                send.send_nowait(None)

    await request.app[BUS].on(INVOICE_CHANGED, heard)
    try:
        with anyio.move_on_after(PATIENCE):
            while _is_on_its_way(await invoices.get(request.app[DB], invoice_id)):
                await receive.receive()
    finally:
        send.close()
        receive.close()
        request.app[BUS].off(INVOICE_CHANGED, heard)


def _is_on_its_way(invoice: Invoice) -> bool:
    return invoice.is_open and invoice.checkout_url is None
