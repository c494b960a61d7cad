"""A pool of five keys of which four are faulty, each class in turn: nobody notices, and it heals by itself.

FAULT_FULL=1 pytest -s prints how long each took to heal, and how long the one order waited beside five hundred.
"""

from __future__ import annotations

import os

import pytest

from limner.actors.providers.base import Fault
from limner.sql import attempts, generations
from limner.sql.keys import LookAfterKeys
from tests.faults.crew import SETTLED
from tests.faults.customers import sign_up

FULL = bool(os.environ.get("FAULT_FULL"))
JOBS = 2000 if FULL else 40
WORKERS = 4 if FULL else 2
PATIENCE = 900 if FULL else 60
SLOTS = 16 if FULL else 4
EVERY = 10.0 if FULL else 1.0
"""Seconds between two probes of a key: 1 to 1.9 times as many, so that they spread."""
TWO_INTERVALS = 2 * max(EVERY, 2.75)
"""Whoever breaks down rests for 5 to 5.5 s, however often keys are probed."""
ROOM = 0 if FULL else 8
"""Seconds that a loaded machine may take for it, in the quick form."""

pytestmark = pytest.mark.timeout(1800 if FULL else 120)

FAULTY = {
    Fault.AUTH_DEAD: "auth_dead",
    Fault.BALANCE_EXHAUSTED: "balance_exhausted",
    Fault.RATE_LIMITED: "rate_limited after=0.6",
    Fault.DAILY_QUOTA: "daily_quota after=0.6",
    Fault.MODEL_UNAVAILABLE: "model_unavailable after=0.6",
    Fault.REGION_BLOCKED: "region_blocked after=0.6",
    Fault.PROXY_FAILED: "proxy_failed after=0.6",
    Fault.UPSTREAM_5XX: "upstream_5xx after=0.6",
    Fault.NO_IMAGE: "no_image",
    Fault.TIMEOUT_UNKNOWN: "timeout_unknown",
}
ONCE = (Fault.NO_IMAGE, Fault.TIMEOUT_UNKNOWN)
"""Tried with one more key and no other: whether the first was billed, nobody knows."""

# Moments at which a key had more attempts at once than its own slots.
TOO_MANY_AT_ONCE = """
select count(*) from (
    select a.key_id, (select count(*) from attempt as b where b.key_id = a.key_id and b.started_at <= a.started_at
        and coalesce(b.finished_at, 'infinity') > a.started_at) as n
    from attempt as a
) as t
join provider_key as k on k.id = t.key_id where t.n > k.concurrency
"""
# Two attempts on one key that were both on trial at the same time, after the same rest.
TRIALS_AT_ONCE = """
select count(*) from attempt as a join attempt as b on b.key_id = a.key_id and b.id > a.id
where a.considered #>> '{chosen,3}' = 'key' and b.considered #>> '{chosen,3}' = 'key'
    and b.started_at < a.finished_at
"""
# Seconds until the last of these keys may be tried again, as far as anybody has put it off.
PUT_OFF = """
select coalesce(max(extract(epoch from t.until - now())), 0)::float8 from (
    select id as key_id, case when state = 'cooldown' then rests_until else probe_at end as until from provider_key
    union all select key_id, until from key_rest
    union all select key_id, until from route_rest
    union all select k.id, g.until from group_rest as g
        join provider_key as k on k.provider_id = g.provider_id and k.account_group = g.account_group
) as t
where t.key_id = any($1::bigint[])
"""
# Seconds from a moment until each of these keys had painted again.
HEALED = """
select extract(epoch from max(t.first) - $1::timestamptz)::float8 from (
    select min(finished_at) as first from attempt
    where key_id = any($2::bigint[]) and fault is null and finished_at > $1 group by key_id
) as t
"""
# Seconds from an order of one picture until a key was given to it.
BEGUN = """
select extract(epoch from min(a.started_at) - j.created_at)::float8 from job as j join attempt as a on a.job_id = j.id
where j.generation_id = $1 group by j.id
"""
TWICE = """
select count(*) from (select job_id, key_id from attempt where fault is not null group by 1, 2 having count(*) > 1) as t
"""


