"""Periods as arithmetic: no gap, no overlap, nothing lost, whatever the month, the zone, and the order of events."""

from __future__ import annotations

import calendar
import os
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from limner.sql.periods import Period, months_after, part

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long forms."""
EXAMPLES = 2000 if FULL else 100

pytestmark = pytest.mark.timeout(900 if FULL else 60)
MICRO = timedelta(microseconds=1)
DAY = timedelta(days=1)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
)

many = settings(max_examples=EXAMPLES)
millis = st.integers(0, 20 * 365 * 86400 * 1000)
instants = st.builds(lambda milli: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milli), millis)
last_days = st.builds(
    lambda month, second: months_after(datetime(2020, 1, 31, tzinfo=UTC), month) + second,
    st.integers(0, 239), st.timedeltas(timedelta(0), timedelta(seconds=86399)),
)  # fmt: skip
moments = st.one_of(instants, last_days)
shares = st.fractions(0, 1)
prices = st.integers(0, 10**7)


@many
@given(anchor=moments, months=st.integers(-60, 60), zone=st.sampled_from(ZONES))
@example(datetime(2024, 1, 31, 23, 30, tzinfo=UTC), 1, "Asia/Kathmandu")
@example(datetime(2023, 12, 29, tzinfo=UTC), 2, "Europe/Berlin")
def test_a_month_later_is_the_same_day_or_the_months_last_wherever_one_looks_from(anchor, months, zone):
    end = months_after(anchor.astimezone(ZoneInfo(zone)), months)
    last = calendar.monthrange(end.year, end.month)[1]
    assert end.tzinfo is UTC
    assert end.day == min(anchor.day, last)
    assert (end.year * 12 + end.month) - (anchor.year * 12 + anchor.month) == months
    assert end.timetz() == anchor.timetz()


def test_a_31st_comes_back_after_february():
    period = Period.begun(datetime(2024, 1, 31, 12, tzinfo=UTC))
    ends = [(period := period.longer()).end.strftime("%d %b") for _ in range(4)]
    assert ends == ["31 Mar", "30 Apr", "31 May", "30 Jun"]
    assert Period.begun(datetime(2024, 1, 31, tzinfo=UTC)).end == datetime(2024, 2, 29, tzinfo=UTC)
    assert Period.begun(datetime(2024, 2, 29, tzinfo=UTC)).longer().end == datetime(2024, 4, 29, tzinfo=UTC)


def test_summer_time_neither_gives_nor_takes_an_hour():
    evening = datetime(2024, 3, 15, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert months_after(evening, 1) - evening.astimezone(UTC) == 31 * DAY


class Customer:
    """Somebody whose payments come at any time: ``cycles`` are what was sold, from when until when."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.period: Period | None = None
        self.cycles: list[tuple[datetime, datetime]] = []

    def pay(self) -> None:
        if self.period and self.period.end > self.now:
            was, self.period = self.period, self.period.longer()
            self.cycles.append((was.end, self.period.end))
        else:
            self.period = Period.begun(self.now)
            self.cycles.append((self.now, self.period.end))

    def gets(self, by: timedelta) -> None:
        """Days for nothing, or the length of a pause."""
        if self.period and self.period.end > self.now:
            was, self.period = self.period, self.period.moved(by)
            self.cycles.append((was.end, self.period.end))


events = st.lists(
    st.tuples(st.timedeltas(timedelta(0), timedelta(days=70)), st.sampled_from(["pay", "pay", "pay", "moved"]),
              st.timedeltas(MICRO, timedelta(days=40))),
    min_size=1, max_size=25,
)  # fmt: skip


@many
@given(start=moments, life=events)
def test_cycles_never_overlap_nor_shrink_and_leave_no_gap_while_they_run(start, life):
    alice = Customer(start)
    for wait, what, by in life:
        alice.now += wait
        before = alice.period
        alice.pay() if what == "pay" else alice.gets(by)
        if before and before.end > alice.now:
            assert alice.period and alice.period.end > before.end and alice.period.start == before.start
    for (_, end), (start_, end_) in pairwise(alice.cycles):
        assert start_ >= end and end_ > start_


