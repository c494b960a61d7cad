"""Somebody's own subscription: what runs, what comes next, and the forms that change it."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.billing import _until_payable
from limner.http.state import CONFIG, DB, about, signed_in
from limner.runtime.errors import Refused
from limner.sql import billing, changes, plans, renewals, subscriptions
from limner.sql.plans import Plan

HERE = "/account/subscription"


async def show(request: web.Request) -> web.Response:
    return await _page(request)


async def change(request: web.Request) -> web.StreamResponse:
    """Another plan: up leads to its invoice, down is written down for the next cycle."""
    viewer, form = signed_in(request), await forms.read(request)
    try:
        plan = await _chosen(request, forms.text(form, "plan", most=40, needed=True))
        ways = billing.processors(request.app[CONFIG])
        invoice = await changes.begin(request.app[DB], viewer.id, plan, ways, **about(request))
    except Refused as why:
        return await _page(request, pages.in_general(why))
    if invoice is None:
        return pages.see_other(HERE, "saved")
    await _until_payable(request, invoice.id)
    return pages.see_other(f"/invoices/{invoice.id}")


async def cancel(request: web.Request) -> web.StreamResponse:
    viewer = signed_in(request)
    try:
        await changes.cancel(request.app[DB], viewer.id, **about(request))
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other(HERE, "ends")


async def go_on(request: web.Request) -> web.StreamResponse:
    """The cancellation is taken back."""
    viewer = signed_in(request)
    try:
        await changes.take_back(request.app[DB], viewer.id, **about(request))
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other(HERE, "goes_on")


async def _chosen(request: web.Request, code: str) -> Plan:
    """One that is on sale, or the one that runs: to stay with it. Raises Refused that names the field and the value."""
    held = await subscriptions.alive(request.app[DB], signed_in(request).id)
    on_sale = await plans.on_sale(request.app[DB])
    for plan in [*on_sale, *([held.plan] if held else [])]:
        if plan.code == code:
            return plan
    raise Refused(f"There is no plan {code!r} on sale.", field="plan")


async def _page(request: web.Request, why: Refused | None = None) -> web.Response:
    db, viewer = request.app[DB], signed_in(request)
    held = await subscriptions.latest(db, viewer.id)
    offers = []
    if held is not None and held.runs:
        offers = [(plan, changes.offer(held, plan)) for plan in await plans.on_sale(db)]
    return pages.render(
        request,
        "subscription.html",
        why,
        subscription=held,
        offers=offers,
        waiting=await renewals.waiting(db, viewer.id),
    )
