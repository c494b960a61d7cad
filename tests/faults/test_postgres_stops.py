"""Postgres ends at once, or is killed, under load: nothing is lost or doubled, no worker restarts, and the pace comes back."""

from __future__ import annotations

import bisect
import os
import signal
import statistics
import time

import asyncpg
import pytest

from tests.faults.clerk import ENTRIES, LEASE
from tests.faults.crew import death_of, until
from tests.faults.office import BEATS, DONE, Office, heartbeats, overlaps, uncounted

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1: three times each, and with the goal for the pace."""
TURNS = 3 if FULL else 1
TAKES = 0.05
SLOTS = 8
"""Of two workers. The slots are the limit, not this machine: SLOTS / TAKES a second at most."""
BACKLOG = 1300 * TURNS + 100
BACK = 5.0
"""Seconds until the pace is that of before, once Postgres is there again. Asked of the long form alone: beside the whole
suite the pace says nothing, and a short look may end before a second at full pace was seen."""

pytestmark = pytest.mark.timeout(300 if FULL else 150)

ENTERED = "select extract(epoch from at)::float8 from entry order by at"
FILL = """
insert into message (mailbox, kind, payload, max_attempts)
select 'book', 'Enter', jsonb_build_object('number', -n, 'takes', $2::float8), 50 from generate_series(1, $1) as n
"""


async def test_after_a_stop_of_postgres_the_pace_comes_back_and_nothing_is_lost_or_doubled(cluster, tmp_path):
    await cluster.start()
    await cluster.furnish(ENTRIES + BEATS)
    await _execute(cluster.dsn, FILL, BACKLOG, TAKES)
    office = Office(cluster.dsn, tmp_path)
    try:
        workers = [office.start("keep"), office.start("keep")]
        producer = office.start("order", 40 * TURNS, 10, 0.01)
        for turn in range(TURNS):
            for how in (signal.SIGQUIT, signal.SIGKILL):
                await _survives(cluster, how, turn)
        assert await death_of(producer) == 0
        await until(cluster.dsn, DONE, within=90)
        assert [worker.poll() for worker in workers] == [None, None], office.output()
        await _nothing_is_lost_or_doubled(cluster.dsn, office)
    finally:
        office.dismiss()


async def _survives(cluster, how, turn):
    """One stop, in the midst of the work: 2 seconds of it are what the pace is measured by."""
    began, so_far = time.time(), await _value(cluster.dsn, "select count(*) from entry")
    await until(cluster.dsn, "select count(*) >= $1 from entry", so_far + 2 * SLOTS / TAKES)
    stopped = time.time()
    await cluster.stop(how)
    await cluster.start()
    back = time.time()
    await until(cluster.dsn, "select count(*) >= $1 from entry", so_far + 3.5 * SLOTS / TAKES, within=60)
    times = [row[0] for row in await _rows(cluster.dsn, ENTERED)]
    pace = _pace([at for at in times if began + 0.5 <= at < stopped])
    took = _back_at(times, back, 0.95 * pace) - back
    print(
        f"{how.name} {turn}: {pace:.0f}/s before, away for {back - stopped:.2f} s, that pace again {took:.2f} s after"
    )
    assert took <= BACK or not FULL


def _pace(times):
    """A second: the median over half seconds."""
    first = times[0]
    halves = [
        sum(first + n / 2 <= at < first + (n + 1) / 2 for at in times) for n in range(int((times[-1] - first) * 2))
    ]
    return 2 * statistics.median(halves)


def _back_at(times, since, pace):
    """The first moment from which on a second saw as many as that."""
    for place, at in enumerate(times):
        if at >= since and bisect.bisect_left(times, at + 1) - place >= pace:
            return at
    return float("inf")


async def _nothing_is_lost_or_doubled(dsn, office):
    entered = [row["number"] for row in await _rows(dsn, "select number from entry")]
    assert len(entered) == len(set(entered)), "entered twice"
    assert set(range(-BACKLOG, 0)) | office.numbers("sent") <= set(entered), "acknowledged, and lost"
    assert await _value(dsn, "select count(*) from dead_letter") == 0
    assert await _value(dsn, "select count(*) from worker") == 2, "a worker was started again"
    connection = await asyncpg.connect(dsn)
    beats = await heartbeats(connection)
    await connection.close()
    events = office.events("start", "stopped", "end")
    assert overlaps(events, beats, LEASE) == []
    assert uncounted(events) == []


async def _rows(dsn, sql, *args):
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(sql, *args)
    await connection.close()
    return rows


async def _value(dsn, sql):
    return (await _rows(dsn, sql))[0][0]


async def _execute(dsn, sql, *args):
    await _rows(dsn, sql, *args)
