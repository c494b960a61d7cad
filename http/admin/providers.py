"""Providers: who paints, where they are reached, and what is left on the accounts over there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, admin, fresh, path_code, staff
from limner.runtime import amounts, mailbox
from limner.runtime.database import Database, Transaction
from limner.runtime.errors import NotFound, Refused
from limner.sql import funds, key_events, keys, painters, providers, proxies
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


async def show(request: web.Request) -> web.Response:
    """Its keys and the ways out that they take, its models, what is left over there, and what happened."""
    staff(request)
    return await _provider_page(request)


async def _provider_page(request: web.Request, why: Refused | None = None) -> web.Response:
    viewer, db, code = staff(request), request.app[DB], path_code(request)
    provider = await _provider(db, code)
    mine = [each for each in await keys.listing(db) if each["provider"] == code]
    ways = {each["proxy_id"] for each in mine}
    return pages.render(
        request, "admin/provider.html", why, provider=provider, problem=providers.problem(provider),
        setting_names=sorted(provider["settings"]), keys=mine,
        proxies=[each for each in await proxies.listing(db) if each["id"] in ways],
        funds=[each for each in await funds.listing(db) if each.provider == code],
        events=await key_events.events(db, provider_id=provider["id"]),
        acts=await providers.acts(db, code, with_money=viewer.is_admin),
    )  # fmt: skip


async def change(request: web.Request) -> web.StreamResponse:
    """Wherever the form stood: in the list, or on its own page."""
    fresh(request)
    code, form = path_code(request), await forms.read(request)
    back = f"{LIST.path}/{code}" if forms.text(form, "here", most=5) else LIST.path
    try:
        await _change(request, form, code, back)
    except Refused as why:
        return await (_page if back == LIST.path else _provider_page)(request, pages.in_general(why))
    return pages.see_other(back, "saved")


async def _change(request: web.Request, form: forms.Form, code: str, back: str) -> None:
    typed = forms.text(form, "settings", most=4000)
    settings = providers.settings_in(typed) if typed else None
    wanted: dict[str, Any] = {
        "base_url": forms.text(form, "base_url", most=300),
        "active": bool(forms.whole(form, "active", least=0, most=1, default=1)),
        "is_local": bool(forms.whole(form, "is_local", least=0, most=1, default=0)),
    }
    known = await _provider(request.app[DB], code)
    was, will = {name: known[name] for name in wanted}, dict(wanted)
    if settings is not None:  # they may carry headers with secrets: their names alone are shown
        was["settings"], will["settings"] = "as they are", f"new ones: {', '.join(sorted(settings)) or 'none'}"
    reason = sure.asked(form, f"Change {code}", was, will, back=back)
    async with sure.once(request, form) as tx:
        await providers.change(tx, code, settings=settings, reason=reason, **wanted, **about(request))


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
            reason=forms.text(form, "reason", most=200, needed=True, label="The reason"),
            **about(request),
        )
    except Refused as why:
        # Settings may carry headers with secrets: they are typed again.
        kept = forms.kept(form, "code", "kind", "base_url", "is_local", "reason")
        return await _page(request, why, {**kept, "for": "new"})
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
        amount, below = forms.micros(form, "amount"), forms.micros(form, "alert_below")
        if amount is None and below is None:
            raise Refused("Say how much was paid in, or when to be told.", field="amount")
        note, who = forms.text(form, "note", most=200), about(request)
        async with sure.once(request, form) as tx:
            reason = await _meant(tx, form, code, account, amount, below)
            if amount is not None:
                await funds.top_up(tx, code, account, amount, note, reason=reason, **who)
            if below is not None:
                await funds.alert_below(tx, code, account, below, reason=reason, **who)
    except Refused as why:
        return await _page(request, why, {**forms.kept(form, "account", "amount", "alert_below", "note"), "for": code})
    return pages.see_other("/admin/providers", "saved")


async def _meant(
    tx: Transaction, form: forms.Form, code: str, account: str, amount: int | None, below: int | None
) -> str:
    """Why it is noted so. What is left changes with every picture, so that it is told and not asked."""
    found = (each for each in await funds.listing(tx) if (each.provider, each.name) == (code, account))
    known = next(found, None)
    alert = known.alert_below if known else None
    was = {"told below": _dollars(alert)}
    will = {"paid in": _dollars(amount), "told below": _dollars(alert if below is None else below)}
    left = known and amounts.rounded_micros(known.left)
    effect = f"By the books {left} is left there now." if left else "Nothing was known of it so far."
    return sure.asked(form, f"Note it for {account} of {code}", was, will, effect=effect, back="/admin/providers")


def _dollars(micros: int | None) -> str:
    """As it is booked."""
    return "" if micros is None else amounts.exact_micros(micros)


async def _provider(db: Database, code: str) -> dict[str, Any]:
    """Raises NotFound."""
    found = next((each for each in await providers.listing(db) if each["code"] == code), None)
    if found is None:
        raise NotFound(f"There is no provider {code[:40]!r}.")
    return found


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
