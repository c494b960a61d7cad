"""Long lists in a chat: a page at a time, by the row it begins below, so that every row can be reached."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from limner.actors.bot.menus.screen import MOST_DATA, PAGE, Button, turns
from limner.actors.bot.menus.visit import Visit
from limner.runtime.database import Db

T = TypeVar("T")
Place = tuple[datetime | None, UUID | None]
Look = Callable[[Place, int], Awaitable[tuple[list[T], UUID | None]]]
"""So many rows below, or above, a place, newest first; and where the look ended, when it was not at the end of the list."""
SIGNS = {"n": "older", "p": "newer"}
"""What the buttons for the next page and the page before carry."""


@dataclass(frozen=True)
class Turn:
    """Where in a list somebody is: at its head, or on the page that is older or newer than a row."""

    way: str = ""
    place: Place = (None, None)


HEAD = Turn()


async def turn(visit: Visit, way: str, row: str, get: Callable[[Db, UUID], Awaitable[Any]], gone: str) -> Turn:
    """What a button of ``Page.arrows`` carried; ``get`` finds the row. Raises Refused."""
    row_id = long(row)
    if row_id is None or way not in SIGNS:
        raise visit.stale()
    found = await visit.find(str(row_id), get, gone)
    return Turn(SIGNS[way], (found.created_at, row_id))


@dataclass(frozen=True)
class Page(Generic[T]):
    """``newer`` and ``older``: the rows that the pages around this one begin at, where there are such."""

    rows: list[T]
    newer: UUID | None
    older: UUID | None

    def arrows(self, name: str, search: str = "") -> list[Button]:
        """To the pages around it: buttons that carry ``name``, the way, a row, and what was searched for if that fits."""
        tail = f":{search}" if search else ""
        data = [each and f"{name}:{way}:{short(each)}{tail}" for way, each in (("p", self.newer), ("n", self.older))]
        return turns(*(each if each and len(each.encode()) <= MOST_DATA else None for each in data))

    def is_cut(self, name: str, search: str) -> bool:
        """Whether there is more than can be turned to, since what was searched for is too long for a button."""
        return self.older is not None and not self.arrows(name, search)


async def page(at: Turn, older: Look[T], newer: Look[T]) -> Page[T]:
    """A page. One that is not full at the head of the list is filled up."""
    if at.way == "newer":
        rows, edge = await newer(at.place, PAGE + 1)
        if len(rows) >= PAGE or edge is not None:
            shown = rows[-PAGE:]
            above = _id(shown[0]) if len(rows) > PAGE else edge
            return Page(shown, newer=above, older=_id(shown[-1]) if shown else at.place[1])
        at = HEAD
    rows, edge = await older(at.place, PAGE + 1)
    shown = rows[:PAGE]
    below = _id(shown[-1]) if len(rows) > PAGE else edge
    return Page(shown, newer=None if at is HEAD else _id(shown[0]) if shown else at.place[1], older=below)


async def whole(rows: Awaitable[list[T]]) -> tuple[list[T], None]:
    """A look that ends only where the list does."""
    return await rows, None


def _id(row: Any) -> UUID:
    found: UUID = row["id"] if isinstance(row, dict) else row.id
    return found


def short(row: UUID) -> str:
    """22 characters, so that a button has room for two."""
    return base64.urlsafe_b64encode(row.bytes).decode().rstrip("=")


def long(text: str) -> UUID | None:
    """What ``short`` made; None for what is none."""
    try:
        return UUID(bytes=base64.b64decode(f"{text}==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
