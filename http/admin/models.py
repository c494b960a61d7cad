"""Models: the catalogue as an operator edits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, fresh, path_code, staff
from limner.runtime import amounts
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import choices, entries, models, providers
from limner.sql.entries import Entry

FIELDS = (
    "name",
    "upstream_id",
    "credits",
    "cost",
    "active",
    "sizes",
    "aliases",
    "retires",
    "replacement",
    "abilities",
    "options",
)


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("Name or id"),
        filters.Choice("provider", "Provider", await providers.codes(db)),
        filters.Choice("state", "State", ("on", "off", "retiring")),
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[dict[str, Any]]:
    return Found([
        each for each in await models.listing(db)
        if asked["provider"] in ("", each["provider"])
        and asked["state"] in ("", "on" if each["active"] else "off", "retiring" if each["retires_at"] else "")
        and lists.holding(asked["q"], each["id"], each["name"], each["upstream_id"], *each["aliases"])
    ])  # fmt: skip


def _cells(each: dict[str, Any]) -> Sequence[object]:
    cost = amounts.plain_micros(each["cost_micros"])
    more = (" ".join(each["sizes"]), " ".join(each["aliases"]), each["retires_at"], each["replacement"])
    return each["id"], each["name"], each["provider"], each["upstream_id"], each["active"], each["credits"], cost, *more


LIST = lists.List(
    "/admin/models", _filters, _fetch,
    ("model", "name", "provider", "id there", "offered", "credits", "costs us (USD)", "sizes", "also called", "retires (UTC)",
     "then"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _list_page(request)


async def act_on_many(request: web.Request) -> web.StreamResponse:
    fresh(request)
    return await bulk.do(request, ACTS, "/admin/models", _names)


async def _switch(request: web.Request, model_id: str, reason: str, actor: str, ip: str, *, active: bool) -> None:
    known = await entries.entry(request.app[DB], model_id)
    if known.active == active:
        raise Refused(f"It is {'on' if active else 'off'} already.")
    wanted = replace(known, active=active)
    await entries.change(request.app[DB], model_id, wanted, reason=reason, actor=actor, ip=ip)


async def _names(request: web.Request, chosen: list[str]) -> Mapping[str, str]:
    return {each["id"]: f"{each['name']} ({each['id']})" for each in await models.listing(request.app[DB])}


ACTS = {
    "on": bulk.Act(
        "Switch on",
        "They are offered from now on, wherever a key can paint them.",
        partial(_switch, active=True),
        grave=False,
    ),
    "off": bulk.Act(
        "Switch off",
        "Nobody can order with them any more. Pictures in hand are finished.",
        partial(_switch, active=False),
    ),
}


async def _list_page(
    request: web.Request, why: Refused | None = None, form: dict[str, Any] | None = None
) -> web.Response:
    shown = await LIST.show(request)
    form = form or {"provider": shown.asked["provider"]}
    codes = await providers.codes(request.app[DB])
    return pages.render(request, "admin/models.html", why, list=shown, providers=codes, form=form)


async def add(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        model_id = forms.text(form, "id", most=80, needed=True)
        entry = Entry(
            name=forms.text(form, "name", most=120) or model_id,
            upstream_id=forms.text(form, "upstream_id", most=200, needed=True, label="Id over there"),
            credits=forms.whole(form, "credits", least=1, most=100_000),
            cost_micros=forms.micros(form, "cost") or 0,
            active=bool(forms.whole(form, "active", least=0, most=1, default=0)),
            sizes=_words(form, "sizes"),
            aliases=_words(form, "aliases"),
            retires_at=None,
            replacement=None,
            options=choices.read(forms.text(form, "options", most=4000)),
        )
        able = _abilities(form)
        provider = forms.text(form, "provider", most=40, needed=True)
        reason = forms.text(form, "reason", most=200, needed=True, label="The reason")
        await entries.add(request.app[DB], provider, model_id, entry, able, reason=reason, **about(request))
    except Refused as why:
        return await _list_page(request, why, forms.kept(form, "id", "provider", "reason", *FIELDS))
    return pages.see_other(f"/admin/models/{models.normal(model_id)}", "saved")


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, path_code(request))


async def change(request: web.Request) -> web.StreamResponse:
    fresh(request)
    model_id, form = path_code(request), await forms.read(request)
    try:
        known = await entries.entry(request.app[DB], model_id)
        wanted = entries.checked(model_id, _entry(form, known))
        reason = sure.asked(
            form, f"Change {known.name}", _typed(known), _typed(wanted), back=f"/admin/models/{model_id}"
        )
        async with sure.once(request, form) as tx:
            await entries.change(tx, model_id, wanted, reason=reason, **about(request))
    except Refused as why:
        return await _page(request, model_id, why, forms.kept(form, *FIELDS))
    return pages.see_other(f"/admin/models/{model_id}", "saved")


def _entry(form: forms.Form, known: Entry) -> Entry:
    """What a page of an earlier release did not ask for stays."""
    return Entry(
        name=forms.text(form, "name", most=120, needed=True),
        upstream_id=forms.text(form, "upstream_id", most=200),
        credits=forms.whole(form, "credits", least=1, most=100_000),
        cost_micros=forms.micros(form, "cost") or 0,
        active=bool(forms.whole(form, "active", least=0, most=1, default=0)),
        sizes=_words(form, "sizes"),
        aliases=_words(form, "aliases"),
        retires_at=_midnight(forms.day(forms.text(form, "retires", most=20), "retires")),
        replacement=forms.text(form, "replacement", most=80) or None,
        abilities=_abilities(form) if "abilities" in form else known.abilities,
        options=choices.read(forms.text(form, "options", most=4000)) if "options" in form else known.options,
    )


def _abilities(form: forms.Form) -> list[str]:
    """One of the three steps: words, references as well, masks as well."""
    return list(entries.ABILITIES[: 1 + forms.whole(form, "abilities", least=0, most=2, default=0)])


def _words(form: forms.Form, name: str) -> list[str]:
    """Words between commas or spaces, each once."""
    found = dict.fromkeys(forms.text(form, name, most=2000).replace(",", " ").split())
    if len(found) > 60 or any(len(word) > 200 for word in found):
        raise Refused(f"At most 60 {name}, none longer than 200 characters.", field=name)
    return list(found)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def _typed(entry: Entry) -> dict[str, Any]:
    """An entry as its form shows it."""
    return {
        "name": entry.name,
        "upstream_id": entry.upstream_id,
        "credits": entry.credits,
        "cost": amounts.plain_micros(entry.cost_micros),
        "active": int(entry.active),
        "sizes": " ".join(entry.sizes),
        "aliases": " ".join(entry.aliases),
        "retires": f"{entry.retires_at:%Y-%m-%d}" if entry.retires_at else "",
        "replacement": entry.replacement or "",
        "abilities": max(entries.ABILITIES.index(each) for each in entry.abilities),
        "options": choices.written(entry.options),
    }


async def _page(
    request: web.Request, model_id: str, why: Refused | None = None, form: dict[str, Any] | None = None
) -> web.Response:
    db = request.app[DB]
    entry = await entries.entry(db, model_id)
    others = [each["id"] for each in await models.listing(db) if each["id"] != model_id]
    return pages.render(
        request, "admin/model.html", why, model_id=model_id, entry=entry, form=form or _typed(entry), others=others
    )
