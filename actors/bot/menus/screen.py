"""What a message of the bot shows: words, buttons, at times a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Self
from uuid import UUID

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

PAGE = 8
"""Things on one screen."""
MOST_TOAST = 200
"""Bot API: the characters that answerCallbackQuery takes."""
MOST_DATA = 64
"""Bot API: the bytes that a button carries."""
MOST_TEXT = 4096
MOST_CAPTION = 1024
"""Bot API: the characters of a message, and of what stands below a picture, as ``length`` counts them."""
SPARE = MOST_TOAST + len("! \n\n")
"""What a screen that fills its message leaves free: a refusal may come to stand above it."""
TAGS = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Button:
    """``text`` is plain; ``data`` says what is wanted, never who may."""

    text: str
    data: str

    def __post_init__(self) -> None:
        if not 0 < len(self.data.encode()) <= MOST_DATA:
            raise ValueError(f"a button carries 1 to {MOST_DATA} bytes, not {self.data!r}")


Row = Sequence[Button]


@dataclass(frozen=True)
class Screen:
    """HTML, rows of buttons, a line that appears for a moment, and a picture (PNG) above the words."""

    text: str
    rows: Sequence[Row] = field(default_factory=tuple)
    toast: str = ""
    picture: bytes | None = None

    @property
    def keyboard(self) -> InlineKeyboardMarkup | None:
        rows = [
            [InlineKeyboardButton(text=each.text, callback_data=each.data) for each in row] for row in self.rows if row
        ]
        return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None

    def with_toast(self, toast: str) -> Self:
        return replace(self, toast=toast[:MOST_TOAST])

    def headed(self, line: str) -> Self:
        """With a line of HTML above the rest."""
        return replace(self, text=f"{line}\n\n{self.text}")


def length(html: str) -> int:
    """How long Telegram finds it: in UTF-16, tags apart."""
    return _units(unescape(TAGS.sub("", html)))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def parts(text: str, most: int) -> list[str]:
    """Plain text in pieces that Telegram finds no longer than this; one, and be it empty, at the least."""
    found = []
    while _units(text) > most:
        piece = text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")
        found.append(piece)
        text = text[len(piece) :]
    return [*found, text]


def page_of(count: int, wanted: int, size: int = PAGE) -> tuple[int, int]:
    """The page to show, from 0, of how many: never one that is not there."""
    pages = max(1, -(-count // size))
    return max(0, min(wanted, pages - 1)), pages


def turns(before: str | None, after: str | None) -> list[Button]:
    """To the page before and to the next, where there are such."""
    return [Button(sign, data) for sign, data in (("◀", before), ("▶", after)) if data]


def pairs(buttons: Iterable[Button], across: int = 2) -> list[list[Button]]:
    """Buttons in rows of two."""
    flat = list(buttons)
    return [flat[start : start + across] for start in range(0, len(flat), across)]


def number(text: str) -> int:
    """A number that a button carried; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def identity(text: str) -> UUID | None:
    """An id that a button carried; None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
