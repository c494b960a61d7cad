"""The page that explains the API, with the reader's own address in every sample, and tries it."""

from __future__ import annotations

from aiohttp import web

from limner.http import pages
from limner.http.api.catalogue import CATALOGUE
from limner.http.state import CONFIG


async def show(request: web.Request) -> web.Response:
    """``GET /api``."""
    config = request.app[CONFIG]
    return pages.render(
        request,
        "api.html",
        base=f"{config.public_url}/v1",
        models=await request.app[CATALOGUE].offer(),
        per_minute=config.api_rpm,
    )
