"""Plans, invoices, and the way to the processor."""

from __future__ import annotations

import contextlib
from uuid import UUID

import anyio
from aiohttp import web

from limner.http import forms, pages
from limner.http.state import BUS, CONFIG, DB, path_id, signed_in
from limner.runtime.errors import NotFound, Refused
from limner.sql import billing, changes, invoices, plans, subscriptions
from limner.sql.channels import INVOICE_CHANGED

PATIENCE = 2.0
"""Seconds to wait for the cashier, so that most people never see an invoice that cannot be paid yet."""


async def show_plans(request: web.Request) -> web.Response:
    viewer, on_sale = signed_in(request), await plans.on_sale(request.app[DB])
    held = await subscriptions.alive(request.app[DB], viewer.id)
    offers = {plan.code: changes.offer(held, plan) for plan in on_sale} if held and held.runs else {}
    return pages.render(request, "plans.html", plans=on_sale, subscription=held, offers=offers)


async def buy(request: web.Request) -> web.StreamResponse:
    viewer, code = signed_in(request), request.match_info["code"]
    if code != forms.clean(code):
        raise NotFound
    plan = await plans.by_code(request.app[DB], code)
    invoice = await billing.buy(request.app[DB], viewer.id, plan, _processor(request))
    await _until_payable(request, invoice.id)
    return pages.see_other(f"/invoices/{invoice.id}")


async def show_invoices(request: web.Request) -> web.Response:
    viewer = signed_in(request)
    return pages.render(request, "invoices.html", invoices=await invoices.of_account(request.app[DB], viewer.id))


async def show_invoice(request: web.Request) -> web.Response:
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    return pages.render(request, "invoice.html", invoice=invoice)


async def show_status(request: web.Request) -> web.Response:
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    return pages.render(request, "partials/invoice_status.html", invoice=invoice)


async def check_again(request: web.Request) -> web.StreamResponse:
    """ "I have paid": the processor is asked at once."""
    invoice = await invoices.get(request.app[DB], path_id(request), signed_in(request).id)
    await billing.ask(request.app[DB], invoice.id)
    return pages.see_other(f"/invoices/{invoice.id}")


def _processor(request: web.Request) -> str:
    if request.app[CONFIG].takes_sandbox_payments:
        return "sandbox"
    raise Refused("No way to pay is set up here yet. Please write to the people who run this place.")


async def _until_payable(request: web.Request, invoice_id: UUID) -> None:
    send, receive = anyio.create_memory_object_stream[None](1)

    def heard(payload: str | None) -> None:
        if payload in (None, str(invoice_id)):
            with contextlib.suppress(anyio.WouldBlock):
                send.send_nowait(None)

    await request.app[BUS].on(INVOICE_CHANGED, heard)
    try:
        with anyio.move_on_after(PATIENCE):
            while (await invoices.get(request.app[DB], invoice_id)).checkout_url is None:
                await receive.receive()
    finally:
        send.close()
        receive.close()
        request.app[BUS].off(INVOICE_CHANGED, heard)
