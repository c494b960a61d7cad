"""Providers: who paints, where they are reached, and what is left on the accounts over there."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import DB, about, admin, fresh, path_code, staff
from limner.runtime import mailbox
from limner.runtime.errors import NotFound, Refused
from limner.sql import funds, providers
from limner.sql.models import ImportModels


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
            base_url=_address(forms.text(form, "base_url", most=300)),
            active=bool(forms.whole(form, "active", least=0, most=1, default=1)),
            settings=providers.settings_in(typed) if typed else None,
            is_local=bool(forms.whole(form, "is_local", least=0, most=1, default=0)),
            **about(request),
        )
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other("/admin/providers", "saved")


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise Refused("A base is empty, or an address that begins with http:// or https://.", field="base_url")
    return text.rstrip("/")


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
        return await _page(request, why, {**forms.kept(form, "account", "amount", "alert_below", "note"), "code": code})
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
    found = await providers.listing(request.app[DB])
    for each in found:
        # Settings may carry headers with secrets: their names alone are shown.
        each["setting_names"] = sorted(each.pop("settings"))
    return pages.render(
        request,
        "admin/providers.html",
        why,
        providers=found,
        funds=await funds.listing(request.app[DB]),
        form=form or {},
    )
