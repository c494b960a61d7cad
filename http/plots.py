"""Plots: a chart as its numbers, which the page draws, the table shows and the CSV has: the same in all three."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from limner.runtime import amounts

Unit = Literal["money", "pictures", "attempts", "seconds", "slots"]
Value = float | int | None

WIDTH, HEIGHT = 600, 120
"""Of the drawing that stands there until a script draws a better one, or for good without one."""
LINES = 8
"""Ways a line can look: colour and dashes together, so that nobody needs the colours."""


@dataclass(frozen=True)
class Series:
    """One line; money in cents. ``is_drawn``: otherwise it stands in the table alone, and has a ``unit`` of its own."""

    name: str
    values: Sequence[Value]
    tone: str = ""
    is_drawn: bool = True
    unit: Unit | None = None


@dataclass(frozen=True)
class Chart:
    """``code`` is its address, ``words`` its one idea, ``note`` what one should know of these very numbers."""

    code: str
    title: str
    words: str
    unit: Unit
    at: Sequence[datetime]
    series: Sequence[Series]
    is_hourly: bool
    currency: str = ""
    note: str = ""

    @property
    def id(self) -> str:
        return f"{self.code}-{self.currency}".rstrip("-").lower()

    @property
    def drawn(self) -> list[Series]:
        return [each for each in self.series if each.is_drawn]

    @property
    def is_empty(self) -> bool:
        return not any(value for each in self.drawn for value in each.values)

    @property
    def data(self) -> str:
        """What the script draws: epoch seconds, and each line."""
        lines = [{"name": each.name, "tone": each.tone, "values": list(each.values)} for each in self.drawn]
        about = {"unit": self.unit, "currency": self.currency, "hourly": self.is_hourly}
        return json.dumps(
            about | {"at": [round(at.timestamp()) for at in self.at], "lines": lines}, separators=(",", ":")
        )

    @property
    def rows(self) -> Iterator[tuple[datetime, list[str]]]:
        """The table, newest first."""
        for place in reversed(range(len(self.at))):
            yield self.at[place], [self.shown(each, each.values[place]) for each in self.series]

    @property
    def cells(self) -> Iterator[list[object]]:
        """The CSV, oldest first: bare numbers, money with its cents after the point."""
        for place, at in enumerate(self.at):
            yield [at.strftime("%Y-%m-%d %H:%M" if self.is_hourly else "%Y-%m-%d"), *self._bare(place)]

    def _bare(self, place: int) -> Iterator[object]:
        for each in self.series:
            value = each.values[place]
            is_money = (each.unit or self.unit) == "money" and value is not None
            yield "" if value is None else amounts.plain(round(value)) if is_money else value

    def shown(self, series: Series, value: Value) -> str:
        return shown(series.unit or self.unit, value, self.currency)

    @property
    def summary(self) -> str:
        """For whoever does not see it: each line's newest number, least and most."""
        return f"{self.title}. " + " ".join(self._said(each) for each in self.drawn)

    def _said(self, series: Series) -> str:
        known = [value for value in series.values if value is not None]
        if not known:
            return f"{series.name}: nothing."
        newest, least, most = (self.shown(series, value) for value in (known[-1], min(known), max(known)))
        return f"{series.name}: {newest} at last, between {least} and {most}."

    @cached_property
    def low(self) -> float:
        return min([0, *self._known()])

    @cached_property
    def high(self) -> float:
        return max([0, *self._known()]) or 1

    def _known(self) -> Iterator[float]:
        return (value for each in self.drawn for value in each.values if value is not None)

    def place(self, value: float) -> float:
        """How far down in the drawing a value lies."""
        return round(HEIGHT - 2 - (value - self.low) / (self.high - self.low) * (HEIGHT - 4), 1)

    @property
    def paths(self) -> Iterator[tuple[Series, str]]:
        """Each line as a path; where nothing is known it is broken off."""
        step = WIDTH / max(len(self.at) - 1, 1)
        for each in self.drawn:
            yield each, _path(each.values, lambda place: round(place * step, 1), self.place)


def _path(values: Sequence[Value], across: Callable[[int], float], down: Callable[[float], float]) -> str:
    steps, pen_is_down = [], False
    for place, value in enumerate(values):
        if value is not None:
            x, y = across(place), down(value)
            is_alone = not pen_is_down and (place + 1 == len(values) or values[place + 1] is None)
            steps.append(f"{'L' if pen_is_down else 'M'}{x:g} {y:g}" + ("h2" if is_alone else ""))
        pen_is_down = value is not None
    return "".join(steps)


def shown(unit: Unit, value: Value, currency: str = "") -> str:
    """A value as people read it; nothing where nothing is known."""
    if value is None:
        return "–"
    match unit:
        case "money":
            return amounts.said(round(value), currency)
        case "seconds":
            return f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"
        case _:
            return f"{value:,.1f}".removesuffix(".0")
