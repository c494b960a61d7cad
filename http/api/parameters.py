"""Parameters: a size and whatever else a model lists among its options; what it cannot honour is refused, never dropped."""

from __future__ import annotations

from math import log2
from typing import Any

from limner.http.api.errors import invalid
from limner.http.api.reading import shown
from limner.http.api.schemas import OF_MODELS, Asked
from limner.runtime.errors import Refused
from limner.sql.generations import MOST_REFERENCES, UTMOST_REFERENCES, Value
from limner.sql.models import MARKUP, NO_PARAMETERS, Model, Size, normal

KNOWN = (*OF_MODELS, "input_fidelity")
"""Of OpenAI's API: a model without them is not the caller's typing error. Their "auto" is what happens without them."""
OF_SOME = (*KNOWN, "complexity", "frame_count", "frame_duration_ms", "svg")
"""The same of what has no "auto"."""
NEAR = 0.03
HALF = 0.5
"""Octaves: a size that is farther from the asked one than that is another one."""
DALL_E = {"standard": "medium", "hd": "high"}
"""The qualities of models that are gone, in the words of those that took their names over."""
EDGES = {"1K": 1024, "2K": 2048, "4K": 4096}


def chosen(model: Model, asked: Asked) -> dict[str, Value]:
    """What is passed on to the painter. Raises ApiError that names the parameter and the value."""
    found = {
        name: _allowed(model, name, value)
        for name, value in _options(model, asked).items()
        if not (value == "auto" and name in KNOWN and not _lists(model.options.get(name), "auto"))
    }
    _go_together(model, found)
    if asked.partial_images and not asked.stream:
        raise invalid("partial_images", f"'partial_images' ({asked.partial_images}) needs 'stream': true beside it.")
    return found


def _options(model: Model, asked: Asked) -> dict[str, Any]:
    """As asked; of a program that was written for dall-e, as it was meant."""
    options, offered = asked.options, model.options.get("quality")
    quality = DALL_E.get(str(options.get("quality")))
    was_written_for_it = normal(asked.model or "").startswith("dall-e") and not _lists(offered, options.get("quality"))
    return options | {"quality": quality} if was_written_for_it and _lists(offered, quality) else options


def _go_together(model: Model, found: dict[str, Value]) -> None:
    """What each of OpenAI's painters refuses of itself, before a call is spent on it."""
    kind = found.get("output_format", "png" if _lists(model.options.get("output_format"), "png") else None)
    if found.get("background") == "transparent" and kind == "jpeg":
        words = "Invalid value: 'transparent'. A transparent 'background' needs 'output_format' 'png' or 'webp', not 'jpeg'."
        raise invalid("background", words)
    if "output_compression" in found and kind == "png":
        words = "'output_compression' is for the 'output_format' 'webp' or 'jpeg', not 'png'."
        raise invalid("output_compression", f"Invalid value: {shown(found['output_compression'])}. {words}")


def _lists(allowed: Any, value: object) -> bool:
    return isinstance(allowed, list) and value in allowed


def _allowed(model: Model, name: str, value: Any) -> Value:
    allowed = model.options.get(name)
    if allowed is None or name in NO_PARAMETERS:
        if name in OF_SOME:
            raise invalid(
                name, f"{model.id} has no '{name}': leave it out. You sent {shown(value)}.", "unsupported_parameter"
            )
        raise invalid(name[:80], f"Unknown parameter: '{name[:80]}'.", "unknown_parameter")
    if isinstance(allowed, list):
        for each in allowed:
            is_same = each == value and type(each) is type(value)
            if is_same or (isinstance(value, str) and str(each).lower() == value):  # in a form all is text
                return each  # type: ignore[no-any-return]
        words = ", ".join(repr(each) for each in allowed)
        raise invalid(name, f"Invalid value: {shown(value)}. Supported values of '{name}' are: {words}.")
    if isinstance(allowed, dict):
        return _number(name, value, allowed["min"], allowed["max"])
    if isinstance(value, str) and len(value) <= 1000 and "\x00" not in value:
        return value
    raise invalid(name, f"Invalid value: {shown(value)}. '{name}' is a text of at most 1000 characters.")


