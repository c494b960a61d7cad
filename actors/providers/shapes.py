"""How the models of a market want their input: each maker has its own names for size, references and mask."""

from __future__ import annotations

from collections.abc import Mapping

from limner.actors.providers import chat, parcels
from limner.actors.providers.base import Listed, Order
from limner.actors.providers.parameters import refuse, refuse_unknown
from limner.sql.painters import Shape

Shapes = Mapping[str, Shape]


def of(model: str, shapes: Shapes) -> Shape:
    """The shape under the longest name with which the model's begins; a plain one where none does."""
    names = [name for name in shapes if model.startswith(name)]
    return shapes[max(names, key=len)] if names else Shape()


def listed(model: str, name: str, shapes: Shapes) -> Listed:
    """A model of an upstream's list, with what its shape is able to."""
    shape = of(model, shapes)
    abilities = ("text", *(("image",) if shape.references else ()), *(("mask",) if shape.mask else ()))
    return Listed(model, name, abilities)


def fill(order: Order, shape: Shape, known: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The model to ask, and its input. Raises UpstreamError(INVALID_REQUEST) for what it could not be told."""
    refuse_unknown(order, [*known, *shape.parameters])
    asked: dict[str, object] = {**shape.fixed, "prompt": order.prompt, **_size(order, shape), **order.parameters}
    if shape.seed:
        asked["seed"] = order.seed % 2**31
    if order.references:
        if not shape.references:
            refuse("reference", "is not taken by this model")
        if len(order.references) > 1 and not shape.many:
            refuse("reference", "is taken only once by this model")
        urls = [parcels.data_url(each) for each in order.references]
        asked[shape.references] = urls if shape.many else urls[0]
    if order.mask:
        if not (shape.mask and order.references):
            refuse("mask", "is not taken by this model" if not shape.mask else "needs a reference picture")
        asked[shape.mask] = parcels.data_url(order.mask)
    return _model(order, shape), asked


def _model(order: Order, shape: Shape) -> str:
    if not order.references or not shape.edit:
        return order.model
    return order.model + shape.edit if shape.edit.startswith("/") else shape.edit


def _size(order: Order, shape: Shape) -> dict[str, object]:
    match shape.size:
        case "aspect_ratio":
            return {"aspect_ratio": chat.ratio(order.width, order.height)}
        case "image_size":
            return {"image_size": {"width": order.width, "height": order.height}}
        case "pixels":
            return {"width": order.width, "height": order.height}
        case "size":
            return {"size": f"{order.width}x{order.height}"}
        case _:
            return {}
