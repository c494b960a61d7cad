"""Margins: what pictures earned and what attempts cost."""

from __future__ import annotations

from aiohttp import web

from limner.http import pages
from limner.http.state import DB, staff
from limner.sql import margins

PERIODS = (1, 7, 30, 90)


async def show(request: web.Request) -> web.Response:
    staff(request)
    by = request.query.get("by", "day")
    by = by if by in margins.DIMENSIONS else "day"
    days = request.query.get("days", "")
    chosen = next((each for each in PERIODS if str(each) == days), 30)
    lines = await margins.by(request.app[DB], by, chosen)
    return pages.render(
        request, "admin/margins.html", lines=lines, by=by, days=chosen, dimensions=margins.DIMENSIONS, periods=PERIODS
    )
