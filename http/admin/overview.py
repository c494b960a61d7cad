"""Overview: the numbers that an admin looks at first."""

from __future__ import annotations

from aiohttp import web

from limner.http import pages
from limner.http.state import CONFIG, DB, admin
from limner.sql import alerts, keys, overview


async def show(request: web.Request) -> web.Response:
    admin(request)
    db = request.app[DB]
    return pages.render(
        request,
        "admin/overview.html",
        numbers=await overview.numbers(db),
        faults=await overview.faults_today(db),
        workers=await overview.workers(db, request.app[CONFIG].lease),
        keys=await keys.listing(db),
        alerts=await alerts.still_open(db),
    )
