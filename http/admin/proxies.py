"""Proxies: the ways out, where they come out, and what an admin may do to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, VAULT, about, admin, fresh, path_number, staff
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.sql import keys, proxies

FILTERS = (filters.Words("Label or address"), filters.Choice("state", "State", ("active", "cooldown", "disabled")))


async def _fetch(db: Database, asked: Asked, count: int) -> Found[dict[str, Any]]:
    return Found([
        each for each in await proxies.listing(db)
        if asked["state"] in ("", each["state"])
        and lists.holding(asked["q"], each["label"], each["shown"], each["exit_address"])
    ])  # fmt: skip


def _cells(each: dict[str, Any]) -> Sequence[object]:
    named = ("id", "label", "shown", "state", "why", "exit_address", "latency_ms", "tested_at", "backup", "keys")
    return [each[name] for name in named]


LIST = lists.List(
    "/admin/proxies", FILTERS, _fetch,
    ("proxy", "label", "address", "state", "why", "comes out at", "takes (ms)", "tested (UTC)", "backup", "keys"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def show(request: web.Request) -> web.Response:
    """With the keys that go out by it, or fall back on it."""
    staff(request)
    return await _proxy_page(request)


async def _proxy_page(request: web.Request, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    proxy = await _proxy(db, path_number(request))
    ways = await proxies.listing(db)
    return pages.render(
        request, "admin/proxy.html", why, proxy=proxy, proxies=ways,
        fallbacks=[each for each in ways if each["backup_id"] == proxy["id"]],
        keys=[each for each in await keys.listing(db) if each["proxy_id"] == proxy["id"]],
        events=await proxies.events(db, proxy["id"]), acts=await proxies.acts(db, proxy["id"]),
    )  # fmt: skip


async def add(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        label, backup = _what(form)
        url = forms.text(form, "url", most=500, needed=True, label="The address")
        reason = forms.text(form, "reason", most=200, needed=True, label="The reason")
        await proxies.add(
            request.app[DB], request.app[VAULT], label, url, backup_id=backup, reason=reason, **about(request)
        )
    except Refused as why:
        return await _page(request, why, forms.kept(form, "label", "backup", "reason"))
    return pages.see_other("/admin/proxies", "saved")


async def change(request: web.Request) -> web.StreamResponse:
    fresh(request)
    proxy_id, form = path_number(request), await forms.read(request)
    back = _back(form, proxy_id)
    try:
        await _change(request, form, proxy_id, back)
    except Refused as why:
        return await (_page if back == LIST.path else _proxy_page)(request, pages.in_general(why))
    return pages.see_other(back, "saved")


async def _change(request: web.Request, form: forms.Form, proxy_id: int, back: str) -> None:
    label, backup = _what(form)
    url = forms.text(form, "url", most=500)
    known = await _proxy(request.app[DB], proxy_id)
    was = {"label": known["label"], "address": known["shown"], "backup": known["backup_id"]}
    will = {"label": label, "address": proxies.shown(url) if url else known["shown"], "backup": backup}
    if url and will["address"] == was["address"]:
        will["address"] = f"{known['shown']}, signed in to anew"
    reason = sure.asked(form, f"Change {known['label']}", was, will, back=back)
    vault, who = request.app[VAULT], about(request)
    async with sure.once(request, form) as tx:
        await proxies.change(tx, vault, proxy_id, label=label, backup_id=backup, url=url, reason=reason, **who)


def _back(form: forms.Form, proxy_id: int) -> str:
    """Where the form stood: on the page of the proxy, or in the list."""
    return f"{LIST.path}/{proxy_id}" if forms.text(form, "here", most=5) else LIST.path


def _what(form: forms.Form) -> tuple[str, int | None]:
    label = forms.text(form, "label", most=80, needed=True)
    return label, forms.whole(form, "backup", least=0, most=10**15, default=0) or None


async def set_state(request: web.Request) -> web.StreamResponse:
    fresh(request)
    proxy_id, form = path_number(request), await forms.read(request)
    state, known = forms.text(form, "state", most=20), await _proxy(request.app[DB], proxy_id)
    verb, back = "Disable" if state == "disabled" else "Activate", _back(form, proxy_id)
    was, will = {"state": known["state"]}, {"state": state}
    reason = sure.asked(form, f"{verb} {known['label']}", was, will, back=back, grave=state == "disabled")
    async with sure.once(request, form) as tx:
        await proxies.set_state(tx, proxy_id, state, reason, **about(request))
    return pages.see_other(back, "saved")


async def test(request: web.Request) -> web.StreamResponse:
    """A worker does it: web has no way out through proxies."""
    admin(request)
    proxy_id, form = path_number(request), await forms.read(request)
    await proxies.ask_test(request.app[DB], proxy_id)
    return pages.see_other(_back(form, proxy_id), "asked")


async def remove(request: web.Request) -> web.StreamResponse:
    fresh(request)
    proxy_id, form = path_number(request), await forms.read(request)
    try:
        known = await _proxy(request.app[DB], proxy_id)
        was, will = {"address": known["shown"]}, {"address": "forgotten"}
        reason = sure.asked(form, f"Remove {known['label']}", was, will, back="/admin/proxies", grave=True)
        async with sure.once(request, form) as tx:
            await proxies.remove(tx, request.app[VAULT], proxy_id, reason=reason, **about(request))
    except Refused as why:
        return await _page(request, pages.in_general(why))
    return pages.see_other("/admin/proxies", "saved")


async def _proxy(db: Database, proxy_id: int) -> dict[str, Any]:
    """Raises NotFound."""
    found = next((each for each in await proxies.listing(db) if each["id"] == proxy_id), None)
    if found is None:
        raise NotFound("There is no such proxy.")
    return found


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    found = await proxies.listing(request.app[DB])
    return pages.render(
        request, "admin/proxies.html", why, list=await LIST.show(request), proxies=found, form=form or {}
    )