def _number(name: str, value: Any, least: float, most: float) -> int | float:
    is_whole = isinstance(least, int) and isinstance(most, int)
    if isinstance(value, str):  # of a form
        try:
            value = int(value) if is_whole else float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float) or not least <= value <= most:
        kind = "a whole number" if is_whole else "a number"
        raise invalid(name, f"Invalid value: {shown(value)}. '{name}' is {kind} from {least} to {most}.")
    return value


def size(model: Model, asked: Asked, like: Size | None = None) -> Size:
    """The size to paint: as asked, or the model's first one, or the one whose shape is nearest to ``like``."""
    if asked.aspect_ratio is None and asked.image_size is not None:
        raise invalid("image_size", f"'image_size' ({asked.image_size}) needs an 'aspect_ratio' beside it.")
    if asked.size not in (None, "auto") and asked.aspect_ratio is not None:
        raise invalid("aspect_ratio", f"Send either 'size' ({shown(asked.size)}) or 'aspect_ratio', not both.")
    if asked.aspect_ratio is not None:
        return _of_shape(model, asked)
    if asked.size not in (None, "auto"):
        return _named(model, asked.size or "")
    if like is not None:
        return min(model.sizes, key=lambda each: _apart(each.width / each.height, like.width / like.height))
    return model.sizes[0]


def _named(model: Model, text: str) -> Size:
    try:
        found = Size.parse(text)
    except Refused:
        found = None
    if found is None or found not in model.sizes:
        offered = ", ".join(f"'{each}'" for each in model.sizes)
        raise invalid(
            "size", f"Invalid value: {shown(text)}. Supported sizes of {model.id} are: {offered}, and 'auto'."
        )
    return found


def _of_shape(model: Model, asked: Asked) -> Size:
    width, _, height = (asked.aspect_ratio or "").partition(":")
    if not (
        width.isascii() and width.isdecimal() and height.isascii() and height.isdecimal() and int(width) * int(height)
    ):
        raise invalid("aspect_ratio", f"Invalid value: {shown(asked.aspect_ratio)}. An aspect ratio looks like 16:9.")
    ratio = int(width) / int(height)
    fitting = [each for each in model.sizes if _apart(each.width / each.height, ratio) <= NEAR]
    if not fitting:
        offered = ", ".join(dict.fromkeys(each.ratio.replace("-", ":") for each in model.sizes))
        words = f"Invalid value: {shown(asked.aspect_ratio)}. The shapes of {model.id} are: {offered}."
        raise invalid("aspect_ratio", words)
    edge = EDGES[asked.image_size or "1K"]
    nearest = min(fitting, key=lambda each: _apart((each.width * each.height) ** 0.5, edge))
    if asked.image_size is not None and _apart((nearest.width * nearest.height) ** 0.5, edge) > HALF:
        offered = ", ".join(f"'{each}'" for each in fitting)
        words = f"Invalid value: {shown(asked.image_size)}. {model.id} has this shape in these sizes alone: {offered}."
        raise invalid("image_size", words)
    return nearest


def _apart(one: float, other: float) -> float:
    return abs(log2(one / other))


def references(model: Model, count: int, overlay: str | None) -> None:
    """Whether the model takes so many pictures, and beside them a "mask" or a "markup". Raises ApiError."""
    if "image" not in model.abilities:
        raise invalid(
            "image", f"{model.id} does not take pictures. Use /v1/images/generations.", "unsupported_parameter"
        )
    bounds = model.options.get("references")
    most = min(UTMOST_REFERENCES, int(bounds["max"])) if isinstance(bounds, dict) else MOST_REFERENCES
    if not 1 <= count <= most:
        raise invalid("image", f"{model.id} takes 1 to {most} pictures, not {count}.")
    takes = {"mask": "mask" in model.abilities, MARKUP: _lists(model.options.get(MARKUP), True)}
    if overlay is not None and not takes[overlay]:
        raise invalid(overlay, f"{model.id} does not take a {overlay}.", "unsupported_parameter")
