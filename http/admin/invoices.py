"""Invoices: find, see what came and what is to be decided, mark paid, give back."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from limner.http import forms, pages
from limner.http.gallery import as_keyset, keyset
from limner.http.state import DB, about, admin, path_id, staff
from limner.runtime.errors import Refused
from limner.sql import accounts, billing, invoices, payments, refunds, till
from limner.sql.invoices import Invoice

PAGE = 50


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    query = request.query
    state = query.get("state", "") if query.get("state") in till.STATES else ""
    search = forms.clean(query.get("q", ""))[:254]
    before = keyset(query.get("before", ""))
    found = await till.listing(request.app[DB], state=state, search=search, before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        last = found[PAGE - 1]
        place = as_keyset(last.created_at, last.id)
        older = "/admin/invoices?" + urlencode({"state": state, "q": search, "before": place})
    return pages.render(
        request,
        "admin/invoices.html",
        invoices=found[:PAGE],
        states=till.STATES,
        state=state,
        q=search,
        older_url=older,
    )


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, path_id(request))


async def check(request: web.Request) -> web.StreamResponse:
    """Have the processor asked at once."""
    admin(request)
    invoice = await invoices.get(request.app[DB], path_id(request))
    await billing.ask(request.app[DB], invoice.id)
    return pages.see_other(f"/admin/invoices/{invoice.id}", "asked")


async def mark_paid(request: web.Request) -> web.StreamResponse:
    admin(request)
    invoice_id, form = path_id(request), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True)
        await payments.mark_paid(request.app[DB], invoice_id, reason, **about(request))
    except Refused as why:
        return await _page(request, invoice_id, Refused(str(why), field="paid") if why.status == 400 else why)
    return pages.see_other(f"/admin/invoices/{invoice_id}", "saved")


async def ask_refund(request: web.Request) -> web.Response:
    """The first of two steps: what would go back, and what would be taken back for it."""
    admin(request)
    return await _ask(request, path_id(request))


async def refund(request: web.Request) -> web.StreamResponse:
    """The second one."""
    admin(request)
    invoice_id, form = path_id(request), await forms.read(request)
    try:
        kind = forms.text(form, "kind", most=10)
        if kind not in refunds.KINDS:
            raise Refused(f"A refund is of the whole or of the surplus, not of {kind!r}.", field="kind")
        reason = forms.text(form, "reason", most=200, needed=True)
        await refunds.order(request.app[DB], invoice_id, kind, reason, **about(request))
    except Refused as why:
        return await _ask(request, invoice_id, why)
    return pages.see_other(f"/admin/invoices/{invoice_id}", "asked")


async def decide(request: web.Request) -> web.StreamResponse:
    """What was to be decided about it is decided."""
    admin(request)
    invoice_id, form = path_id(request), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True)
        invoice = await invoices.get(request.app[DB], invoice_id)
        await payments.dealt_with(request.app[DB], invoice, reason, **about(request))
    except Refused as why:
        return await _page(request, invoice_id, Refused(str(why), field="decision") if why.status == 400 else why)
    return pages.see_other(f"/admin/invoices/{invoice_id}", "saved")


async def _page(request: web.Request, invoice_id: UUID, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    invoice = await invoices.get(db, invoice_id)
    return pages.render(
        request,
        "admin/invoice.html",
        why,
        invoice=invoice,
        account=await accounts.get(db, invoice.account_id),
        refunds=await refunds.of_invoice(db, invoice.id),
        events=await till.events(db, invoice.id),
        acts=await till.acts(db, invoice.id),
        owed=await _owed(request, invoice),
    )


async def _ask(request: web.Request, invoice_id: UUID, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    invoice = await invoices.get(db, invoice_id)
    return pages.render(
        request,
        "admin/refund.html",
        why,
        invoice=invoice,
        account=await accounts.get(db, invoice.account_id),
        owed=await _owed(request, invoice),
    )


async def _owed(request: web.Request, invoice: Invoice) -> dict[str, int]:
    """What could go back, by kind, and how many credits the whole would cost."""
    return await refunds.owed(request.app[DB], invoice)
