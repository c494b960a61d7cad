"""Providers: who paints, where they are reached, and what is left on the accounts over there."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, admin, fresh, path_code, staff
from limner.runtime import mailbox
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.sql import funds, painters, providers
from limner.sql.models import ImportModels

FILTERS = (filters.Words("Code, kind or address"), filters.Choice("state", "State", ("on", "off")))


async def _fetch(db: Database, asked: Asked, count: int) -> Found[dict[str, Any]]:
    found = await providers.listing(db)
    for each in found:
        each["problem"] = providers.problem(each)
        # Settings may carry headers with secrets: their names alone are shown.
        each["setting_names"] = sorted(each.pop("settings"))
    return Found([
        each for each in found
        if asked["state"] in ("", "on" if each["active"] else "off")
        and lists.holding(asked["q"], each["code"], each["kind"], each["base_url"])
    ])  # fmt: skip


def _cells(each: dict[str, Any]) -> Sequence[object]:
    named = ("code", "kind", "base_url", "active", "is_local", "keys", "active_keys", "models")
    return *(each[name] for name in named), " ".join(each["setting_names"])


LIST = lists.List(
    "/admin/providers", FILTERS, _fetch,
    ("provider", "painter", "reached at", "paints", "own machine", "keys", "keys that paint", "models on", "settings"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def change(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        typed = forms.text(form, "settings", most=4000)
        await providers.change(
            request.app[DB],
            path_code(request),
            base_url=forms.text(form, "base_url", most=300),
            active=bool(forms.whole(form, "active", least=0, most=1, default=1)),
            settings=providers.settings_in(typed) if typed else None,
            is_local=bool(forms.whole(form, "is_local", least=0, most=1, default=0)),
            **about(request),
        )
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other("/admin/providers", "saved")


async def add(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        typed = forms.text(form, "settings", most=4000)
        await providers.add(
            request.app[DB],
            forms.text(form, "code", most=40, needed=True),
            forms.text(form, "kind", most=40, needed=True),
            base_url=forms.text(form, "base_url", most=300),
            settings=providers.settings_in(typed) if typed else None,
            is_local=bool(forms.whole(form, "is_local", least=0, most=1, default=0)),
            **about(request),
        )
    except Refused as why:
        # Settings may carry headers with secrets: they are typed again.
        return await _page(request, why, {**forms.kept(form, "code", "kind", "base_url", "is_local"), "for": "new"})
    return pages.see_other("/admin/providers", "saved")


async def import_models(request: web.Request) -> web.StreamResponse:
    """A worker asks the provider; what is new shows up in the catalogue, switched off."""
    admin(request)
    code = path_code(request)
    await forms.read(request)
    if code not in await providers.codes(request.app[DB]):
        raise NotFound("There is no such provider.")
    await mailbox.send(
        request.app[DB], ImportModels(code, about(request)["actor"]), key=f"import {code}", max_attempts=1
    )
    return pages.see_other("/admin/models", "asked")


async def top_up(request: web.Request) -> web.StreamResponse:
    fresh(request)
    code, form = path_code(request), await forms.read(request)
    try:
        account = forms.text(form, "account", most=80, needed=True)
        amount, below = micros(form, "amount"), micros(form, "alert_below")
        if amount is None and below is None:
            raise Refused("Say how much was paid in, or when to be told.", field="amount")
        if amount is not None:
            note = forms.text(form, "note", most=200)
            await funds.top_up(request.app[DB], code, account, amount, note, **about(request))
        if below is not None:
            await funds.alert_below(request.app[DB], code, account, below, **about(request))
    except Refused as why:
        return await _page(request, why, {**forms.kept(form, "account", "amount", "alert_below", "note"), "for": code})
    return pages.see_other("/admin/providers", "saved")


def micros(form: forms.Form, name: str) -> int | None:
    """An amount of US dollars, such as 25 or -0.5, in millionths."""
    text = forms.text(form, name, most=20)
    try:
        found = None if not text else Decimal(text)
    except InvalidOperation:
        found = Decimal("nan")
    if found is not None and not (found.is_finite() and abs(found) < 10**7):
        raise Refused(f"{text!r} is no amount of dollars such as 25 or 0.50.", field=name)
    return None if found is None else round(found * 1_000_000)


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    return pages.render(
        request,
        "admin/providers.html",
        why,
        list=await LIST.show(request),
        codes=await providers.codes(request.app[DB]),
        funds=await funds.listing(request.app[DB]),
        kinds=sorted(painters.KINDS),
        form=form or {},
    )
