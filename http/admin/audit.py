"""Audit: who did what, newest first."""

from __future__ import annotations

from aiohttp import web

from limner.http import pages
from limner.http.state import DB, staff
from limner.sql import audit

PAGE = 50


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    before = request.query.get("before", "")
    at = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
    found = await audit.listing(request.app[DB], before=at, count=PAGE + 1)
    older = f"/admin/audit?before={found[PAGE - 1].id}" if len(found) > PAGE else None
    return pages.render(request, "admin/audit.html", entries=found[:PAGE], older_url=older)
