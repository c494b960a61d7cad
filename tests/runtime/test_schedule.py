"""The schedule and its lease: each tick once, whoever leads."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import anyio
import asyncpg
import pytest

from limner.runtime import lease
from limner.runtime.mailbox import SENT, Message
from limner.runtime.presence import Presence
from limner.runtime.schedule import Cron, Every, Schedule

PAGE = Path(__file__).parents[2] / "docs/how-to/schedule-a-message.md"


@dataclass(frozen=True)
class Ring(Message):
    """Ring the bell."""

    mailbox = "bells"


@dataclass(frozen=True)
class Chime(Message):
    """Ring the small bell."""

    mailbox = "chimes"
    tune: str


def schedule_of(db, *entries) -> Schedule:
    return Schedule(db, Presence(db, "test", lease=3), entries)


async def bells(db) -> int:
    return await db.fetchval("select count(*) from message where mailbox = 'bells'")


async def last_tick(db, name="noon") -> datetime:
    return await db.fetchval("select last_at from schedule where name = $1", name)


async def let_pass(db, **gone) -> None:
    """All that the schedule has seen lies further back, and what it sent is done."""
    await db.execute("update schedule set last_at = last_at - $1::interval", timedelta(**gone))
    await db.execute("delete from message")


async def minutes_ago(db, minutes: float) -> str:
    """The cron expression of that minute, every day."""
    at = await db.fetchval("select now()") - timedelta(minutes=minutes)
    return f"{at.minute} {at.hour} * * *"


async def test_two_leaders_by_mistake_send_each_tick_once(db):
    schedules = [schedule_of(db, Every("noon", 60, Ring())) for _ in range(5)]
    for _ in range(3):
        async with anyio.create_task_group() as group:
            for schedule in schedules:
                group.start_soon(schedule.send_due)
        assert await bells(db) == 1
        await let_pass(db, seconds=61)


async def test_a_tick_that_another_leader_took_after_we_looked_is_not_sent_again(db):
    entry = Cron("noon", await minutes_ago(db, 1), Ring())
    frozen, other = schedule_of(db, entry), schedule_of(db, entry)
    await frozen.send_due()
    await let_pass(db, days=1)
    looked = await db.fetch("select now() as now, name, last_at from schedule")
    assert await other.send_due() == 1
    await db.execute("delete from message")  # it is even done already
    frozen._note(looked)
    assert await frozen._send_due() == 0
    assert await bells(db) == 0


async def test_the_next_tick_comes_when_its_time_has_come(db):
    schedule = schedule_of(db, Every("noon", 60, Ring()))
    assert (await schedule.send_due(), await schedule.send_due()) == (1, 0)
    await let_pass(db, seconds=61)
    assert await schedule.send_due() == 1


async def test_an_interval_keeps_its_rhythm_however_late_it_is(db):
    schedule = schedule_of(db, Every("noon", 60, Ring()))
    await schedule.send_due()
    began = await last_tick(db)
    await let_pass(db, seconds=60 * 7 + 20)
    assert (await schedule.send_due(), await schedule.send_due()) == (1, 0)  # seven, made up for by one
    assert await last_tick(db) - began == timedelta(seconds=-20)


async def test_a_tick_that_nobody_handled_yet_is_not_piled_up(db):
    schedule = schedule_of(db, Every("noon", 60, Ring()))
    await schedule.send_due()
    await db.execute("update schedule set last_at = now() - interval '1 hour'")
    await schedule.send_due()
    assert await bells(db) == 1


async def test_a_new_cron_entry_has_nothing_to_make_up_for(db):
    schedule = schedule_of(db, Cron("noon", await minutes_ago(db, 0), Ring()))
    assert await schedule.send_due() == 0
    assert await bells(db) == 0


async def test_a_cron_tick_stands_in_the_row_with_its_own_time(db):
    schedule = schedule_of(db, Cron("noon", "* * * * *", Chime("Westminster"), zone="Europe/Berlin"))
    await schedule.send_due()
    await let_pass(db, minutes=2)
    assert await schedule.send_due() == 1
    tick, now = await last_tick(db), await db.fetchval("select now()")
    assert tick <= now < tick + timedelta(minutes=2) and (tick.second, tick.microsecond) == (0, 0)
    assert await db.fetchval("select payload from message where mailbox = 'chimes'") == {"tune": "Westminster"}


@pytest.mark.parametrize("missed, sent", [("once", 1), ("skip", 0)])
async def test_missed_ticks_are_sent_once_for_all_or_not_at_all(db, missed, sent):
    schedule = schedule_of(db, Cron("noon", await minutes_ago(db, 10), Ring(), missed=missed))
    await schedule.send_due()
    await let_pass(db, days=5)
    assert (await schedule.send_due(), await schedule.send_due()) == (sent, 0)
    assert await bells(db) == sent


async def test_a_tick_a_little_late_is_not_missed(db):
    when = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    entry = Cron("noon", "0 9 * * *", Ring(), missed="skip")
    last = when - timedelta(days=1)
    assert entry.tick(last, when - timedelta(microseconds=1)) is None
    assert entry.tick(last, when + timedelta(seconds=59)) == (when, True)
    assert entry.tick(last, when + timedelta(seconds=61)) == (when, False)


async def test_nine_in_berlin_is_nine_in_berlin_in_summer_and_in_winter(db):
    entry = Cron("open", "0 9 * * 1-5", Ring(), zone="Europe/Berlin")
    friday = datetime(2026, 10, 23, 7, tzinfo=UTC)
    assert entry.following(friday) == datetime(2026, 10, 26, 8, tzinfo=UTC)


async def test_nothing_is_sent_before_the_database_says_that_it_is_time(db):
    schedule = schedule_of(db, Every("noon", 60, Ring()))
    await schedule.send_due()
    await db.execute("delete from message")
    rows = await db.fetch("select now() + interval '2 minutes' as now, name, last_at from schedule")
    schedule._note(rows)
    assert await schedule._send_due() == 0
    assert await bells(db) == 0


@asynccontextmanager
async def running(*schedules):
    """Schedules that compete for the lease; yields what wakes the bells' actor."""
    db = schedules[0].db
    rung = asyncio.Event()
    connection = await asyncpg.connect(db.dsn)
    await connection.add_listener(SENT, lambda *heard: rung.set() if heard[3] == "bells" else None)
    async with anyio.create_task_group() as group:
        for schedule in schedules:
            group.start_soon(schedule.run)
        with anyio.fail_after(30):
            yield rung
        group.cancel_scope.cancel()
    await connection.close()


