"""Mails: which went, which wait and why; and the links that an admin passes on while there is no mail server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import CONFIG, DB, about, admin, path_number
from limner.runtime.errors import Refused
from limner.sql import outbox
from limner.sql.outbox import STATES, Shown

PAGE = 50


async def show_list(request: web.Request) -> web.Response:
    admin(request)
    return await _page(request)


async def show_link(request: web.Request) -> web.Response:
    """A form, since it is an act: that a link was shown is written down."""
    admin(request)
    await forms.read(request)
    config = request.app[CONFIG]
    try:
        shown = await outbox.link(
            request.app[DB], path_number(request), config.public_url, config.secret_keys, **about(request)
        )
    except Refused as why:
        return await _page(request, why)
    return await _page(request, shown=shown)


async def retry(request: web.Request) -> web.StreamResponse:
    return await _act(request, outbox.retry, "asked")


async def give_up(request: web.Request) -> web.StreamResponse:
    return await _act(request, outbox.give_up, "saved")


async def _act(request: web.Request, act: Callable[..., Awaitable[None]], notice: str) -> web.StreamResponse:
    admin(request)
    await forms.read(request)
    try:
        await act(request.app[DB], path_number(request), **about(request))
    except Refused as why:
        return await _page(request, why)
    return pages.see_other("/admin/mails", notice)


async def _page(request: web.Request, why: Refused | None = None, shown: Shown | None = None) -> web.Response:
    state = request.query.get("state", "")
    state = state if state in STATES else ""
    before = request.query.get("before", "")
    at = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
    found = await outbox.listing(request.app[DB], state=state, before=at, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        older = "/admin/mails?" + urlencode({"state": state, "before": found[PAGE - 1].id})
    return pages.render(
        request, "admin/mails.html", why, mails=found[:PAGE], states=STATES, state=state,
        older_url=older, shown=shown, sends=request.app[CONFIG].smtp_host is not None,
    )  # fmt: skip
