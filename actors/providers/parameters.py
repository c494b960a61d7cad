"""What an order may say beyond prompt and size: nothing of it is dropped in silence."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping

from limner.actors.providers.base import Fault, Order, UpstreamError

Kind = list[str] | list[bool] | dict[str, float] | str
"""As in ``model.options``: the values that are allowed, bounds ({"min", "max"}), or "text"."""


def of(kind: str, settings: Mapping[str, object]) -> dict[str, Kind]:
    """What the painter of this kind can send, as its module lists it; or tells, where that hangs on the provider's settings."""
    module = importlib.import_module(f"limner.actors.providers.{kind}")
    told = getattr(module, "parameters_by", None)
    return dict(told(settings) if told else getattr(module, "PARAMETERS", {}))


def refuse_unknown(order: Order, known: Iterable[str]) -> None:
    """Raises UpstreamError(INVALID_REQUEST) that names every parameter which this painter could not send."""
    if unknown := sorted(set(order.parameters) - set(known)):
        refuse(
            ", ".join(unknown), "is not known to this painter" if len(unknown) == 1 else "are not known to this painter"
        )


def refuse(name: str, why: str) -> None:
    """Raises UpstreamError(INVALID_REQUEST) about one parameter, in words that its caller may read."""
    words = f"{name[:80]} {why}."
    raise UpstreamError(Fault.INVALID_REQUEST, words, words=words)