async def test_one_leads_and_sends_on_time_and_leaves_the_lease_behind(db):
    schedules = [schedule_of(db, Every("noon", 0.4, Ring())) for _ in range(3)]
    began = time.monotonic()
    async with running(*schedules) as rung:
        for _ in range(4):
            await rung.wait()
            rung.clear()
            await db.execute("delete from message")
        took = time.monotonic() - began
        leader = await db.fetchval("select owner from lease where name = 'schedule'")
        assert [each.presence.id for each in schedules].count(leader) == 1
        assert sum(each._seen is not None for each in schedules) == 1
    assert 1.1 < took < 10  # at once, then in its rhythm; looks at the lease alone would take fifteen
    assert await db.fetchval("select count(*) from lease") == 0


FORCE = (
    "create table ticked (at timestamptz)",
    "create table sent (kind text)",
    "create table led (owner uuid)",
    """create function note_tick() returns trigger language plpgsql as $$
       begin insert into ticked values (new.last_at); return new; end $$""",
    """create function note_sent() returns trigger language plpgsql as $$
       begin insert into sent values (new.kind); return null; end $$""",  # done at once: no key hides a second one
    """create function free_lease() returns trigger language plpgsql as $$
       begin insert into led values (new.owner); delete from lease; return new; end $$""",
    "create trigger note_tick after insert or update on schedule for each row execute function note_tick()",
    "create trigger note_sent before insert on message for each row execute function note_sent()",
    "create trigger free_lease after insert or update on lease for each row execute function free_lease()",
)


