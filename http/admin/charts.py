"""Charts: money, pictures, failures, times, pool and queue over time, with the same numbers as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import drawings
from limner.http.admin.drawings import KINDS
from limner.http.plots import Chart
from limner.http.state import CODE, DB, path_code, staff
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import figures
from limner.sql.figures import Choice, Span

RANGES = {"24h": "24 hours", "7": "7 days", "30": "30 days", "90": "90 days", "365": "365 days"}
LONGEST = 366
"""Days that a chart may show."""
BY_HOUR = timedelta(days=2)
"""What is not longer is shown by hours."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants to see. ``query``: the same as it stands in an address."""

    span: Span
    choice: Choice
    query: dict[str, str]
    words: str

    @property
    def range(self) -> str:
        """One of RANGES; empty: from a day to another."""
        return self.query.get("range", "")

    @property
    def address(self) -> str:
        return f"?{urlencode(self.query)}" if self.query else ""


async def show_all(request: web.Request) -> web.Response:
    staff(request)
    db, why = request.app[DB], None
    try:
        asked = await _asked(db, request.query)
    except Refused as refused:
        asked, why = await _asked(db, {}), refused
    charts = await drawings.everything(db, asked.span, asked.choice)
    return pages.render(request, "admin/charts.html", why, charts=charts, **await _around(request, asked))


async def show(request: web.Request) -> web.Response:
    """One chart, large, with its table."""
    staff(request)
    db, code, why = request.app[DB], _code(request), None
    try:
        asked = await _asked(db, request.query)
    except Refused as refused:
        asked, why = await _asked(db, {}), refused
    charts = await drawings.one(db, code, asked.span, asked.choice)
    around = await _around(request, asked)
    return pages.render(request, "admin/chart.html", why, charts=charts, kind=drawings.BY_CODE[code], **around)


async def send_csv(request: web.Request) -> web.Response:
    """The table of a chart. Raises Refused for what cannot be asked."""
    staff(request)
    db, code = request.app[DB], _code(request)
    asked = await _asked(db, request.query)
    charts = await drawings.one(db, code, asked.span, asked.choice)
    response = web.Response(body=_written(charts), content_type="text/csv", charset="utf-8")
    span = f"{asked.span.start:%Y-%m-%d}-to-{asked.span.end - timedelta(seconds=1):%Y-%m-%d}"
    response.headers["Content-Disposition"] = f'attachment; filename="{code}-{span}.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _code(request: web.Request) -> str:
    code = path_code(request)
    if code not in drawings.BY_CODE:
        raise NotFound
    return code


async def _around(request: web.Request, asked: Asked) -> dict[str, Any]:
    """What stands around the charts: the ways to ask for others."""
    plans, models, keys = await figures.options(request.app[DB])
    return {
        "kinds": KINDS,
        "asked": asked,
        "ranges": [(name, words, _with(asked, range=name)) for name, words in RANGES.items()],
        "plans": plans,
        "models": models,
        "keys": keys,
        "form": {name: forms.clean(request.query.get(name, "")) for name in ("from", "to")},
    }


def _with(asked: Asked, **other: str) -> str:
    kept = {name: value for name, value in asked.query.items() if name not in ("range", "from", "to")}
    return urlencode(kept | other)


async def _asked(db: Db, query: Any) -> Asked:
    """Raises Refused, with the field and the value that cannot be."""
    now: datetime = (await db.fetchval("select now()")).astimezone(UTC)
    span, kept, words = _span(query, now)
    choice = Choice(_number(query, "plan"), _model(query), _number(query, "key"))
    kept |= {name: str(value) for name, value in vars(choice).items() if value is not None}
    return Asked(span, choice, kept, words)


def _span(query: Any, now: datetime) -> tuple[Span, dict[str, str], str]:
    """The time that is asked for, as it stands in an address, and in words."""
    if query.get("from") or query.get("to"):
        return _from_to(query, now)
    name = query.get("range") or "30"
    if name not in RANGES:
        raise Refused(f"Range must be one of {', '.join(RANGES)}, not {name[:40]!r}.", field="range")
    if name == "24h":
        end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return Span(end - timedelta(hours=24), end, "hour"), {"range": name}, "The last 24 hours"
    end = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return Span(end - timedelta(days=int(name)), end, "day"), {"range": name}, f"The last {name} days"


def _from_to(query: Any, now: datetime) -> tuple[Span, dict[str, str], str]:
    first, last = _day(query, "from", now.date()), _day(query, "to", now.date())
    if first > last:
        raise Refused(f"From must not be after to: {first} is after {last}.", field="from")
    if (last - first).days >= LONGEST:
        raise Refused(f"From {first} to {last} is longer than {LONGEST} days.", field="from")
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    unit = "hour" if end - start <= BY_HOUR else "day"
    words = f"{first:%-d %b %Y}" if first == last else f"{first:%-d %b %Y} to {last:%-d %b %Y}"
    return Span(start, end, unit), {"from": str(first), "to": str(last)}, words  # type: ignore[arg-type]


def _day(query: Any, name: str, today: date) -> date:
    """A day; without one it is today. Raises Refused."""
    return forms.day(query.get(name, ""), name, name.capitalize()) or today


def _number(query: Any, name: str) -> int | None:
    text = query.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 18):
        raise Refused(f"{name.capitalize()} must be the number of one, not {text[:40]!r}.", field=name)
    return int(text) if text else None


def _model(query: Any) -> str | None:
    text: str = query.get("model", "")
    if text and not CODE.fullmatch(text):
        raise Refused(f"Model must be the name of one, not {text[:40]!r}.", field="model")
    return text or None


def _written(charts: Sequence[Chart]) -> bytes:
    """All of them one under the other; with several currencies each line says of which it is."""
    written = io.StringIO()
    lines = csv.writer(written)
    unit = "hour (UTC)" if charts[0].is_hourly else "day (UTC)"
    lines.writerow(
        [unit, *(["currency"] if charts[0].currency else []), *(each.name.lower() for each in charts[0].series)]
    )
    for chart in charts:
        for at, *cells in chart.cells:
            lines.writerow([at, *([chart.currency] if chart.currency else []), *cells])
    return b"\xef\xbb\xbf" + written.getvalue().encode()
