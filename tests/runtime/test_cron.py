"""Cron expressions, against somebody who walks through time minute by minute and looks at the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limner.runtime.cron import MONTHS, WEEKDAYS, Calendar

MINUTE = timedelta(minutes=1)
CHANGES = (
    ("Europe/Berlin", "2026-03-29T01:00"),  # forward at two
    ("Europe/Berlin", "2026-10-25T01:00"),  # back at three
    ("America/St_Johns", "2007-11-04T02:31"),  # back over midnight, a minute into the next day
    ("America/St_Johns", "2007-03-11T03:31"),  # forward a minute after midnight
    ("Africa/Cairo", "2026-04-23T22:00"),  # forward at midnight
    ("America/Nuuk", "2024-03-31T01:00"),  # forward over midnight
    ("America/Nuuk", "2024-10-27T01:00"),  # back to the day before
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # by half an hour
    ("Pacific/Apia", "2011-12-30T10:00"),  # a whole day is left out
    ("Asia/Kolkata", "2026-12-31T18:30"),
    ("UTC", "2024-02-29T00:00"),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@lru_cache
def minutes_of(zone: str, at: str) -> list[tuple[datetime, datetime, list[datetime], bool]]:
    """Every real minute of five days, what the wall shows then, what it has just jumped over, and if it shows it again."""
    since = utc(at) - timedelta(hours=60)
    before, passed, found = (since - MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None), set(), []
    for instant in (since + n * MINUTE for n in range(120 * 60)):
        wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        hidden = [before + k * MINUTE for k in range(1, (wall - before) // MINUTE)]
        found.append((instant, wall, hidden, wall in passed))
        passed.add(wall)
        before = wall
    return found


def walk(fields: tuple[str, ...], sets: tuple[set[int], ...], zone: str, at: str) -> list[datetime]:
    """The oracle: what a leap of the clocks hides is made up for, what comes again is not, unless minute or hour is wild."""
    star = [text.startswith("*") for text in fields]
    is_wild, is_either = star[0] or star[1], not star[2] and not star[4]

    def is_named(wall: datetime) -> bool:
        if wall.minute not in sets[0] or wall.hour not in sets[1] or wall.month not in sets[3]:
            return False
        by_day, by_weekday = wall.day in sets[2], wall.isoweekday() % 7 in sets[4]
        return by_day or by_weekday if is_either else by_day and by_weekday

    return [
        instant
        for instant, wall, hidden, is_again in minutes_of(zone, at)
        if ((is_wild or not is_again) and is_named(wall)) or (not is_wild and any(map(is_named, hidden)))
    ]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, words: tuple[str, ...] = ()) -> tuple[str, set[int]]:
    """A field as somebody may write it, and what it names."""
    parts, named = [], set()
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high))
        text, values = draw(
            st.sampled_from(
                [
                    ("*", range(low, high + 1)),
                    (f"*/{step}", range(low, high + 1, step)),
                    (f"{first}-{last}", range(first, last + 1)),
                    (f"{first}-{last}/{step}", range(first, last + 1, step)),
                    (str(first), [first]),
                    (words[first - low] if words else str(first), [first]),
                ]
            )
        )
        parts.append(text)
        named.update(values)
    return ",".join(parts), named


EXPRESSIONS = st.tuples(
    fields(0, 59), fields(0, 23), st.just(("*", set(range(1, 32)))) | fields(1, 31),
    st.just(("*", set(range(1, 13)))) | fields(1, 12, MONTHS), st.just(("*", set(range(7)))) | fields(0, 6, WEEKDAYS),
).filter(lambda each: not all(day > 28 for day in each[2][1]))  # fmt: skip
WHOLE = tuple(zip("*****", map(set, (range(60), range(24), range(1, 32), range(1, 13), range(7))), strict=True))


@settings(max_examples=150)
@given(EXPRESSIONS, st.sampled_from(CHANGES), st.integers(-26 * 60, 26 * 60), st.integers(0, 59_999_999))
@example(WHOLE, ("America/St_Johns", "2007-11-04T02:31"), -2, 0)
@example(WHOLE, ("America/St_Johns", "2007-11-04T02:31"), 1, 0)
def test_the_next_and_the_latest_tick_are_those_that_a_walker_finds(expression, change, minutes, micros):
    texts, sets = zip(*expression, strict=True)
    zone, at = ZoneInfo(change[0]), utc(change[1])
    instant = at + timedelta(minutes=minutes, microseconds=micros)
    since, until = at - timedelta(hours=60), at + timedelta(hours=60)
    ticks = walk(texts, sets, *change)
    calendar = Calendar.parse(" ".join(texts))
    after, latest = calendar.after(instant, zone), calendar.latest(instant, zone)
    later, earlier = [tick for tick in ticks if tick > instant], [tick for tick in ticks if tick <= instant]
    assert after == later[0] if later else after >= until
    assert latest == earlier[-1] if earlier else latest < since


@given(fields(0, 6, WEEKDAYS))
def test_sunday_has_three_names(days):
    text, named = days
    assert Calendar.parse(f"0 0 * * {text},7").weekdays == Calendar.parse(f"0 0 * * {text},Sun").weekdays == named | {0}


def ticks_of(expression: str, zone: str, since: str, count: int) -> list[str]:
    calendar, at, found = Calendar.parse(expression), utc(since), []
    for _ in range(count):
        at = calendar.after(at, ZoneInfo(zone))
        found.append(f"{at:%m-%dT%H:%M}")
    return found


@pytest.mark.parametrize(
    "expression, zone, since, expected",
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:00", "03-30T00:30"]),  # 02:30 is left out: at 03:00
        ("15,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:00", "03-30T00:15"]),  # both: once
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25T00:30", "10-26T01:30"]),  # 02:30 comes twice
        ("0 * * * *", "Europe/Berlin", "2026-10-24T23:30", ["10-25T00:00", "10-25T01:00", "10-25T02:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00", ["03-29T00:30", "03-29T01:00", "03-29T01:30"]),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", ["04-23T22:00", "04-24T21:00"]),  # no midnight: at one
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00", ["12-30T10:00", "12-29T19:00"]),  # the day that was not
        ("0 9 * * 1-5", "Europe/Berlin", "2026-11-20T09:00", ["11-23T08:00", "11-24T08:00"]),  # over the week-end
        ("0 0 13 * fri", "UTC", "2026-11-01T00:00", ["11-06T00:00", "11-13T00:00", "11-20T00:00"]),  # one is enough
        ("0 0 * * sat-sun", "UTC", "2026-11-23T00:00", ["11-28T00:00", "11-29T00:00", "12-05T00:00"]),
        ("0 0 * * 0-0", "UTC", "2026-11-23T00:00", ["11-29T00:00", "12-06T00:00"]),
        ("@monthly", "UTC", "2026-11-23T00:00", ["12-01T00:00", "01-01T00:00"]),
        ("@Weekly", "UTC", "2026-11-23T00:00", ["11-29T00:00", "12-06T00:00"]),
    ],
)  # fmt: skip
def test_days_on_which_the_clocks_change_and_others(expression, zone, since, expected):
    assert ticks_of(expression, zone, since, len(expected)) == expected


def test_the_rarest_day_is_found_over_eight_years_and_more():
    leap = Calendar.parse("0 0 29 2 *")
    assert leap.after(utc("2096-03-01T00:00"), UTC) == utc("2104-02-29T00:00")
    assert leap.latest(utc("2104-02-28T00:00"), UTC) == utc("2096-02-29T00:00")
    assert Calendar.parse("0 0 29 2 */7").after(utc("2026-01-01T00:00"), UTC) == utc("2032-02-29T00:00")


@pytest.mark.parametrize(
    "expression, complaint",
    [
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * foo *", "month 'foo'"),
        ("* * * * 8", "day of week '8'"),
        ("* * * * mon-", "day of week 'mon-'"),
        ("5-1 * * * *", "minute '5-1': 5-1 runs backwards"),
        ("*/0 * * * *", "minute '*/0'"),
        ("*/90 * * * *", "minute '*/90'"),
        ("5/10 * * * *", "minute '5/10'"),
        ("1,,2 * * * *", "minute '1,,2'"),
        ("-1 * * * *", "minute '-1'"),
        ("² * * * *", "minute '²'"),
        ("0 0 31 2,4 *", "day of month '31': never comes in month '2,4'"),
        ("* * * *", "five fields"),
        ("@often", "five fields"),
        ("", "five fields"),
    ],
)
def test_a_bad_expression_is_refused_with_its_field_and_value(expression, complaint):
    with pytest.raises(ValueError) as caught:
        Calendar.parse(expression)
    assert complaint in str(caught.value)