async def test_three_that_all_lead_by_force_share_the_ticks(db):
    for statement in FORCE:
        await db.execute(statement)
    schedules = [schedule_of(db, Every("noon", 0.2, Ring())) for _ in range(3)]
    async with running(*schedules) as rung:
        while await db.fetchval("select count(*) from sent") < 12:
            await rung.wait()
            rung.clear()
    assert await db.fetchval("select count(distinct owner) from led") == 3
    ticks = [row["at"] for row in await db.fetch("select at from ticked order by at")]
    assert len(ticks) == len(set(ticks)) == await db.fetchval("select count(*) from sent")
    assert {(tick - ticks[0]) % timedelta(seconds=0.2) for tick in ticks} == {timedelta(0)}


async def test_a_leader_asks_only_to_renew_its_lease_and_for_what_is_due(db):
    counting = Counting(db)
    schedule = schedule_of(counting, Every("noon", 3600, Ring()), Cron("never", "0 0 29 2 *", Ring()))
    assert 0 < await schedule._round() <= 6
    assert counting.asked == 2  # the lease, and both entries for the first time
    for _ in range(20):  # woken for nothing
        assert await schedule._round() <= 6
    assert counting.asked == 2
    idle = schedule_of(counting, Every("noon", 3600, Ring()))
    assert await idle._round() == 5
    assert counting.asked == 3  # whoever doesn't lead asks once for each pause


async def test_a_leader_that_sends_renews_its_lease_by_the_way(db):
    counting = Counting(db)
    schedule = schedule_of(counting, Every("noon", 0.2, Ring()), Every("dusk", 0.2, Chime("Westminster")))
    pause = await schedule._round()
    await db.execute("update lease set expires_at = now() + interval '1 second'")
    for asked in (3, 4):
        await anyio.sleep(pause)
        pause = await schedule._round()
        assert counting.asked == asked, "both ticks and the lease are one statement"
    assert await db.fetchval("select expires_at > now() + interval '9 seconds' from lease")


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, db) -> None:
        self.db = db
        self.asked = 0

    def __getattr__(self, name):
        self.asked += name in {"fetch", "fetchval", "fetchrow", "execute", "transaction"}
        return getattr(self.db, name)


@pytest.mark.parametrize(
    "make, complaint",
    [
        (lambda: Cron("noon", "0 25 * * *", Ring()), "noon: hour '25'"),
        (lambda: Cron("noon", "@daily", Ring(), zone="Europe/Atlantis"), "noon: zone 'Europe/Atlantis'"),
        (lambda: Cron("noon", "@daily", Ring(), zone="../passwd"), "noon: zone '../passwd'"),
        (lambda: Cron("noon", "@daily", Ring(), zone="Europe"), "noon: zone 'Europe'"),
        (lambda: Cron("noon", "@daily", Ring(), missed="twice"), "noon: missed 'twice'"),
        (lambda: Every("noon", 0, Ring()), "noon: seconds 0"),
        (lambda: schedule_of(None, Every("noon", 1, Ring()), Cron("noon", "@daily", Ring())), "same name"),
    ],
)
def test_what_cannot_be_is_refused_at_once_with_its_name_and_value(make, complaint):
    with pytest.raises(ValueError) as caught:
        make()
    assert complaint in str(caught.value)


async def test_the_page_about_it_works_as_printed(db):
    """docs/how-to/schedule-a-message.md, as somebody would paste it."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 25
    room = {"__name__": __name__}
    exec(code, room)
    schedule = schedule_of(db, *room["SCHEDULE"])
    await schedule.send_due()
    await let_pass(db, days=8)
    await schedule.send_due()
    sent = {row["period"] for row in await db.fetch("select payload ->> 'period' as period from message")}
    assert sent - {"week"} == {"hour", "day"}  # the week's is skipped, except right after midnight on Sunday
    assert await db.fetchval("select count(*) from schedule where last_at > now() - interval '7 days'") == 3


async def test_a_lease_has_one_holder_until_it_runs_out_or_is_left(db):
    one, two = uuid4(), uuid4()
    assert await lease.take(db, "crown", one, 60)
    assert not await lease.take(db, "crown", two, 60)
    assert await lease.take(db, "crown", one, 60)
    await lease.leave(db, "crown", one)
    assert await lease.take(db, "crown", two, 60)
    await db.execute("update lease set expires_at = now() - interval '1 second'")
    assert await lease.take(db, "crown", one, 60)
