"""Health: alive means that this process answers; ready, that it can serve."""

from __future__ import annotations

import anyio
from aiohttp import web

from limner.http.state import BUS, DB
from limner.runtime.database import TROUBLE
from limner.sql import schema

DRAINING = web.AppKey("draining", anyio.Event)


async def live(request: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """200, or 503 with what is missing: database, schema, drain."""
    missing = await _missing(request)
    body = {
        "status": "not ready" if missing else "ready",
        "missing": missing,
        "live_updates": request.app[BUS].is_connected,
    }
    return web.json_response(body, status=503 if missing else 200)


async def _missing(request: web.Request) -> list[str]:
    if request.app[DRAINING].is_set():
        return ["drain"]
    try:
        with anyio.fail_after(3):
            current = await schema.current(request.app[DB])
            await schema.check_window(request.app[DB], current)
    except schema.SchemaTooNew:
        return ["schema_ahead"]
    except TROUBLE:
        return ["database"]
    return [] if current >= schema.head() else ["schema_behind"]
