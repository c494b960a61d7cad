"""Keys: the pool, its states, and what an admin may do to it."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import DB, VAULT, about, admin, staff
from limner.runtime.errors import NotFound, Refused
from limner.sql import keys, providers


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def add(request: web.Request) -> web.StreamResponse:
    admin(request)
    form = await forms.read(request)
    try:
        await keys.add(
            request.app[DB],
            request.app[VAULT],
            forms.text(form, "provider", most=40, needed=True),
            forms.text(form, "label", most=80, needed=True),
            forms.text(form, "secret", most=500, needed=True),
            concurrency=forms.whole(form, "concurrency", least=1, most=1000, default=2),
            switch=forms.text(form, "switch", most=100),
            **about(request),
        )
    except Refused as why:
        return await _page(request, why, forms.kept(form, "provider", "label", "concurrency", "switch"))
    return pages.see_other("/admin/keys", "saved")


async def set_state(request: web.Request) -> web.StreamResponse:
    admin(request)
    form = await forms.read(request)
    state, reason = forms.text(form, "state", most=20), forms.text(form, "reason", most=200) or "by hand"
    key_id = request.match_info["id"]
    if not (key_id.isascii() and key_id.isdigit() and len(key_id) < 18):
        raise NotFound
    await keys.set_state(request.app[DB], int(key_id), state, reason, **about(request))
    return pages.see_other("/admin/keys", "saved")


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    return pages.render(
        request,
        "admin/keys.html",
        why,
        keys=await keys.listing(request.app[DB]),
        providers=await providers.codes(request.app[DB]),
        form=form or {},
    )
