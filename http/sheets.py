"""Sheets: tables as CSV, written as they are read, and never a formula in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from aiohttp import web

from limner.sql import cells

MARK = "\ufeff".encode()
"""Tells spreadsheets that it is UTF-8."""


async def begin(request: web.Request, name: str, columns: Sequence[str]) -> web.StreamResponse:
    """The head of a file ``name``.csv. What follows are rows, and ``write_eof``."""
    response = web.StreamResponse()
    response.content_type, response.charset = "text/csv", "utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response.headers["Cache-Control"] = "no-store"
    await response.prepare(request)
    await response.write(MARK + row(columns))
    return response


def row(values: Sequence[object]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow([_cell(cell) for cell in values])
    return written.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return cells.safe(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value
