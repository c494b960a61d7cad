"""What everybody sees: a shared picture behind its link, the public wall, and the form to report a picture."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.gallery import send_picture
from limner.http.sharing import must_have_wall, must_share
from limner.http.state import CONFIG, DB, address_of, viewer_of
from limner.runtime.bare import Garbled, bare
from limner.runtime.errors import NotFound, Refused
from limner.sql import models, reports, shares, throttles, walls
from limner.sql.places import household
from limner.sql.shares import Seen
from limner.sql.walls import Shown

PAGE = 24
CODE = re.compile(r"[A-Za-z0-9_-]{22,64}")


async def show(request: web.Request) -> web.Response:
    return await _page(request)


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    seen = await _seen(request)
    address = f"/s/{request.match_info['secret']}"
    edge = 480 / max(seen.width, seen.height, 480)  # of the small copy, which messengers show
    response = pages.render(
        request,
        "share.html",
        why,
        seen=seen,
        url=f"{address}/picture",
        report_url=f"{address}/reports",
        public_url=f"{request.app[CONFIG].public_url}{address}",
        preview=(round(seen.width * edge), round(seen.height * edge)),
        kinds=reports.KINDS,
        form=form or {},
    )
    _tell_searchers(response, seen)
    return response


async def send_file(request: web.Request) -> web.StreamResponse:
    """The picture without what its painter wrote into the file: it may hold the prompt, and nobody was asked to show that."""
    return await _send(request, await _seen(request))


async def send_thumbnail(request: web.Request) -> web.StreamResponse:
    """The small copy, which is nothing but pixels; until it hangs the picture itself."""
    seen = await _seen(request)
    return await _send_small(request, seen) if seen.is_framed else await _send(request, seen)


async def _send(request: web.Request, seen: Seen) -> web.StreamResponse:
    etag, refine = f'"b{seen.sha256[:32]}"', partial(bare, mime=seen.mime)
    try:
        response = await send_picture(request, seen.storage_key, seen.mime, etag, cache="no-cache", refine=refine)
    except Garbled:
        if not seen.is_framed:
            raise NotFound("This picture is being looked at: please come back in a minute.") from None
        return await _send_small(request, seen)
    _tell_searchers(response, seen)
    return response


async def _send_small(request: web.Request, seen: Seen) -> web.StreamResponse:
    response = await send_picture(request, seen.thumb_key, "image/webp", f'"t{seen.sha256[:32]}"', cache="no-cache")
    _tell_searchers(response, seen)
    return response


async def report(request: web.Request) -> web.StreamResponse:
    """Somebody says that it should not be shown: nobody has to sign in for that."""
    seen, form, viewer = await _seen(request), await forms.read(request), viewer_of(request)
    home = household(address_of(request))
    try:
        kind = forms.text(form, "kind", most=20)
        words = forms.text(form, "words", most=reports.LONGEST_WORDS, label="What you write")
        await throttles.take(request.app[DB], throttles.REPORT_BY_ADDRESS, f"report {home}")
        about = viewer.id if viewer else None
        await reports.file(request.app[DB], seen.image_id, kind, words, address=home, account_id=about)
    except Refused as why:
        return await _page(request, why, forms.kept(form, "kind", "words"))
    return pages.see_other(f"/s/{request.match_info['secret']}", "reported")


async def _seen(request: web.Request) -> Seen:
    """Raises NotFound, NotShared: read from the books each time, so that a link ends at once.

    Where there is no wall any more nothing hangs on it: it is a link like any other, without a name.
    """
    must_share(request)
    code = request.match_info["secret"]
    if not CODE.fullmatch(code):
        raise NotFound("This link leads nowhere. Was it copied whole?")
    seen = await shares.seen(request.app[DB], code)
    return seen if request.app[CONFIG].sharing == "wall" else replace(seen, is_on_wall=False, name="")


def _tell_searchers(response: web.StreamResponse, seen: Seen) -> None:
    """Search engines keep what hangs on the wall, and nothing else."""
    if not seen.is_on_wall:
        response.headers["X-Robots-Tag"] = "noindex"


async def wall(request: web.Request) -> web.Response:
    must_have_wall(request)
    before = keyset(request.query.get("before", ""))
    found = await walls.shown(request.app[DB], before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        older = "/wall?" + urlencode({"before": as_keyset(found[PAGE - 1].decided_at, found[PAGE - 1].id)})
    hung = [_hung(picture) for picture in found[:PAGE]]
    return pages.render(request, "wall.html", pictures=hung, older_url=older, newer_url="/wall" if before else None)


def _hung(picture: Shown) -> dict[str, object]:
    return {
        "url": f"/s/{picture.code}",
        "thumb_url": f"/s/{picture.code}/thumbnail",
        "width": picture.width,
        "height": picture.height,
        "ratio": models.ratio(picture.width, picture.height),
        "words": picture.words,
        "title": picture.caption or picture.prompt,
        "name": picture.display_name,
    }


def keyset(text: str) -> tuple[datetime, int] | None:
    """Where a page begins, from its address, in lists that are numbered; None for the newest, and for what is no keyset."""
    moment, _, last = text.rpartition("~")
    if not (last.isascii() and last.isdigit() and len(last) < 18):
        return None
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), int(last)
    except (ValueError, OverflowError):
        return None


def as_keyset(moment: datetime, last: int) -> str:
    return f"{moment.isoformat()}~{last}"
