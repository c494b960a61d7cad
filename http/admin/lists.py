"""Lists: what was asked for, a page of it, the links to the others, and all of it as CSV."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from limner.http import forms, sheets
from limner.http.admin.filters import Choice, Filter, Name, Number, Words
from limner.http.gallery import keyset
from limner.http.state import DB, FILE_READY, about, admin, fresh
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import audit

PAGE = 50
BATCH = 1000
"""Rows that are read at a time for a file."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class Asked:
    """What an address asks of a list. ``place``: where the page begins; "" for the first one."""

    path: str
    filters: Sequence[Filter]
    values: Mapping[str, str]
    place: str = ""

    def __getitem__(self, name: str) -> str:
        """The value of a filter; "" for one that is not set."""
        return self.values.get(name, "")

    def number(self, name: str) -> int | None:
        return int(self[name]) if self[name] else None

    def id(self, name: str) -> UUID | None:
        return UUID(self[name]) if self[name] else None

    @property
    def since(self) -> datetime | None:
        return _midnight(self["since"]) if self["since"] else None

    @property
    def until(self) -> datetime | None:
        """The first moment after the last day."""
        return _midnight(self["until"]) + timedelta(days=1) if self["until"] else None

    @property
    def before(self) -> int | None:
        """Where the page begins, of a list that is ordered by number. Raises Refused."""
        return None if not self.place else int(Number("before", "Before").check(self.place))

    @property
    def moment(self) -> tuple[datetime | None, UUID | None]:
        """Where the page begins, of a list that is ordered by time. Raises Refused."""
        found = keyset(self.place)
        if self.place and found is None:
            raise Refused(f"Before is a moment and an id, not {self.place[:60]!r}.", field="before")
        return found or (None, None)

    @property
    def entry(self) -> tuple[datetime | None, int | None]:
        """The same of a list whose ids are numbers. Raises Refused."""
        moment, _, last = self.place.rpartition("~")
        try:
            return (
                (datetime.fromisoformat(moment).astimezone(UTC), int(Number("before", "Before").check(last)))
                if self.place
                else (None, None)
            )
        except (ValueError, OverflowError):
            raise Refused(f"Before is a moment and a number, not {self.place[:60]!r}.", field="before") from None

    def at(self, place: str) -> Asked:
        return replace(self, place=place)

    def url(self, *, path: str = "", place: str = "", **changed: str) -> str:
        """The address of the same list with other values; "" takes a filter away."""
        values = {name: value for name, value in {**self.values, **changed}.items() if value}
        values |= {"before": place} if place else {}
        return (path or self.path) + (f"?{urlencode(values)}" if values else "")

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """What is set: its name, itself in words, and the address of the list without it."""
        return [
            (each.name, _said(each, self[each.name]), self.url(**{each.name: ""}))
            for each in self.filters
            if _narrows(each, self)
        ]

    @property
    def csv(self) -> str:
        return self.url(path=f"{self.path}.csv")


def _midnight(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def _narrows(each: Filter, asked: Asked) -> bool:
    return bool(asked[each.name]) and not (isinstance(each, Choice) and each.sort)


def _said(each: Filter, value: str) -> str:
    if isinstance(each, Words) and not each.aside:
        return f"“{value if len(value) <= 40 else value[:39] + '…'}”"
    shown = each.called(value) if isinstance(each, Choice) else value[:8] if isinstance(each, Name) else value
    return f"{each.label}: {shown}"


def holding(text: str, *where: str | None) -> bool:
    """Whether one of these has the text in it; nothing is in all of them."""
    return any(text.lower() in (each or "").lower() for each in where)


def id_or_words(text: str) -> tuple[str, UUID | None]:
    """What was typed into a search, as words or as an id, whichever it is."""
    try:
        return "", UUID(text)
    except ValueError:
        return text, None


@dataclass(frozen=True)
class Found(Generic[Row]):
    """A page. ``more``: where the next one begins; "" at the end. ``looked``: how far back it looked, when not to the end."""

    rows: Sequence[Row]
    more: str = ""
    looked: datetime | None = None


def cut(rows: Sequence[Row], count: int, place: Callable[[Row], str]) -> Found[Row]:
    """Of one row more than are shown: whether there is more, and from where."""
    return Found(rows[:count], place(rows[count - 1]) if len(rows) > count else "")


def cut_at(
    rows: Sequence[Row], count: int, place: Callable[[Row], str], edge: tuple[datetime | None, object] | None
) -> Found[Row]:
    """The same where only so many rows were looked through: there is more behind the edge, too."""
    found = cut(rows, count, place)
    if found.more or edge is None or edge[0] is None:
        return found
    return replace(found, more=placed(edge[0], edge[1]), looked=edge[0])


def by_time(row: object) -> str:
    """The place of a row with ``created_at`` and ``id``."""
    return placed(row.created_at, row.id)  # type: ignore[attr-defined]


def placed(moment: datetime, last: object) -> str:
    """The place of a row in a list that is ordered by this moment."""
    return f"{moment.isoformat()}~{last}"


def by_number(row: object) -> str:
    return str(row.id)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Shown(Generic[Row]):
    """A page as its template finds it."""

    asked: Asked
    found: Found[Row]

    @property
    def rows(self) -> Sequence[Row]:
        return self.found.rows

    @property
    def older(self) -> str | None:
        return self.asked.url(place=self.found.more) if self.found.more else None

    @property
    def first(self) -> str | None:
        return self.asked.url() if self.asked.place else None


@dataclass(frozen=True)
class List(Generic[Row]):
    """A list of the admin. ``people``: there is somebody's data in it, so that who takes a file of it along shows anew who
    they are, and it is written down in the audit.
    """

    path: str
    filters: Callable[[Database], Awaitable[Sequence[Filter]]] | Sequence[Filter]
    fetch: Callable[[Database, Asked, int], Awaitable[Found[Row]]]
    columns: Sequence[str]
    cells: Callable[[Row], Sequence[object]]
    people: bool = True

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    async def asked(self, request: web.Request) -> Asked:
        """Raises Refused that names the parameter and what it said. What is no filter here is let alone."""
        filters = await self.filters(request.app[DB]) if callable(self.filters) else self.filters
        values = {}
        for each in filters:
            if text := forms.clean(request.query.get(each.name, "")).strip():
                values[each.name] = each.check(text)
        return Asked(self.path, filters, values, forms.clean(request.query.get("before", "")))

    async def show(self, request: web.Request, asked: Asked | None = None) -> Shown[Row]:
        """Raises Refused."""
        asked = asked or await self.asked(request)
        return Shown(asked, await self.fetch(request.app[DB], asked, PAGE))

    async def send(self, request: web.Request) -> web.StreamResponse:
        """All that the filters let through, for admins, read page by page as it is written. Raises Refused."""
        admin(request)
        db, asked = request.app[DB], (await self.asked(request)).at("")
        if self.people:
            # After a proof a file alone would leave the browser where it was asked.
            fresh(request, back=asked.url(**{FILE_READY: "1"}))
        found = await self.fetch(db, asked, BATCH)
        if self.people:
            await audit.record(
                db, about(request)["actor"], "export", self.name, None, dict(asked.values), ip=about(request)["ip"]
            )
        response = await sheets.begin(request, self.name, self.columns)
        while True:
            await response.write(b"".join(sheets.row(self.cells(row)) for row in found.rows))
            if not found.more:
                break
            found = await self.fetch(db, asked.at(found.more), BATCH)
        await response.write_eof()
        return response
