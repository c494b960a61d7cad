"""Answers of upstreams as files: captured by users, or written down in vendors' documents, each with what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

FOLDER = Path(__file__).parent / "payloads"


@dataclass(frozen=True)
class Captured:
    """``about``: where it was seen. ``step``: which request got it. ``daily``: it names a quota of the day.

    ``after``: the delay that it asks for, in seconds, or "reset": until the quotas of the day begin anew.
    """

    painter: str
    about: str
    status: int
    fault: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    step: str = ""
    after: float | str | None = None
    daily: bool = False

    @property
    def raw(self) -> bytes:
        """The body as it is sent: text as it is, anything else as JSON."""
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


def captured(*painters: str) -> list[Any]:
    """The files of these painters as parameters of a test."""
    return [
        pytest.param(Captured(painter, **orjson.loads(file.read_bytes())), id=f"{painter}-{file.stem}")
        for painter in painters
        for file in sorted((FOLDER / painter).glob("*.json"))
    ]
