"""Links to pictures that hold for an hour, for whoever has them: bound to one picture by a signature."""

from __future__ import annotations

import hashlib
import hmac
import time
from uuid import UUID

from aiohttp import web

from limner.http.api.openapi import operation
from limner.http.gallery import send_picture
from limner.http.state import CONFIG, DB, path_id
from limner.runtime.errors import NotFound
from limner.sql import answers

HOLDS = 3600
"""Seconds."""
SIGNED = [
    {"name": name, "in": "query", "required": True, "schema": {"type": kind}}
    for name, kind in (("expires", "integer"), ("signature", "string"))
]


def link(request: web.Request, image_id: UUID) -> str:
    config, expires = request.app[CONFIG], int(time.time()) + HOLDS
    signature = _sign(config.secret_keys[0], image_id, str(expires))
    return f"{config.public_url}/v1/files/{image_id}?expires={expires}&signature={signature}"


@operation("The picture that a link leads to, for an hour.", {200: "image/*"}, (404, 410), parameters=SIGNED)
async def send(request: web.Request) -> web.StreamResponse:
    """``GET /v1/files/{id}``. Whatever is wrong with a link, it leads to nothing."""
    image_id, expires = path_id(request), request.query.get("expires", "")
    if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):
        raise NotFound(GONE)
    if not 0 < int(expires) - time.time() <= HOLDS + 60 or not _holds(request, image_id, expires):
        raise NotFound(GONE)
    file = await answers.file(request.app[DB], image_id)
    return await send_picture(request, file.storage_key, file.mime, f'"{file.sha256[:32]}"')


GONE = "This link has expired, or never led anywhere."


def _holds(request: web.Request, image_id: UUID, expires: str) -> bool:
    given = request.query.get("signature", "").encode(errors="replace")
    keys = request.app[CONFIG].secret_keys
    return any(hmac.compare_digest(_sign(key, image_id, expires).encode(), given) for key in keys)


def _sign(key: str, image_id: UUID, expires: str) -> str:
    return hmac.new(key.encode(), f"file {image_id} {expires}".encode(), hashlib.sha256).hexdigest()
