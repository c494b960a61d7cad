"""Usage: the tokens that an upstream says a picture took, in OpenAI's words whatever its own are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any


@dataclass(frozen=True)
class Parts:
    """What it was: words or pictures."""

    text_tokens: int
    image_tokens: int

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.text_tokens + other.text_tokens, self.image_tokens + other.image_tokens)


@dataclass(frozen=True)
class Usage:
    """Of one picture, or of several together. ``output_tokens_details`` is None where an upstream does not tell it."""

    input_tokens: int
    input_tokens_details: Parts
    output_tokens: int
    total_tokens: int
    output_tokens_details: Parts | None = None

    def __add__(self, other: Usage) -> Usage:
        one, two = self.output_tokens_details, other.output_tokens_details
        return Usage(
            self.input_tokens + other.input_tokens,
            self.input_tokens_details + other.input_tokens_details,
            self.output_tokens + other.output_tokens,
            self.total_tokens + other.total_tokens,
            None if one is None or two is None else one + two,
        )

    @property
    def fields(self) -> dict[str, Any]:
        """For orjson, without what is not known."""
        return {name: value for name, value in vars(self).items() if value is not None}


NOTHING = Usage(0, Parts(0, 0), 0, 0)


def total(usages: Iterable[Usage | None]) -> Usage | None:
    """Those that were told, together; None: none was."""
    told = [each for each in usages if each is not None]
    return reduce(Usage.__add__, told) if told else None


def kept(fields: dict[str, Any] | None) -> Usage | None:
    """As it stands beside its picture."""
    if fields is None:
        return None
    out = fields.get("output_tokens_details")
    parts = {
        "input_tokens_details": Parts(**fields["input_tokens_details"]),
        "output_tokens_details": out and Parts(**out),
    }
    return Usage(**{**fields, **parts})
