"""Reference pictures as strangers send them: cleaned, stored, and remembered as uploads of their owner."""

from __future__ import annotations

from uuid import UUID, uuid4

from aiohttp import web

from limner.http.state import DB, STORAGE
from limner.runtime import raster
from limner.runtime.raster import Shape
from limner.sql import uploads


async def clean(data: bytes, field: str = "reference") -> tuple[bytes, Shape]:
    """What comes out has no metadata and is nothing but a picture, a PNG. Raises BadImage with this field, and Busy."""
    try:
        return await raster.clean(data)
    except raster.BadImage as why:
        why.field = field
        raise


async def keep(request: web.Request, account_id: UUID, cleaned: bytes, shape: Shape) -> UUID:
    """Store a cleaned picture; returns the upload's id."""
    upload_id = uuid4()
    key = f"uploads/{upload_id}.{shape.mime.rpartition('/')[2]}"
    stored = await request.app[STORAGE].put(key, cleaned, shape.mime)
    await uploads.keep(
        request.app[DB],
        upload_id,
        account_id,
        stored.key,
        stored.sha256,
        shape.mime,
        shape.width,
        shape.height,
        stored.size,
    )
    return upload_id