async def pool_of_five(stage, switch: str) -> tuple[list[int], int]:
    faulty = [await stage.key(switch, group=f"account {n}", concurrency=4) for n in range(4)]
    return faulty, await stage.key("slow seconds=0.02", group="account 4", concurrency=SLOTS)


@pytest.mark.parametrize("fault", [fault for fault in FAULTY if fault not in ONCE])
async def test_nobody_notices_and_every_living_key_serves_again(audited, db, fault):
    stage = audited
    faulty, _ = await pool_of_five(stage, FAULTY[fault])
    await order(stage, JOBS)
    async with stage.workers(WORKERS, key_probe_seconds=EVERY, key_most_failures=3), stage.looked_after(2):
        await stage.until(SETTLED, within=PATIENCE)
        states = await db.fetch("select state, count(*) as n from job group by state")
        assert {row["state"]: row["n"] for row in states}["delivered"] >= 0.995 * JOBS
        assert await db.fetchval("select count(*) from attempt where fault = $1", fault) >= 4
        assert await db.fetchval(TOO_MANY_AT_ONCE) == 0, "slots hold, each key's own"

        await db.execute("update provider_key set switch = 'slow seconds=0.02'")
        ended = await db.fetchval("select now()")
        assert await db.fetchval(PUT_OFF, faulty) <= TWO_INTERVALS, "nobody is put off for longer"
        healed = """
        select count(distinct key_id) = 4 from attempt
        where started_at > $1 and fault is null and finished_at is not null and key_id = any($2::bigint[])
        """
        async with stage.traffic():
            await stage.until(healed, ended, faulty, within=TWO_INTERVALS + 30)
        took = await db.fetchval(HEALED, ended, faulty)
        print(
            f"\n{fault}: all four painted again {took:.2f} s after it was over; two intervals are {TWO_INTERVALS:g} s"
        )
        assert took <= TWO_INTERVALS + ROOM
        assert await db.fetchval(TRIALS_AT_ONCE) == 0, "one trial at a time"
        await stage.until(SETTLED, within=PATIENCE)


async def order(stage, count: int) -> None:
    for first in range(0, count, 8):
        await stage.order(count=min(8, count - first), deadline=3600)


@pytest.mark.parametrize("fault", ONCE)
async def test_what_may_have_been_billed_is_tried_once_more_and_its_cost_is_possible(audited, db, fault):
    stage = audited
    await db.execute("update model set cost_micros = 40000 where id = 'simulator'")
    for _ in range(3):
        await stage.key(FAULTY[fault])
    await order(stage, 8)
    async with stage.workers(2):
        await stage.until(SETTLED, within=60)
    assert await stage.faults() == [fault] * 16
    assert await db.fetchval("select sum(possible_micros) from attempt where cost_micros = 0") == 16 * 40000
    assert (await stage.balance()).spent == 0


@pytest.mark.parametrize("fault", [Fault.MODERATION_INPUT, Fault.MODERATION_OUTPUT, Fault.INVALID_REQUEST])
async def test_what_the_order_is_to_blame_for_is_tried_exactly_once(audited, db, fault):
    stage = audited
    for _ in range(5):
        await stage.key(fault)
    await order(stage, JOBS if FULL else 16)
    async with stage.workers(WORKERS):
        await stage.until(SETTLED, within=PATIENCE)
    tries = await db.fetch("select count(*) as n from attempt where fault = $1 group by job_id", fault)
    assert {row["n"] for row in tries} == {1}
    assert await db.fetchval("select count(*) from job where state = 'failed'") == len(tries)
    assert not await db.fetch("select from provider_key where state <> 'active'")
    assert (await stage.balance()).spent == 0


