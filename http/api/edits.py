"""The pictures of an edit: checked, cleaned and stored, what lies over the first as large as it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiohttp import web

from limner.http import forms, references
from limner.http.api import ordering, parameters
from limner.http.api.errors import invalid
from limner.http.api.schemas import Edit
from limner.http.state import DB
from limner.runtime import raster
from limner.runtime.raster import Shape
from limner.sql import subscriptions
from limner.sql.generations import Order
from limner.sql.models import MARKUP, Model, Size
from limner.sql.tokens import Token

LARGEST = {"mask": 4 * 2**20, MARKUP: forms.LARGEST_FILE}
"""Bytes of what may lie over the first picture."""


@dataclass(frozen=True)
class Sent:
    """The files of the form as they came. ``kind``: what lies over the first picture, a "mask" or a "markup", if anything."""

    pictures: list[bytes]
    kind: str | None
    overlay: bytes = b""


def sent(model: Model, files: dict[str, list[bytes]]) -> Sent:
    """Raises ApiError for files that the model does not take, or that have another name."""
    for name in files:
        if name not in ("image", *LARGEST):
            raise invalid(name[:80], f"Unknown parameter: '{name[:80]}'.", "unknown_parameter")
    pictures, kinds = files.get("image", []), [name for name in LARGEST if name in files]
    if not pictures:
        raise invalid("image", "Missing required parameter: 'image'.", "missing_required_parameter")
    if len(kinds) > 1:
        raise invalid(MARKUP, "Send either a 'mask' or a 'markup', not both.")
    kind = kinds[0] if kinds else None
    if kind is not None and len(files[kind]) > 1:
        raise invalid(kind, f"One {kind} at the most, not {len(files[kind])}.")
    parameters.references(model, len(pictures), kind)
    return Sent(pictures, kind, files[kind][0] if kind else b"")


async def completed(request: web.Request, token: Token, model: Model, asked: Edit, files: Sent, order: Order) -> Order:
    """The order with its uploads. Raises Refused and ApiError. Nothing is decoded for whoever has no plan, credits or place."""
    await subscriptions.open_one(request.app[DB], order.account_id)
    await ordering.may(request, token, order, model)
    pictures = [await references.clean(data, "image") for data in files.pictures]
    first = pictures[0][1]
    overlay = None if files.kind is None else await _overlay(files.overlay, files.kind, first)
    kept = [await references.keep(request, order.account_id, *picture) for picture in pictures]
    return replace(
        order,
        size=parameters.size(model, asked, Size(first.width, first.height)),
        uploads=tuple(kept),
        mask=None if overlay is None else await references.keep(request, order.account_id, *overlay),
        parameters={**order.parameters, MARKUP: True} if files.kind == MARKUP else order.parameters,
    )


async def _overlay(data: bytes, kind: str, first: Shape) -> tuple[bytes, Shape]:
    if len(data) > LARGEST[kind]:
        most = LARGEST[kind] // 2**20
        raise invalid(kind, f"A {kind} has at most {most} MB, not {len(data) / 2**20:.1f}.")
    if raster.sniff(data) != "image/png":
        raise invalid(kind, f"A {kind} is a PNG, not {raster.sniff(data) or 'this'}.")
    cleaned, shape = await references.clean(data, kind)
    if not await raster.has_holes(cleaned):
        why = "they say where to paint" if kind == "mask" else "the picture is seen through them"
        raise invalid(kind, f"The {kind} has no transparent pixels: {why}.")
    if (shape.width, shape.height) != (first.width, first.height):
        words = f"The {kind} is {shape.width}x{shape.height}, and the first picture {first.width}x{first.height}."
        raise invalid(kind, words)
    return cleaned, shape
