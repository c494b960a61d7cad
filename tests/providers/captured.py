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
    """``about``: where it was seen. ``step``: which request got it. ``after``: the delay that it asks for, in seconds."""

    about: str
    status: int
    fault: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    step: str = ""
    after: float | None = None

    @property
    def raw(self) -> bytes:
        """The body as it is sent: text as it is, anything else as JSON."""
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


def captured(painter: str) -> list[Any]:
    """A painter's files as parameters of a test."""
    files = sorted((FOLDER / painter).glob("*.json"))
    return [pytest.param(Captured(**orjson.loads(file.read_bytes())), id=file.stem) for file in files]
