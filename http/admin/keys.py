"""Keys: the pool, its states, what happened to each, and what an admin may do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, VAULT, about, admin, fresh, path_number, staff
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.sql import key_events, keys, providers, proxies
from limner.sql.keys import Terms

RESTS = (15, 60, 240, 1440)
"""Minutes that are offered."""
LONGEST_REST = 7 * 1440
STATES = {
    "active": ("Wake", "It takes part again at once, whatever it rested from."),
    "cooldown": ("Rest", "It paints nothing for so long, and then one picture on trial."),
    "disabled": ("Disable", "Pictures in hand are finished; no new one is given to it."),
}
TERMS = ("label", "account_group", "concurrency", "weight", "rpm", "proxy", "may_go_direct", "returns_by_probe")


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("Label, group or last four"),
        filters.Choice("state", "State", keys.STATES),
        filters.Choice("provider", "Provider", await providers.codes(db)),
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[dict[str, Any]]:
    return Found([
        each for each in await keys.listing(db)
        if asked["state"] in ("", each["state"]) and asked["provider"] in ("", each["provider"])
        and lists.holding(asked["q"], each["label"], each["account_group"], each["last4"])
    ])  # fmt: skip


def _cells(key: dict[str, Any]) -> Sequence[object]:
    named = (
        "id",
        "provider",
        "label",
        "last4",
        "account_group",
        "state",
        "why",
        "rests_until",
        "concurrency",
        "weight",
        "rpm",
        "proxy",
        "failures",
        "last_used_at",
    )
    return [key[name] for name in named]


LIST = lists.List(
    "/admin/keys", _filters, _fetch,
    ("key", "provider", "label", "last four", "account group", "state", "why", "rests until (UTC)", "at once", "weight",
     "a minute", "proxy", "failures in a row", "last used (UTC)"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def act_on_many(request: web.Request) -> web.StreamResponse:
    fresh(request)
    return await bulk.do(request, ACTS, "/admin/keys", _names)


async def _wake(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    await keys.set_state(request.app[DB], bulk.as_number(chosen), "active", reason, actor=actor, ip=ip)


async def _disable(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    await keys.set_state(request.app[DB], bulk.as_number(chosen), "disabled", reason, actor=actor, ip=ip)


async def _names(request: web.Request, chosen: list[str]) -> Mapping[str, str]:
    return {
        str(each["id"]): f"{each['label']} ({each['provider']} {each['last4']})"
        for each in await keys.listing(request.app[DB])
    }


ACTS = {
    "wake": bulk.Act("Wake", "They take part again at once, whatever they rested from.", _wake, grave=False),
    "disable": bulk.Act("Disable", "Pictures in hand are finished; no new one is given to them.", _disable),
}


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _key_page(request, path_number(request))


async def add(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        terms = _terms(form)
        await keys.add(
            request.app[DB],
            request.app[VAULT],
            forms.text(form, "provider", most=40, needed=True),
            terms.label,
            forms.text(form, "secret", most=500, needed=True),
            switch=forms.text(form, "switch", most=100),
            reason=forms.text(form, "reason", most=200, needed=True, label="The reason"),
            **{name: value for name, value in vars(terms).items() if name != "label"},
            **about(request),
        )
    except Refused as why:
        return await _page(request, why, forms.kept(form, "provider", "switch", "reason", *TERMS))
    return pages.see_other("/admin/keys", "saved")


async def change(request: web.Request) -> web.StreamResponse:
    fresh(request)
    key_id, form = path_number(request), await forms.read(request)
    try:
        wanted, known = _terms(form), await keys.terms(request.app[DB], key_id)
        ways = {each["id"]: each["label"] for each in await proxies.listing(request.app[DB])}
        reason = sure.asked(
            form, f"Change {known.label}", _said(known, ways), _said(wanted, ways), back=f"/admin/keys/{key_id}"
        )
        async with sure.once(request, form) as tx:
            await keys.change(tx, key_id, wanted, reason=reason, **about(request))
    except Refused as why:
        return await _key_page(request, key_id, why, forms.kept(form, *TERMS))
    return pages.see_other(f"/admin/keys/{key_id}", "saved")


def _terms(form: forms.Form) -> Terms:
    """Raises Refused that names the field."""
    return Terms(
        label=forms.text(form, "label", most=80, needed=True),
        account_group=forms.text(form, "account_group", most=80),
        concurrency=forms.whole(form, "concurrency", least=1, most=1000, default=2),
        weight=forms.whole(form, "weight", least=1, most=1000, default=1),
        rpm=forms.whole(form, "rpm", least=0, most=100_000, default=0) or None,
        proxy_id=forms.whole(form, "proxy", least=0, most=10**15, default=0) or None,
        may_go_direct=bool(forms.whole(form, "may_go_direct", least=0, most=1, default=0)),
        returns_by_probe=bool(forms.whole(form, "returns_by_probe", least=0, most=1, default=1)),
    )


def _said(terms: Terms, ways: Mapping[int, str]) -> dict[str, object]:
    """As the page that asks once more shows it; a proxy by its name."""
    proxy = terms.proxy_id and ways.get(terms.proxy_id, terms.proxy_id)
    return {**vars(terms), "proxy_id": None, "proxy": proxy}


async def set_state(request: web.Request) -> web.StreamResponse:
    """Awake from everything, resting for so many minutes, or out."""
    fresh(request)
    key_id, form = path_number(request), await forms.read(request)
    state = forms.text(form, "state", most=20)
    if state not in STATES:
        raise Refused(f"A key can be set to active, cooldown or disabled by hand, not to {state!r}.", field="state")
    minutes = forms.whole(form, "minutes", least=1, most=LONGEST_REST, default=15)
    key = await _key(request.app[DB], key_id)
    verb, effect = STATES[state]
    will: dict[str, object] = {"state": state}
    if state == "cooldown":
        will["rests for"] = f"{minutes} minutes"
    was: dict[str, object] = {"state": key["state"], "why": key["why"]}
    back, grave = f"/admin/keys/{key_id}", state == "disabled"
    reason = sure.asked(form, f"{verb} {key['label']}", was, will, effect=effect, back=back, grave=grave)
    async with sure.once(request, form) as tx:
        if state == "cooldown":
            await keys.rest_by_hand(tx, key_id, minutes, reason, **about(request))
        else:
            await keys.set_state(tx, key_id, state, reason, **about(request))
    return pages.see_other(back, "saved")


async def _key(db: Database, key_id: int) -> dict[str, Any]:
    """Raises NotFound."""
    found = next((each for each in await keys.listing(db) if each["id"] == key_id), None)
    if found is None:
        raise NotFound("There is no such key.")
    return found


async def probe(request: web.Request) -> web.StreamResponse:
    admin(request)
    key_id = path_number(request)
    await forms.read(request)
    try:
        await keys.terms(request.app[DB], key_id)
        await keys.probe_now(request.app[DB], key_id, **about(request))
    except Refused as why:
        return await _key_page(request, key_id, why)
    return pages.see_other(f"/admin/keys/{key_id}", "saved")


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    return pages.render(
        request,
        "admin/keys.html",
        why,
        list=await LIST.show(request),
        providers=await providers.codes(request.app[DB]),
        proxies=await proxies.listing(request.app[DB]),
        form=form or {},
    )


async def _key_page(
    request: web.Request, key_id: int, why: Refused | None = None, form: dict[str, str] | None = None
) -> web.Response:
    db = request.app[DB]
    terms = await keys.terms(db, key_id)
    known: dict[str, Any] = {**vars(terms), "proxy": terms.proxy_id}
    return pages.render(
        request,
        "admin/key.html",
        why,
        key=await _key(db, key_id),
        rests=RESTS,
        events=await key_events.events(db, key_id),
        proxies=await proxies.listing(db),
        form=form or {name: int(value) if isinstance(value, bool) else value or "" for name, value in known.items()},
    )
