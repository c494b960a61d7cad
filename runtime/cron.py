"""Cron expressions as pure arithmetic: which minutes they name, in a time zone with its summer time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Self

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
"""The days that a month can have, where they are not 31."""
SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Calendar:
    """The minutes that an expression names, by the rules of Vixie's cron."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    is_either: bool
    """Both days are restricted: one of them is enough."""
    is_wild: bool
    """Minute or hour begins with a star: it goes by real time, not by the clock on the wall."""

    @classmethod
    def parse(cls, expression: str) -> Self:
        """Read five fields, or a short form such as "@daily". Raises ValueError with the field and the value."""
        texts = SHORT.get(expression.strip().lower(), expression).split()
        if len(texts) != len(FIELDS):
            raise ValueError(f"cron {expression!r}: five fields are needed, or one of {', '.join(SHORT)}")
        minutes, hours, days, months, weekdays = map(_Field.read, FIELDS, texts)
        star = [text.startswith("*") for text in texts]
        is_either, is_wild = not star[2] and not star[4], star[0] or star[1]
        found = cls(minutes, hours, days, months, weekdays, is_either, is_wild)
        if not found.is_either and all(min(found.days) > LONGEST.get(month, 31) for month in found.months):
            raise ValueError(f"day of month {texts[2]!r}: never comes in month {texts[3]!r}")
        return found

    def after(self, instant: datetime, zone: tzinfo) -> datetime:
        """The first tick later than ``instant``, in UTC.

        A time that the clocks jump over ticks at the next minute that exists; one that comes twice ticks the first
        time. Wild ones tick whenever the clock on the wall really shows such a minute.
        """
        return min(self._near(instant, zone, 1))

    def latest(self, instant: datetime, zone: tzinfo) -> datetime:
        """The last tick not later than ``instant``, in UTC."""
        return max(self._near(instant, zone, -1))

    def _near(self, instant: datetime, zone: tzinfo, way: int) -> list[datetime]:
        """Ticks on one side of the instant, the nearest among them."""
        day = instant.astimezone(zone).date() - way * DAY
        while not any(_is_beyond(instant, tick, way) for tick in self._ticks(day, zone)):
            day += way * DAY
        # Where the clocks go back over midnight, the minutes of two days are interleaved.
        both = (*self._ticks(day, zone), *self._ticks(day + way * DAY, zone))
        return [tick for tick in both if _is_beyond(instant, tick, way)]

    def _ticks(self, day: date, zone: tzinfo) -> Iterator[datetime]:
        if not self._names(day):
            return
        walls = [timedelta(hours=hour, minutes=minute) for hour in self.hours for minute in self.minutes]
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        if midnight.utcoffset() == (midnight + DAY).replace(fold=1).utcoffset():
            start = midnight.astimezone(UTC)
            yield from (start + wall for wall in walls)
        else:
            for wall in walls:
                yield from self._on_a_day_of_change(midnight + wall)

    def _names(self, day: date) -> bool:
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_day or by_weekday if self.is_either else by_day and by_weekday)

    def _on_a_day_of_change(self, wall: datetime) -> Iterator[datetime]:
        if self.is_wild:
            yield from (each.astimezone(UTC) for each in (wall, wall.replace(fold=1)) if _exists(each))
        else:
            while not _exists(wall):
                wall += MINUTE
            yield wall.astimezone(UTC)


def _is_beyond(instant: datetime, tick: datetime, way: int) -> bool:
    return tick > instant if way > 0 else tick <= instant


def _exists(wall: datetime) -> bool:
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def read(self, text: str) -> frozenset[int]:
        numbers = {number for part in text.split(",") for number in self._part(part, text)}
        return frozenset(number % 7 if self.words is WEEKDAYS else number for number in numbers)

    def _part(self, part: str, text: str) -> range:
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.low, 6 if self.words is WEEKDAYS else self.high
        elif dash:
            low, high = self._number(first, text), self._number(last, text)
            high = 7 if self.words is WEEKDAYS and high == 0 < low else high  # sat-sun
        else:
            low = high = self._number(first, text)
        if low > high:
            raise self._wrong(text, f"{span} runs backwards")
        if slash and not dash and span != "*":
            raise self._wrong(text, "a step needs * or a range before it")
        return range(low, high + 1, self._step(step, text) if slash else 1)

    def _step(self, step: str, text: str) -> int:
        if not (step.isascii() and step.isdecimal() and 1 <= int(step) <= self.high):
            raise self._wrong(text, f"the step {step!r} is not one of 1-{self.high}")
        return int(step)

    def _number(self, word: str, text: str) -> int:
        if word.lower() in self.words:
            return self.words.index(word.lower()) + (self.words is MONTHS)
        if not (word.isascii() and word.isdecimal() and self.low <= int(word) <= self.high):
            raise self._wrong(text, f"{word!r} is not one of {self.low}-{self.high}")
        return int(word)

    def _wrong(self, text: str, why: str) -> ValueError:
        return ValueError(f"{self.name} {text!r}: {why}")


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 7, WEEKDAYS),
)
