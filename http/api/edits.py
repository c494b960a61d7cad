"""The pictures of an edit: checked, cleaned and stored, the mask as large as the first of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiohttp import web

from limner.http import references
from limner.http.api import ordering, parameters
from limner.http.api.errors import invalid
from limner.http.api.schemas import Edit
from limner.http.state import DB
from limner.runtime import raster
from limner.runtime.raster import Shape
from limner.sql import subscriptions
from limner.sql.generations import Order
from limner.sql.models import Model, Size
from limner.sql.tokens import Token

LARGEST_MASK = 4 * 2**20


@dataclass(frozen=True)
class Sent:
    """The files of the form as they came."""

    pictures: list[bytes]
    mask: bytes | None


def sent(model: Model, files: dict[str, list[bytes]]) -> Sent:
    """Raises ApiError for files that the model does not take, or that have another name."""
    for name in files:
        if name not in ("image", "mask"):
            raise invalid(name[:80], f"Unknown parameter: '{name[:80]}'.", "unknown_parameter")
    masks, pictures = files.get("mask", []), files.get("image", [])
    if not pictures:
        raise invalid("image", "Missing required parameter: 'image'.", "missing_required_parameter")
    if len(masks) > 1:
        raise invalid("mask", f"One mask at the most, not {len(masks)}.")
    parameters.references(model, len(pictures), bool(masks))
    return Sent(pictures, masks[0] if masks else None)


async def completed(request: web.Request, token: Token, model: Model, asked: Edit, files: Sent, order: Order) -> Order:
    """The order with its uploads. Raises Refused and ApiError. Nothing is decoded for whoever has no plan, credits or place."""
    await subscriptions.open_one(request.app[DB], order.account_id)
    await ordering.may(request, token, order, model)
    pictures = [await references.clean(data, "image") for data in files.pictures]
    first = pictures[0][1]
    mask = None if files.mask is None else await _mask(files.mask, first)
    kept = [await references.keep(request, order.account_id, *picture) for picture in pictures]
    return replace(
        order,
        size=parameters.size(model, asked, Size(first.width, first.height)),
        uploads=tuple(kept),
        mask=None if mask is None else await references.keep(request, order.account_id, *mask),
    )


async def _mask(data: bytes, first: Shape) -> tuple[bytes, Shape]:
    if len(data) > LARGEST_MASK:
        raise invalid("mask", f"A mask has at most 4 MB, not {len(data) / 2**20:.1f}.")
    if raster.sniff(data) != "image/png":
        raise invalid("mask", f"A mask is a PNG, not {raster.sniff(data) or 'this'}.")
    cleaned, shape = await references.clean(data, "mask")
    if not await raster.has_holes(cleaned):
        raise invalid("mask", "The mask has no transparent pixels: they say where to paint.")
    if (shape.width, shape.height) != (first.width, first.height):
        words = f"The mask is {shape.width}x{shape.height}, and the first picture {first.width}x{first.height}."
        raise invalid("mask", words)
    return cleaned, shape
