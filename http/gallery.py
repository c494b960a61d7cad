"""The gallery, and the bytes of pictures: for their owner alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from limner.http import pages
from limner.http.state import DB, STORAGE, path_id, signed_in
from limner.sql import progress, studio, takedowns, uploads
from limner.sql.studio import Hung

PAGE = 40


def hung(picture: Hung) -> dict[str, Any]:
    """A picture as the gallery shows it."""
    return {
        "id": picture.id,
        "url": f"/pictures/{picture.id}",
        "thumb_url": f"/pictures/{picture.id}/thumbnail",
        "width": picture.width,
        "height": picture.height,
        "ratio": picture.ratio,
        "prompt": picture.prompt,
        "created_at": picture.created_at,
        "is_down": picture.is_down,
    }


async def show(request: web.Request) -> web.Response:
    viewer = signed_in(request)
    before = keyset(request.query.get("before", ""))
    found = await studio.gallery(request.app[DB], viewer.id, before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        older = "/gallery?" + urlencode({"before": as_keyset(found[PAGE - 1].created_at, found[PAGE - 1].id)})
    return pages.render(
        request,
        "gallery.html",
        pictures=[hung(picture) for picture in found[:PAGE]],
        older_url=older,
        newer_url="/gallery" if before else None,
    )


def keyset(text: str) -> tuple[datetime, UUID] | None:
    """Where a page begins, from its address; None for the newest, and for what is no keyset."""
    moment, _, last = text.rpartition("~")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(last)
    except (ValueError, OverflowError):  # the years 1 and 9999 have no neighbours
        return None


def as_keyset(moment: datetime, last: UUID) -> str:
    return f"{moment.isoformat()}~{last}"


async def send_file(request: web.Request) -> web.StreamResponse:
    picture = await studio.picture(request.app[DB], path_id(request), signed_in(request).id)
    name = f"limner-{str(picture.id)[:8]}.{picture.mime.rpartition('/')[2]}" if "download" in request.query else None
    return await send_picture(request, picture.storage_key, picture.mime, f'"{picture.sha256[:32]}"', name)


async def send_thumbnail(request: web.Request) -> web.StreamResponse:
    """The small copy; until it hangs the picture itself, to be asked for again."""
    picture = await studio.picture(request.app[DB], path_id(request), signed_in(request).id)
    if picture.is_framed:
        return await send_picture(request, picture.thumb_key, "image/webp", f'"t{picture.sha256[:32]}"')
    return await send_picture(request, picture.storage_key, picture.mime, f'"{picture.sha256[:32]}"', cache="no-cache")


async def send_upload(request: web.Request) -> web.StreamResponse:
    upload = await uploads.get(request.app[DB], path_id(request), signed_in(request).id)
    return await send_picture(request, upload.storage_key, upload.mime, f'"u{upload.id.hex}"')


async def send_preview(request: web.Request) -> web.StreamResponse:
    viewer = signed_in(request)
    found = await progress.preview(request.app[DB], path_id(request), viewer.id)
    if found is None:
        await takedowns.refuse_of_job(request.app[DB], path_id(request), viewer.id)
        raise web.HTTPNotFound
    return web.Response(body=found[1], content_type=found[0], headers={"Cache-Control": "private, max-age=60"})


async def send_picture(
    request: web.Request,
    key: str,
    mime: str,
    etag: str,
    download_as: str | None = None,
    cache: str = "max-age=86400",
    refine: Callable[[bytes], bytes] | None = None,
) -> web.StreamResponse:
    """Bytes of a picture: never to be sniffed, never to act as a page, kept by this browser alone."""
    headers = {
        "ETag": etag,
        "Cache-Control": f"private, {cache}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    if download_as:
        headers["Content-Disposition"] = f'attachment; filename="{download_as}"'
    data = await request.app[STORAGE].get(key)
    return web.Response(body=refine(data) if refine else data, content_type=mime, headers=headers)


async def delete(request: web.Request) -> web.StreamResponse:
    await studio.delete_picture(request.app[DB], path_id(request), signed_in(request).id)
    return pages.see_other("/gallery", "deleted")
