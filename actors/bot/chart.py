"""The chart of the dashboard: two weeks of pictures, and of money for those who may see it, as a small PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from limner.sql.glance import Day, revenue

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

DAYS = 14
WIDTH, HEIGHT = 640, 240
FINE = 2
"""It is drawn so many times as large, and made smaller: that rounds the edges."""
GROUND, LINE, TEXT = "#161417", "#3A353C", "#B9B2AA"
DELIVERED, FAILED = "#3FA59D", "#E4572E"
MONEY = ("#D9A441", "#8E9BE0", "#C77DBB")
"""A colour for each currency; of more than these there are no lines."""
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 28, 28
GAP = 0.28
"""Of a day's width, between two bars."""


def png(days: Sequence[Day], *, with_money: bool) -> bytes:
    """Bars for what was delivered and what failed; with lines for what came in."""
    from PIL import Image, ImageDraw, PngImagePlugin  # noqa: F401 - only who looks at a dashboard pays for Pillow

    image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), GROUND)
    draw = ImageDraw.Draw(image)
    most = max([1, *(day.delivered + day.failed for day in days)])
    _frame(draw, str(most))
    for place, day in enumerate(days):
        _bar(draw, place, len(days), day, most)
    if with_money:
        _money(draw, days)
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).quantize(64)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


def _frame(draw: ImageDraw, most: str) -> None:
    for height, words in ((TOP, most), (HEIGHT - BOTTOM, "0")):
        draw.line([_at(LEFT, height), _at(WIDTH - RIGHT, height)], fill=LINE, width=FINE)
        draw.text(_at(LEFT - 8, height), words, fill=TEXT, anchor="rm", font_size=13 * FINE)


def _bar(draw: ImageDraw, place: int, of: int, day: Day, most: int) -> None:
    wide = (WIDTH - LEFT - RIGHT) / of
    left, right = LEFT + wide * (place + GAP / 2), LEFT + wide * (place + 1 - GAP / 2)
    floor: float = HEIGHT - BOTTOM
    for count, colour in ((day.delivered, DELIVERED), (day.failed, FAILED)):
        ceiling = floor - count * (HEIGHT - BOTTOM - TOP) / most
        if count:
            draw.rectangle([_at(left, ceiling), _at(right, floor)], fill=colour)
        floor = ceiling
    middle = (left + right) / 2
    draw.text(_at(middle, HEIGHT - BOTTOM / 2), str(day.day.day), fill=TEXT, anchor="mm", font_size=12 * FINE)


def _money(draw: ImageDraw, days: Sequence[Day]) -> None:
    """A line for each currency, in a colour of its own, by which the most of a day is written."""
    right: float = WIDTH - RIGHT
    for currency, colour in zip(revenue(days), MONEY, strict=False):
        cents = [day.revenue.get(currency, 0) for day in days]
        if max(cents) > 0:
            _line(draw, cents, colour)
            label = f"{max(cents) / 100:,.0f} {currency}"
            draw.text(_at(right, TOP / 2), label, fill=colour, anchor="rm", font_size=13 * FINE)
            right -= draw.textlength(label, font_size=13 * FINE) / FINE + 12


def _line(draw: ImageDraw, taken: Sequence[int], colour: str) -> None:
    """Its own scale: the day on which most came in touches the top; one on which more went back lies on the floor."""
    wide, most = (WIDTH - LEFT - RIGHT) / len(taken), max(taken)
    points = [
        _at(LEFT + wide * (place + 0.5), HEIGHT - BOTTOM - max(cents, 0) * (HEIGHT - BOTTOM - TOP) / most)
        for place, cents in enumerate(taken)
    ]
    draw.line(points, fill=colour, width=3 * FINE, joint="curve")
    for x, y in points:
        draw.ellipse([x - 4 * FINE, y - 4 * FINE, x + 4 * FINE, y + 4 * FINE], fill=colour)


def _at(x: float, y: float) -> tuple[float, float]:
    return x * FINE, y * FINE
