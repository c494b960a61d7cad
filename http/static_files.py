"""Static files: addresses carry the content's hash, so browsers may keep them for ever."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from limner.http.pages import STATIC, asset

TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webp": "image/webp",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain",
}


async def send(request: web.Request) -> web.StreamResponse:
    """``/static/<hash>/<path>``. An old hash gets the new file too, but nobody keeps it."""
    path = _file(request.match_info["path"])
    if path is None or path.suffix not in TYPES:
        raise web.HTTPNotFound
    response = web.FileResponse(path)
    response.content_type = TYPES[path.suffix]
    response.headers["Cache-Control"] = _keep(request.match_info["path"], request.path)
    return response


def _keep(name: str, address: str) -> str:
    """For how long. The style sheet names its fonts relatively, so they come under its hash and not under their own."""
    if asset(name) == address:
        return "public, max-age=31536000, immutable"
    return "public, max-age=2592000" if name.endswith(".woff2") else "public, max-age=60"


def _file(name: str) -> Path | None:
    try:
        path = (STATIC / name).resolve()
        return path if path.is_relative_to(STATIC) and path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return None
