"""One picture's page, for its owner alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from limner.http import pages
from limner.http.state import CONFIG, DB, path_id, signed_in
from limner.runtime.errors import Refused
from limner.sql import shares, studio, walls
from limner.sql.studio import Whole


async def show(request: web.Request) -> web.Response:
    return await page(request)


async def page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    """A picture's page; with ``why``, as the answer to one of its forms."""
    viewer = signed_in(request)
    picture = await studio.record(request.app[DB], path_id(request), viewer.id)
    if picture.takedown is not None:
        return pages.render(request, "picture_down.html", why, picture=_whole(picture), reason=picture.takedown)
    shown = await _panel(request, picture.id, viewer.id)
    return pages.render(request, "picture.html", why, picture=_whole(picture), form=form or {}, **shown)


def _whole(picture: Whole) -> dict[str, Any]:
    address = f"/pictures/{picture.id}"
    again = urlencode(
        {"prompt": picture.prompt, "model": picture.model_id, "size": f"{picture.asked_width}x{picture.asked_height}"}
    )
    return {
        "id": picture.id,
        "url": f"{address}/file",
        "thumb_url": f"{address}/thumbnail",
        "width": picture.width,
        "height": picture.height,
        "ratio": picture.ratio,
        "mime": picture.mime,
        "bytes": picture.bytes,
        "prompt": picture.prompt,
        "model_name": picture.model_name,
        "created_at": picture.created_at,
        "asked": f"{picture.asked_width}x{picture.asked_height}",
        "got": f"{picture.width}x{picture.height}",
        "seed": picture.seed,
        "receipt": picture.receipt,
        "credits": picture.credits,
        "thread_url": f"/studio/{picture.thread_id}",
        "download_url": f"{address}/file?download=1",
        "vary_url": f"/studio/{picture.thread_id}?{again}",
        "reference_url": f"/studio/{picture.thread_id}?reference={picture.id}",
    }


async def _panel(request: web.Request, image_id: UUID, account_id: UUID) -> dict[str, Any]:
    """What a picture's page says of its link and of the wall."""
    config, db = request.app[CONFIG], request.app[DB]
    share = await shares.latest(db, image_id, account_id)
    return {
        "sharing": config.sharing,
        "share": share,
        "share_url": f"{config.public_url}{share.path}" if share else "",
        "offer": await walls.latest(db, image_id, account_id),
    }
