"""What a process is made of: its version, and the memory that it takes."""

from __future__ import annotations

import importlib.metadata
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

STEP = 10
"""Megabytes: a smaller change of memory is no news."""


@lru_cache
def version() -> str:
    """Of this installation."""
    return importlib.metadata.version("limner")


def memory(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Megabytes in use, in steps; None where the system does not say."""
    try:
        pages = int(statm.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000 / STEP) * STEP


def about(schema: int) -> dict[str, Any]:
    """For the heartbeat. ``schema``: the newest migration that this code carries."""
    return {"version": version(), "schema": schema, "memory": memory()}
