"""Cells: what people wrote, as it goes into a table that a spreadsheet may open."""

from __future__ import annotations

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet takes a cell for a formula."""


def safe(text: str) -> str:
    """A cell that a spreadsheet takes for text, whatever somebody wrote into it."""
    return f"'{text}" if text.startswith(RISKY) else text