@many
@given(anchor=moments, ahead=st.lists(st.booleans(), min_size=1, max_size=24))
def test_however_early_somebody_renews_the_ends_are_those_of_the_anchor(anchor, ahead):
    period = Period.begun(anchor)
    for number, _ in enumerate(ahead, 2):
        period = period.longer()
        assert period.end == months_after(anchor, number)
        assert 28 * DAY <= period.end - months_after(anchor, number - 1) <= 31 * DAY


@many
@given(anchor=moments, cycles=st.integers(1, 12), at=shares)
def test_what_is_left_is_never_more_than_there_was_and_falls_with_time(anchor, cycles, at):
    period = Period.begun(anchor)
    for _ in range(cycles - 1):
        period = period.longer()
    now = anchor + (period.end - anchor) * float(at)
    assume(anchor <= now < period.end)
    left = period.left(now)
    assert 0 <= left <= cycles
    assert period.left(min(now + timedelta(hours=7), period.end)) <= left
    assert period.left(anchor) == cycles
    assert period.left(period.end) == 0


@many
@given(
    anchor=moments,
    cycles=st.integers(1, 3),
    ladder=st.lists(st.tuples(prices, prices), min_size=2, max_size=6),
    times=st.lists(shares, min_size=5, max_size=5),
)
def test_the_parts_of_many_changes_are_never_more_than_the_whole(anchor, cycles, ladder, times):
    """From plan to plan, each dearer than the last: what is paid and granted on the way is at most the difference of the ends."""
    period = Period.begun(anchor)
    for _ in range(cycles - 1):
        period = period.longer()
    plans = sorted(ladder)
    paid = granted = 0
    for (old, fewer), (new, more), at in zip(plans, plans[1:], sorted(times), strict=False):
        left = period.left(anchor + (period.end - anchor) * float(at))
        cents, credits = part(new - old, left), part(max(0, more - fewer), left)
        assert 0 <= cents <= (new - old) * cycles and 0 <= credits <= max(0, more - fewer) * cycles
        paid, granted = paid + cents, granted + credits
    assert paid <= (plans[-1][0] - plans[0][0]) * cycles
    rises = sum(max(0, more - fewer) for (_, fewer), (_, more) in pairwise(plans))
    assert granted <= rises * cycles


@many
@given(amount=prices, cuts=st.lists(shares, min_size=1, max_size=20))
def test_a_whole_that_is_cut_up_never_becomes_more(amount, cuts):
    edges = sorted({Fraction(0), *cuts, Fraction(1)})
    assert sum(part(amount, upper - lower) for lower, upper in pairwise(edges)) <= amount


@given(amount=st.integers(-(10**7), -1), share=shares)
def test_a_part_is_never_negative(amount, share):
    assert part(amount, share) == 0


@many
@given(now=moments, share=st.fractions(0, 3))
def test_a_part_of_a_cycle_is_longer_than_nothing_and_at_most_a_cycle(now, share):
    period = Period.share(now, share)
    assert now < period.end <= months_after(now, 1)
    assert period.longer().end > period.end


ASK = """
select at, (at at time zone 'utc' + interval '1 month') at time zone 'utc' as by_utc, at + interval '1 month' as by_session
from unnest($1::timestamptz[]) as at
"""


@pytest.mark.parametrize("zone", ZONES)
async def test_postgres_keeps_the_same_instants_in_every_session(dsn, zone):
    """What is computed here is stored as it is; what Postgres itself calls a month depends on who asks."""
    anchors = [datetime(2024, 1, 1, hour, 30, tzinfo=UTC) + day * DAY for day in range(400) for hour in (1, 20)]
    connection = await asyncpg.connect(dsn, server_settings={"timezone": zone})
    rows = await connection.fetch(ASK, anchors)
    await connection.close()
    assert [row["at"] for row in rows] == anchors
    assert [row["by_utc"] for row in rows] == [months_after(anchor, 1) for anchor in anchors]
    assert any(row["by_session"] != row["by_utc"] for row in rows) == (zone != "UTC")