async def test_a_refusal_holds_over_a_crash_before_it_was_told(audited, db):
    stage = audited
    await stage.key(Fault.MODERATION_INPUT)
    await stage.key()
    generation = await stage.order()
    (job,) = await stage.jobs(1)
    lease = await stage.leased(job)
    await attempts.answered(db, lease.attempt_id, fault=Fault.MODERATION_INPUT)  # and here the worker dies
    async with stage.workers():
        await stage.until(SETTLED)
    assert await stage.ends(generation) == ["failed"]
    assert (await stage.faults())[0] == Fault.MODERATION_INPUT
    assert await db.fetchval("select count(*) from attempt where fault is null") == 0, "nobody else was asked"
    reason = await db.fetchval("select reason from generation where id = $1", generation)
    assert reason == "The painter refused this description because of its content rules."


async def test_no_request_asks_a_key_twice(audited, db):
    stage = audited
    for switch in ("rate_limited after=60", "upstream_5xx after=60", "model_unavailable after=60", "auth_dead"):
        await stage.key(switch)
    await stage.key()
    await order(stage, 40)
    async with stage.workers(2):
        await stage.until(SETTLED, within=60)
    assert await db.fetchval(TWICE) == 0


async def test_a_key_that_fails_over_and_over_wants_a_look_and_comes_back_by_a_probe(audited, db):
    stage = audited
    bad = await stage.key("upstream_5xx")
    await stage.key("slow seconds=0.02")
    async with stage.workers(1, key_most_failures=1, key_probe_seconds=1), stage.traffic():
        await stage.until("select state = 'manual_review' from provider_key where id = $1", bad)
        await stage.switch(bad, "ok")
        async with stage.looked_after():
            await stage.until("select state = 'active' from provider_key where id = $1", bad)
    changes = await db.fetch(
        "select state_before || ' ' || state_after as c from key_event where key_id = $1 and model_id is null order by id",
        bad,
    )
    assert [row["c"] for row in changes] == [
        "active manual_review", "manual_review cooldown", "cooldown active",
    ]  # fmt: skip


async def test_without_the_operators_leave_a_key_waits_for_an_admin(audited, db):
    stage = audited
    key = await stage.key("balance_exhausted")
    await db.execute("update provider_key set returns_by_probe = false where id = $1", key)
    await stage.key("slow seconds=0.02")
    async with stage.workers(1), stage.traffic():
        await stage.until("select state = 'out_of_funds' from provider_key where id = $1", key)
        await stage.switch(key, "ok")
        await db.execute("update provider_key set probe_at = now() - interval '1 s' where id = $1", key)
        await stage.locksmith().receive(LookAfterKeys())
        assert await stage.key_state(key) == "out_of_funds"


async def test_an_order_of_one_starts_within_two_job_lengths_beside_five_hundred(audited, db):
    stage, length = audited, 1.0 if FULL else 0.3
    for _ in range(2):
        await stage.key(f"slow seconds={length}", concurrency=2)
    await db.execute("update plan set concurrency = 4")
    await order(stage, 500 if FULL else 124)
    ((somebody, _),) = await sign_up(db, 1)
    async with stage.workers(4, worker_slots=4):
        await stage.until("select count(*) > 6 from job where state = 'delivered'")
        late = await stage.order(who=somebody)
        await stage.until("select state = 'delivered' from job where generation_id = $1", late)
        before = """
        select count(*) from job as j, job as mine where mine.generation_id = $1 and j.account_id <> mine.account_id
            and j.started_at > mine.created_at and j.started_at < mine.started_at
        """
        assert await db.fetchval(before, late) <= 8, "two rounds of the four slots that there are"
        waited = await db.fetchval(BEGUN, late)
        print(f"\nit began {waited:.2f} s after it was ordered; two job lengths are {2 * length:g} s")
        assert waited <= 2 * length + ROOM
        assert await db.fetchval(TOO_MANY_AT_ONCE) == 0, "slots hold with four workers"
        for row in await db.fetch("select id from generation where state in ('queued', 'running')"):
            await generations.cancel(db, row["id"], stage.alice)
        await stage.until(SETTLED)
