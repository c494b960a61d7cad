"""One picture before the staff: what was reported and decided about it; take it down, restore it, dismiss the reports."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.gallery import send_picture
from limner.http.state import CONFIG, DB, about, fresh, path_id, staff
from limner.runtime.errors import NotFound, Refused
from limner.sql import exhibits, reports, takedowns
from limner.sql.exhibits import Exhibit

ACTS = {"take_down": takedowns.take_down, "restore": takedowns.restore, "dismiss": reports.dismiss}


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def decide(request: web.Request) -> web.StreamResponse:
    fresh(request)
    image_id, form = path_id(request), await forms.read(request)
    try:
        act = forms.text(form, "act", most=10)
        if act not in ACTS:
            raise Refused(f"What to do is {', '.join(ACTS)}, not {act!r}.")
        reason = forms.text(form, "reason", most=takedowns.LONGEST_REASON, needed=True, label="The reason")
        await ACTS[act](request.app[DB], image_id, reason, **about(request))
    except Refused as why:
        return await _page(request, why, forms.kept(form, "reason"))
    return pages.see_other(f"/admin/pictures/{image_id}", "saved")


async def send_file(request: web.Request) -> web.StreamResponse:
    picture = await _to_be_seen(request)
    etag = f'"{picture.sha256[:32]}"'
    return await send_picture(request, picture.storage_key, picture.mime, etag, cache="no-cache")


async def send_thumbnail(request: web.Request) -> web.StreamResponse:
    picture = await _to_be_seen(request)
    if not picture.is_framed:
        return await send_file(request)
    return await send_picture(request, picture.thumb_key, "image/webp", f'"t{picture.sha256[:32]}"', cache="no-cache")


async def _to_be_seen(request: web.Request) -> Exhibit:
    """Also one that is taken down: whoever decides must see it. Raises NotFound for what is its owner's alone."""
    staff(request)
    picture = await exhibits.get(request.app[DB], path_id(request))
    if not picture.may_be_seen:
        raise NotFound
    return picture


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    db = request.app[DB]
    picture = await exhibits.get(db, path_id(request))
    found = await reports.of_image(db, picture.id)
    return pages.render(
        request,
        "admin/picture.html",
        why,
        picture=picture,
        reports=found,
        is_reported=any(each.settled_at is None for each in found),
        history=await exhibits.history(db, picture.id),
        kinds=reports.KINDS,
        is_shared=request.app[CONFIG].sharing != "off",
        form=form or {},
    )
