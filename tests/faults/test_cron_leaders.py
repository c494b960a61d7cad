"""Who keeps the schedule is frozen in a tick, another takes over, and the first one goes on: each tick is sent once."""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.faults.clerk import ENTRIES
from tests.faults.crew import frozen, happens, until
from tests.faults.office import DONE, read

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for twenty frozen leaders, FAULT_SEED=… to repeat."""
SEED = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))
LEADERS = 20 if FULL else 2
EVERY = 0.3
"""Seconds from tick to tick."""

pytestmark = pytest.mark.timeout(600 if FULL else 120)

# Who sent what in one and the same transaction.
WITNESSES = """
create table ticked (at timestamptz not null, act xid8 not null default pg_current_xact_id());
create table rung (key text not null, act xid8 not null default pg_current_xact_id());
create function see_tick() returns trigger language plpgsql as $$
begin insert into ticked (at) values (new.last_at); return null; end $$;
create function see_ring() returns trigger language plpgsql as $$
begin insert into rung (key) values (new.key); return null; end $$;
create trigger see_tick after insert or update on schedule for each row execute function see_tick();
create trigger see_ring after insert on message for each row when (new.mailbox = 'bell') execute function see_ring();
"""
TWICE = "select at from ticked group by at having count(*) > 1"
STRAY = """
select key from rung
where act not in (select act from ticked) or (select count(*) from rung as other where other.act = rung.act) > 1
"""


async def test_a_frozen_leader_and_its_heir_send_each_tick_once(office, db):
    dice = random.Random(SEED)
    print(f"FAULT_SEED={SEED}")
    await db.execute(ENTRIES + WITNESSES)
    office.start("hear")
    leader = None
    for number in range(LEADERS + 1):
        so_far = await db.fetchval("select count(*) from ticked")
        moment = ("before", "after")[number % 2]
        heir = office.start("ring", EVERY, "" if number == LEADERS else f"{moment} {dice.randint(3, 5)} TICK")
        await _leads(office, heir)
        await until(office.dsn, "select count(*) >= $1 from ticked", so_far + 2)
        if leader is not None:
            await _goes_on(office, leader)
        if number < LEADERS:
            leader = heir
            await frozen(leader)
            await db.execute("update lease set expires_at = now() - interval '1 second'")
    await until(office.dsn, "select count(*) >= $1 from ticked", so_far + 5)
    heir.kill()
    heir.wait()
    await until(office.dsn, DONE)
    ticks, rings = await db.fetchval("select count(*) from ticked"), await db.fetchval("select count(*) from rung")
    print(f"{LEADERS} leaders frozen; {ticks} ticks, {rings} rings")
    assert await db.fetch(TWICE) == []
    assert await db.fetch(STRAY) == []
    assert await db.fetchval("select count(*) from entry") == rings
    assert rings > ticks / 2, "a tick is passed over only while the ring before it has not been heard"


async def _leads(office, leader):
    await happens(lambda: office.owner(leader) != "")
    await until(office.dsn, "select owner = $1::uuid from lease where name = 'schedule'", office.owner(leader))


async def _goes_on(office, leader):
    """It still believes that it leads, until Postgres has told it otherwise."""

    def asked():
        return len(read(office.log_of(office.processes.index(leader))))

    so_far = asked()
    leader.send_signal(signal.SIGCONT)
    await happens(lambda: asked() > so_far)
    assert leader.poll() is None, office.output()
    leader.kill()
    leader.wait()
