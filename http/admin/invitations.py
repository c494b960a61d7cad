"""Invitations: made, listed, taken back; the link is shown once."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import CONFIG, DB, about, admin, path_id, staff
from limner.runtime.errors import Refused
from limner.sql import invitations


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def create(request: web.Request) -> web.StreamResponse:
    """The answer is the page with the link on it: nowhere else is it ever shown."""
    admin(request)
    form = await forms.read(request)
    try:
        code = await invitations.create(
            request.app[DB],
            uses=forms.whole(form, "uses", least=1, most=invitations.MOST_USES),
            days=forms.whole(form, "days", least=1, most=invitations.MOST_DAYS),
            note=forms.text(form, "note", most=200),
            **about(request),
        )
    except Refused as why:
        return await _page(request, forms.kept(form, "uses", "days", "note"), why)
    return await _page(request, link=f"{request.app[CONFIG].public_url}/register?invite={quote(code)}")


async def revoke(request: web.Request) -> web.StreamResponse:
    admin(request)
    await invitations.revoke(request.app[DB], path_id(request), **about(request))
    return pages.see_other("/admin/invitations", "saved")


async def _page(
    request: web.Request, typed: dict[str, str] | None = None, why: Refused | None = None, link: str | None = None
) -> web.Response:
    return pages.render(
        request,
        "admin/invitations.html",
        why,
        form=typed or {"uses": "1", "days": "14"},
        link=link,
        mode=request.app[CONFIG].registration,
        invitations=await invitations.listing(request.app[DB]),
    )
