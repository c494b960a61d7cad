"""The statement: every credit that came and went, with what was left; on a page, and as CSV."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from limner.http import pages, sheets
from limner.http.state import DB, signed_in
from limner.runtime.errors import Refused
from limner.sql import statements
from limner.sql.statements import Line, Month

PAGE = 50
COLUMNS = ("when (UTC)", "what", "kind", "in", "out", "charged", "left", "picture", "note", "entry")


async def show(request: web.Request) -> web.Response:
    db, viewer, why = request.app[DB], signed_in(request), None
    try:
        month = Month.parse(request.query.get("month", ""))
    except Refused as refused:
        month, why = None, refused
    before = _entry(request.query.get("before", ""))
    found = await statements.lines(db, viewer.id, before=before, month=month, count=PAGE + 1)
    chosen = {"month": str(month)} if month else {}
    older = {**chosen, "before": found[PAGE - 1].id} if len(found) > PAGE else None
    return pages.render(
        request,
        "statement.html",
        why,
        lines=found[:PAGE],
        sums=await statements.sums(db, viewer.id, month),
        month=month,
        months=await statements.months(db, viewer.id),
        older_url=f"/account/statement?{urlencode(older)}" if older else None,
        newer_url=f"/account/statement?{urlencode(chosen)}" if before else None,
        csv_url=f"/account/statement.csv?{urlencode(chosen)}" if chosen else "/account/statement.csv",
    )


async def send_csv(request: web.Request) -> web.StreamResponse:
    """All of it, or a month, newest first; written as it is read. Raises Refused for what is no month."""
    viewer, month = signed_in(request), Month.parse(request.query.get("month", ""))
    response = await sheets.begin(request, f"statement{f'-{month}' if month else ''}", COLUMNS)
    async for line in statements.all_lines(request.app[DB], viewer.id, month):
        await response.write(sheets.row(_cells(line)))
    await response.write_eof()
    return response


def _cells(line: Line) -> tuple[object, ...]:
    out = -line.change if line.change < 0 else ""
    came = line.change if line.change > 0 else ""
    texts = [" ".join(text.split()) for text in (line.prompt or "", line.why)]
    return line.created_at, line.words, line.kind, came, out, line.charged or "", line.left, *texts, line.id


def _entry(text: str) -> int | None:
    """Where a page begins; None for the newest, and for what is no entry."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
