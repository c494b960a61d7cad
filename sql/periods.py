"""Periods: months counted from an anchor, and what share of them is left. Pure, and by UTC alone."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Self


@dataclass(frozen=True)
class Period:
    """From ``start`` until ``end``, which is ``cycles`` months after ``anchor``."""

    start: datetime
    end: datetime
    anchor: datetime
    cycles: int

    @classmethod
    def begun(cls, now: datetime) -> Self:
        """One cycle from now."""
        return cls(now, months_after(now, 1), now, 1)

    @classmethod
    def share(cls, now: datetime, share: Fraction) -> Self:
        """A part of a cycle, up to a whole one, from now."""
        if share >= 1:
            return cls.begun(now)
        end = now + max(timedelta(microseconds=1), _times(months_after(now, 1) - now, share))
        return cls(now, end, end, 0)

    def longer(self) -> Self:
        """One cycle more, from the old end."""
        return replace(self, end=months_after(self.anchor, self.cycles + 1), cycles=self.cycles + 1)

    def moved(self, by: timedelta) -> Self:
        """The end is later by that; months count from the new end then."""
        end = self.end + by
        return replace(self, end=end, anchor=end, cycles=0)

    def left(self, now: datetime) -> Fraction:
        """How many cycles of it are still to come, exactly: 1½ in the middle of the last but one."""
        whole, upper = 0, self.end
        while (lower := months_after(self.anchor, self.cycles - whole - 1)) > now:
            whole, upper = whole + 1, lower
        return whole + max(Fraction(0), Fraction(_micros(upper - now), _micros(upper - lower)))


def months_after(anchor: datetime, months: int) -> datetime:
    """The anchor's day and time that many months later, or the last day of a month that is too short.

    Counted in UTC: neither a session's time zone nor anybody's summer time has a say.
    """
    anchor = anchor.astimezone(UTC)
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def part(amount: int, share: Fraction) -> int:
    """That share of an amount in its smallest unit, rounded down: all the parts are never more than the whole."""
    return max(0, floor(amount * share))


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _times(span: timedelta, share: Fraction) -> timedelta:
    return timedelta(microseconds=floor(_micros(span) * share))
