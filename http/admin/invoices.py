"""Invoices: find, see what came and what is to be decided, mark paid, give back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, admin, fresh, path_id, staff
from limner.runtime import amounts
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import accounts, billing, doubts, gifts, invoices, payments, plans, refundable, refunds, till
from limner.sql.invoices import Invoice
from limner.sql.till import Listed

PROCESSORS = ("btcpay", "stripe", "sandbox")


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("E-mail or number"),
        filters.Choice("state", "State", till.STATES, {"trouble": "to decide"}),
        filters.Choice("plan", "Plan", [each["code"] for each in await plans.listing(db)]),
        filters.Choice("through", "Through", PROCESSORS),
        filters.SINCE,
        filters.UNTIL,
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Listed]:
    text, id = lists.id_or_words(asked["q"])
    sought = till.Sought(asked["state"], text, id, asked["plan"], asked["through"], asked.since, asked.until)
    return lists.cut(await till.look_through(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(each: Listed) -> Sequence[object]:
    money = (amounts.plain(each.amount_cents), amounts.plain(each.received_cents), each.currency)
    through = (each.processor, each.processor_ref)
    return (
        each.id,
        each.email,
        each.plan,
        each.purpose,
        each.state,
        each.trouble,
        *through,
        *money,
        each.created_at,
        each.paid_at,
    )


LIST = lists.List(
    "/admin/invoices", _filters, _fetch,
    ("invoice", "e-mail", "plan", "for", "state", "to decide", "through", "number there", "amount", "received", "currency",
     "made (UTC)", "paid (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/invoices.html", list=await LIST.show(request))


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
    fresh(request)
    invoice_id, form = path_id(request), await forms.read(request)
    try:
        invoice = await invoices.get(request.app[DB], invoice_id)
        reason = sure.asked(
            form,
            "Say that the payment holds" if invoice.state == "paid" else "Mark it paid",
            {"state": invoice.state, "frozen credits": invoice.frozen_credits, "to decide": invoice.trouble_words},
            {"state": "paid", "frozen credits": 0, "to decide": ""},
            effect=await _worth(request, invoice),
            back=f"/admin/invoices/{invoice_id}",
        )
        async with sure.once(request, form) as tx:
            await payments.mark_paid(tx, invoice_id, reason, seen=invoice, **about(request))
    except Refused as why:
        return await _page(request, invoice_id, pages.in_general(why))
    return pages.see_other(f"/admin/invoices/{invoice_id}", "saved")


async def ask_refund(request: web.Request) -> web.Response:
    """The first of two steps: what would go back, and what would be taken back for it."""
    admin(request)
    return await _ask(request, path_id(request))


async def refund(request: web.Request) -> web.StreamResponse:
    """The second one."""
    fresh(request)
    invoice_id, form = path_id(request), await forms.read(request)
    try:
        kind = forms.text(form, "kind", most=10)
        if kind not in refundable.KINDS:
            raise Refused(f"A refund is of the whole or of the surplus, not of {kind!r}.", field="kind")
        reason = forms.text(form, "reason", most=200, needed=True)
        await refunds.order(request.app[DB], invoice_id, kind, reason, seen=_shown(form, kind), **about(request))
    except Refused as why:
        return await _ask(request, invoice_id, why, forms.kept(form, "kind", "reason"))
    return pages.see_other(f"/admin/invoices/{invoice_id}", "asked")


def _shown(form: forms.Form, kind: str) -> tuple[int, int]:
    """The cents and credits that stood on the page. Raises Refused."""
    cents = forms.whole(form, f"shown_{kind}", least=0, most=10**15)
    return cents, forms.whole(form, "shown_credits", least=0, most=10**15) if kind == "whole" else 0


async def decide(request: web.Request) -> web.StreamResponse:
    """What was to be decided about it is decided."""
    fresh(request)
    invoice_id, form = path_id(request), await forms.read(request)
    try:
        invoice = await invoices.get(request.app[DB], invoice_id)
        reason = sure.asked(
            form,
            "Leave it as it is",
            {"to decide": invoice.trouble_words},
            {"to decide": ""},
            effect=await _stays(request, invoice),
            back=f"/admin/invoices/{invoice_id}",
        )
        async with sure.once(request, form) as tx:
            await payments.dealt_with(tx, invoice, reason, **about(request))
    except Refused as why:
        return await _page(request, invoice_id, pages.in_general(why))
    return pages.see_other(f"/admin/invoices/{invoice_id}", "saved")


async def _worth(request: web.Request, invoice: Invoice) -> str:
    account = await accounts.get(request.app[DB], invoice.account_id)
    price = amounts.said(invoice.amount_cents, invoice.currency)
    if await gifts.is_barred(request.app[DB], invoice.id):
        return f"The gift that {account.email} paid for can be used again."
    if invoice.state == "paid":
        return f"What is frozen of {account.email}'s credits is there again."
    credits = amounts.counted(invoice.credits, "credit")
    return f"{account.email} gets {invoice.plan.name}, {credits} for {price}, as for any other payment."


async def _stays(request: web.Request, invoice: Invoice) -> str:
    frozen = f" Its {invoice.frozen_credits} frozen credits stay frozen." if invoice.frozen_credits else ""
    barred = " Nobody can use its gift." if await gifts.is_barred(request.app[DB], invoice.id) else ""
    return f"Nobody is told of this any more.{frozen}{barred}"


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
        is_doubted=bool(invoice.frozen_credits) or await doubts.is_open(db, invoice.id),
        is_barred=await gifts.is_barred(db, invoice.id),
        owed=await refundable.owed(db, invoice),
    )


async def _ask(
    request: web.Request, invoice_id: UUID, why: Refused | None = None, form: dict[str, str] | None = None
) -> web.Response:
    db = request.app[DB]
    invoice = await invoices.get(db, invoice_id)
    owed = await refundable.owed(db, invoice)
    return pages.render(
        request,
        "admin/refund.html",
        why,
        invoice=invoice,
        account=await accounts.get(db, invoice.account_id),
        owed=owed,
        is_kept=refundable.is_kept(invoice, owed),
        form=form or {},
    )
