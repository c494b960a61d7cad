"""Plans: what is sold and at which terms, as an operator edits it. What was bought keeps the terms of its day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, fresh, path_code, staff
from limner.runtime import amounts
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import models, plans
from limner.sql.plans import Entry

FILTERS = (
    filters.Words("Name or code"),
    filters.Choice("state", "State", ("on", "off"), {"on": "on sale", "off": "archived"}),
)
NUMBERS = {
    "credits_per_cycle": (1, 10**9), "concurrency": (1, 100), "priority": (-10, 10), "retention_days": (1, 36500),
    "longest_wait_seconds": (5, 86400), "sort": (-1000, 1000), "credits_per_day": (1, 10**9), "credits_per_month": (1, 10**9),
}  # fmt: skip
MAY_BE_EMPTY = ("retention_days", "credits_per_day", "credits_per_month")
TYPED = (
    "code",
    "name",
    "price",
    "price_currency",
    "billing_currency",
    "shows_exact_quota",
    "active",
    "allowed_models",
    "reason",
    *NUMBERS,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[dict[str, Any]]:
    return Found([
        each for each in await plans.listing(db)
        if asked["state"] in ("", "on" if each["active"] else "off") and lists.holding(asked["q"], each["code"], each["name"])
    ])  # fmt: skip


def _cells(each: dict[str, Any]) -> Sequence[object]:
    named = (
        "price_currency", "billing_currency", "credits_per_cycle", "credits_per_day", "credits_per_month", "concurrency",
        "priority", "retention_days", "longest_wait_seconds", "shows_exact_quota", "active", "subscribers",
    )  # fmt: skip
    price, allowed = amounts.plain(each["price_cents"]), " ".join(each["allowed_models"] or [])
    return each["code"], each["name"], price, *(each[name] for name in named), allowed


LIST = lists.List(
    "/admin/plans", FILTERS, _fetch,
    ("code", "name", "price", "currency", "paid in", "credits a cycle", "a day", "a month", "at once", "priority",
     "kept for (days)",
     "longest wait (s)", "exact display", "on sale", "subscribers", "only these models"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _list(request)


async def add(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        code = forms.text(form, "code", most=60, needed=True)
        reason = forms.text(form, "reason", most=200, needed=True, label="The reason")
        await plans.add(request.app[DB], code, _entry(form), reason=reason, **about(request))
    except Refused as why:
        return await _list(request, why, forms.kept(form, *TYPED))
    return pages.see_other(f"/admin/plans/{code}", "saved")


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, path_code(request))


async def change(request: web.Request) -> web.StreamResponse:
    """A price that is typed anew holds for invoices to come: those that are there, and periods that run, keep theirs."""
    fresh(request)
    code, form = path_code(request), await forms.read(request)
    try:
        wanted, known = _entry(form), _entry_of(await plans.listed(request.app[DB], code))
        wanted.check()
        reason = sure.asked(
            form,
            f"Change the plan {known.name}",
            _known(known),
            _known(wanted),
            effect="Price and credits hold for what is bought from now on; caps, models and places for the next order.",
            back=f"/admin/plans/{code}",
        )
        async with sure.once(request, form) as tx:
            await plans.change(tx, code, wanted, reason=reason, **about(request))
    except Refused as why:
        return await _page(request, code, why, forms.kept(form, *TYPED))
    return pages.see_other(f"/admin/plans/{code}", "saved")


def _entry(form: forms.Form) -> Entry:
    """Raises Refused that names the field."""
    return Entry(
        name=forms.text(form, "name", most=80, needed=True),
        price_cents=forms.cents(form, "price", label="A price"),
        price_currency=(forms.text(form, "price_currency", most=5) or "USD").upper(),
        billing_currency=(forms.text(form, "billing_currency", most=5) or "USDT").upper(),
        shows_exact_quota=bool(forms.whole(form, "shows_exact_quota", least=0, most=1, default=0)),
        active=bool(forms.whole(form, "active", least=0, most=1, default=0)),
        allowed_models=_models(form) or None,
        **{name: _number(form, name) for name in NUMBERS},  # type: ignore[arg-type]
    )


def _number(form: forms.Form, name: str) -> int | None:
    least, most = NUMBERS[name]
    if name in MAY_BE_EMPTY and not forms.text(form, name, most=20):
        return None
    return forms.whole(form, name, least=least, most=most, default=getattr(Entry, name))


def _models(form: forms.Form) -> list[str]:
    """Ids between spaces, commas or lines, each once; none: every model."""
    return list(dict.fromkeys(forms.text(form, "allowed_models", most=8000).replace(",", " ").split()))


def _entry_of(plan: Mapping[str, Any]) -> Entry:
    return Entry(**{each.name: plan[each.name] for each in fields(Entry)})


def _known(entry: Entry) -> dict[str, Any]:
    """An entry as its form shows it."""
    known: dict[str, Any] = {name: "" if getattr(entry, name) is None else getattr(entry, name) for name in NUMBERS}
    texts = {name: getattr(entry, name) for name in ("name", "price_currency", "billing_currency")}
    switches = {name: int(getattr(entry, name)) for name in ("shows_exact_quota", "active")}
    price, allowed = amounts.plain(entry.price_cents), " ".join(entry.allowed_models or [])
    return known | texts | switches | {"price": price, "allowed_models": allowed}


async def _list(request: web.Request, why: Refused | None = None, form: dict[str, Any] | None = None) -> web.Response:
    fresh_one = _known(Entry("", 0)) | {"price": ""}
    return pages.render(
        request,
        "admin/plans.html",
        why,
        list=await LIST.show(request),
        form=form or fresh_one,
        models=await _ids(request),
    )


async def _page(
    request: web.Request, code: str, why: Refused | None = None, form: dict[str, Any] | None = None
) -> web.Response:
    db = request.app[DB]
    plan = await plans.listed(db, code)
    return pages.render(
        request, "admin/plan.html", why, plan=plan, form=form or _known(_entry_of(plan)), models=await _ids(request),
        acts=await plans.acts(db, code),
    )  # fmt: skip


async def _ids(request: web.Request) -> list[str]:
    return [each["id"] for each in await models.listing(request.app[DB])]
