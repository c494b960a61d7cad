"""Which key is taken: slots, minutes, weights, rests, and one trial at a time, from rows, whoever asks at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from uuid import UUID

import pytest

from limner.runtime import mailbox
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.sql import attempts, jobs, rests
from limner.sql.attempts import Lease, Wait
from tests.pool.conftest import PoolStage

REFER = """
with sent as (
    insert into upload (account_id, storage_key, sha256, mime, width, height, bytes)
    select account_id, 'uploads/one.png', 'none', 'image/png', 8, 8, 100 from generation where id = $1 returning id
)
insert into generation_reference (generation_id, position, upload_id) select $1, 1, id from sent
"""
STAYED = "update key_wait set seen_at = now() + interval '1 minute'"
"""Who waits is still there, however slowly the test goes on."""
WAITED = f"{STAYED}, since = since - interval '1 s'"
"""And has waited for longer than a moment."""
PAST = "update key_rest set until = now() - interval '1 s'"


async def test_slots_hold_among_four_workers_that_ask_at_once(stage, config, vault):
    for _ in range(2):
        await stage.key(concurrency=3)
    jobs = await stage.jobs(40)
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_database(stage.db.dsn, role="test", pool=4)) for _ in range(4)]
        workers = [PoolStage(each, config, vault, stage.alice) for each in opened]
        found = await asyncio.gather(*(workers[place % 4].lease(job) for place, job in enumerate(jobs)))
    leased = [lease for lease in found if isinstance(lease, Lease)]
    assert len(leased) == 6
    assert {lease.key_id: 3 for lease in leased} == dict.fromkeys({lease.key_id for lease in leased}, 3)
    assert all(wait == Wait(back=0, is_busy=True) for wait in found if isinstance(wait, Wait))
    assert set((await stage.verdicts()).values()) == {"no_slot"}


async def test_a_key_begins_no_more_in_a_minute_than_it_may(stage, db):
    key = await stage.key(concurrency=10)
    await db.execute("update provider_key set rpm = 2 where id = $1", key)
    jobs = await stage.jobs(4)
    for job in jobs[:2]:
        await attempts.answered(db, (await stage.leased(job)).attempt_id)
    wait = await stage.lease(jobs[2])
    assert isinstance(wait, Wait)
    assert wait.is_busy
    assert 55 < wait.back <= 61
    assert await stage.verdicts() == {key: "rpm"}
    await db.execute("update key_second set at = at - interval '61 seconds'")
    assert (await stage.leased(jobs[3])).key_id == key


async def test_a_heavy_key_is_taken_more_often(stage, db):
    light, heavy = [await stage.key(concurrency=1000) for _ in range(2)]
    await db.execute("update provider_key set weight = 100 where id = $1", heavy)
    taken = [(await stage.leased(job)).key_id for job in await stage.jobs(24)]
    assert taken.count(heavy) > taken.count(light) > 0


async def test_no_key_is_tried_twice_by_one_request(stage):
    one, two = [await stage.key() for _ in range(2)]
    (job,) = await stage.jobs(1)
    first = await stage.leased(job)
    second = await stage.lease(job, tried=[first.key_id])
    assert {first.key_id, second.key_id} == {one, two}
    assert await stage.lease(job, tried=[one, two]) == Wait(back=0, is_busy=False)
    assert await stage.verdicts() == {one: "tried", two: "tried"}


async def test_after_a_rest_one_picture_tells_for_all(stage, db):
    key = await stage.key(concurrency=8)
    await rests.rest(db, key, "simulator", 60, "rate_limited: a test")
    jobs = await stage.jobs(6)
    wait = await stage.lease(jobs[0])
    assert 55 < wait.back <= 60
    await db.execute(PAST)
    trial = await stage.leased(jobs[1])
    assert await stage.lease(jobs[2]) == Wait(back=0, is_busy=True)
    assert await stage.verdicts() == {key: "on_trial_for_model"}
    await attempts.answered(db, trial.attempt_id)
    for job in jobs[3:]:
        assert (await stage.leased(job)).key_id == key, "the whole queue may go on"


async def test_a_trial_that_nobody_ends_runs_out(stage):
    key = await stage.key(concurrency=8)
    await rests.rest(stage.db, key, "simulator", 0, "a test")
    jobs = await stage.jobs(2)
    trial = await stage.leased(jobs[0])
    assert isinstance(await stage.lease(jobs[1]), Wait)
    await stage.db.execute("update attempt set expires_at = now() where id = $1", trial.attempt_id)
    assert isinstance(await stage.lease(jobs[1]), Lease)


async def test_success_of_an_older_picture_does_not_shorten_a_rest(stage, db):
    key = await stage.key(concurrency=8)
    jobs = await stage.jobs(3)
    older, failing = await stage.leased(jobs[0]), await stage.leased(jobs[1])
    await attempts.close(db, failing.attempt_id, fault="rate_limited")
    await rests.rest(db, key, "simulator", 60, "rate_limited", attempt_id=failing.attempt_id)
    await attempts.answered(db, older.attempt_id)
    assert isinstance(await stage.lease(jobs[2]), Wait), "the provider said how long"


async def test_failures_at_the_same_time_count_once(stage, db):
    key = await stage.key(concurrency=8)
    leases = [await stage.leased(job) for job in await stage.jobs(6)]
    for lease in leases:
        await rests.rest(db, key, "simulator", 60, "upstream_5xx", attempt_id=lease.attempt_id)
    assert await db.fetchval("select failures from provider_key where id = $1", key) == 1


async def test_a_rest_is_never_shortened_by_a_later_one(stage, db):
    key = await stage.key()
    await rests.rest(db, key, "simulator", 600, "daily_quota")
    await rests.rest(db, key, "simulator", 5, "upstream_5xx")
    wait = await stage.lease((await stage.jobs(1))[0])
    assert wait.back > 590


async def test_keys_of_one_project_are_tired_together_where_the_provider_counts_so(stage, db):
    tired, sibling = [await stage.key(group="project one") for _ in range(2)]
    fresh = await stage.key(group="project two")
    jobs = await stage.jobs(5)
    lease = await stage.leased(jobs[0])
    await rests.rest(db, tired, "simulator", 60, "rate_limited", attempt_id=lease.attempt_id, by_group=True)
    assert {(await stage.leased(job)).key_id for job in jobs[1:4]} == {fresh}
    await attempts.close(db, lease.attempt_id, fault="rate_limited")
    await db.execute("update group_rest set until = now() - interval '1 s'")
    await db.execute("update provider_key set state = 'disabled' where id = $1", fresh)
    assert (await stage.leased(jobs[4])).key_id in (tired, sibling)
    assert await stage.lease(jobs[0]) == Wait(back=0, is_busy=True)
    assert set((await stage.verdicts()).values()) == {"group_on_trial", "disabled"}, "one trial for the whole project"


@pytest.mark.parametrize("state", ["out_of_funds", "manual_review", "disabled"])
async def test_when_no_key_comes_back_by_itself_nobody_knows_until_when(stage, db, state):
    key = await stage.key()
    (job,) = await stage.jobs(1)
    await db.execute("update provider_key set state = $1", state)
    assert await stage.lease(job) == Wait(back=None, is_busy=False)
    assert (await stage.verdicts())[key] == state


async def test_what_was_considered_stays_small_however_many_keys_there_are(stage, db):
    for _ in range(70):
        await stage.key()
    lease = await stage.leased((await stage.jobs(1))[0])
    considered = await db.fetchval("select considered from attempt where id = $1", lease.attempt_id)
    assert considered["chosen"][0] == lease.key_id
    assert (considered["of"], len(considered["passed"])) == (70, 50)
    assert {verdict for _, verdict, _ in considered["passed"]} == {"later"}


async def test_a_pictures_first_key_comes_with_its_start(stage, db):
    """Within the slots of the key, like any other; a picture with references asks for it when they are at hand."""
    key = await stage.key(concurrency=2)
    await stage.jobs(4)
    worker = Presence(db, "worker", lease=15)
    await worker.beat()
    taken = await mailbox.claim_fairly(db, "painting", worker.id, 4)
    plain, *others = [UUID(item.payload["job_id"]) for item in taken]
    generation = await db.fetchval("select generation_id from job where id = $1", plain)
    await db.execute("update job set deadline = now() + interval '1 minute'")
    assert (await jobs.start(db, plain, taken[0].fence)).key is None, "nobody asked for one"
    begun = [await jobs.start(db, job, item.fence, wants_key=True) for job, item in zip(others, taken[1:], strict=True)]
    assert [isinstance(job.key, Lease) for job in begun] == [True, True, False]
    assert {job.key.key_id for job in begun[:2]} == {key}
    assert begun[2].key == Wait(back=0, is_busy=True)
    assert await db.fetchval("select count(*) from attempt where finished_at is null") == 2
    await db.execute("update attempt set finished_at = now()")
    await db.execute(REFER, generation)
    again = await jobs.start(db, plain, taken[0].fence, wants_key=True)
    assert (again.key, again.references) == (None, ["uploads/one.png"])


async def test_who_has_waited_longer_has_the_next_free_key(stage, db):
    await stage.key(concurrency=1)
    painting, waiting, fresh = await stage.jobs(3)
    lease = await stage.leased(painting)
    assert await stage.lease(waiting) == Wait(back=0, is_busy=True)
    await db.execute(WAITED)
    await attempts.answered(db, lease.attempt_id)
    assert await stage.lease(fresh) == Wait(back=0, is_busy=True), "it is the other one's turn"
    lease = await stage.leased(waiting)
    await attempts.answered(db, lease.attempt_id)
    await stage.leased(fresh)
    assert await db.fetchval("select count(*) from key_wait") == 0


async def test_a_key_beyond_those_that_are_waited_for_is_free(stage, db):
    await stage.key(concurrency=3)
    painting, *busy, waiting, fresh, late = await stage.jobs(6)
    leases = [await stage.leased(job) for job in (painting, *busy)]
    assert isinstance(await stage.lease(waiting), Wait)
    await db.execute(WAITED)
    for lease in leases[:2]:
        await attempts.answered(db, lease.attempt_id)
    await stage.leased(fresh)
    assert isinstance(await stage.lease(late), Wait), "the last one is for who waits"
    await stage.leased(waiting)


async def test_nobody_is_kept_waiting_for_one_who_is_gone(stage, db):
    await stage.key(concurrency=1)
    painting, gone, fresh = await stage.jobs(3)
    lease = await stage.leased(painting)
    assert isinstance(await stage.lease(gone), Wait)
    await db.execute("update key_wait set since = since - interval '9 s', seen_at = seen_at - interval '1.1 s'")
    await attempts.answered(db, lease.attempt_id)
    await stage.leased(fresh)


async def test_who_was_put_back_into_the_line_keeps_its_place_and_no_key(stage, db):
    await stage.key(concurrency=1)
    await stage.jobs(3)
    worker = Presence(db, "worker", lease=15)
    await worker.beat()
    await db.execute("update job set deadline = now() + interval '1 minute'")
    _, (painting, eldest, fresh), _ = await jobs.take(db, worker.id, 3)
    assert isinstance(await stage.lease(eldest.id), Wait)
    await db.execute("update key_wait set since = since - interval '9 s'")
    await jobs.postpone(db, eldest, 0, "all painters are busy")
    await attempts.answered(db, painting.key.attempt_id)
    lease = await stage.leased(fresh.id)
    assert isinstance(await stage.lease(eldest.id), Wait)
    await db.execute(STAYED)
    await attempts.answered(db, lease.attempt_id)
    assert isinstance(await stage.lease(painting.id), Wait), "the eldest is back, and has its place again"
    await stage.leased(eldest.id)


async def test_those_that_begin_together_leave_a_key_to_who_waits(stage, db):
    key = await stage.key(concurrency=1)
    painting, waiting, *_ = await stage.jobs(6)
    await stage.leased(painting)
    assert isinstance(await stage.lease(waiting), Wait)
    await db.execute("delete from message where payload ->> 'job_id' = any($1)", [str(painting), str(waiting)])
    worker = Presence(db, "worker", lease=15)
    await worker.beat()
    await db.execute(WAITED)
    await db.execute("update provider_key set concurrency = 3 where id = $1", key)
    await db.execute("update job set deadline = now() + interval '1 minute'")
    taken, begun, _ = await jobs.take(db, worker.id, 4)
    assert len(taken) == len(begun) == 4
    assert [isinstance(job.key, Lease) for job in begun].count(True) == 1, "of two free ones"
    await stage.leased(waiting)


async def test_many_keys_are_shared_out_by_their_weights(stage, db):
    """As if one after another had asked: the one that rested longest for its weight first."""
    light, heavy, full = await stage.key(concurrency=9), await stage.key(concurrency=9), await stage.key(concurrency=1)
    await db.execute("update provider_key set weight = 2 where id = $1", heavy)
    await stage.jobs(8)
    worker = Presence(db, "worker", lease=15)
    await worker.beat()
    await db.execute("update job set deadline = now() + interval '1 minute'")
    _, begun, is_all = await jobs.take(db, worker.id, 8)
    counts = Counter(job.key.key_id for job in begun)
    assert counts[full] == 1
    assert counts[heavy] > counts[light] >= 2
    assert sum(counts.values()) == 8
    assert is_all
    for job in begun:
        considered = await db.fetchval("select considered from attempt where id = $1", job.key.attempt_id)
        assert (considered["chosen"][0], considered["of"], len(considered["passed"])) == (job.key.key_id, 3, 2)


async def test_what_somebody_else_is_at_is_taken_and_begun_later(stage, db):
    """Whoever cancels locks the generation before its messages; who has the messages must not wait for it."""
    await stage.key(concurrency=9)
    await stage.jobs(2)
    worker = Presence(db, "worker", lease=15)
    await worker.beat()
    generation = await db.fetchval("select generation_id from job limit 1")
    async with db.transaction() as tx:
        await tx.execute("select from generation where id = $1 for update", generation)
        taken, begun, _ = await jobs.take(db, worker.id, 2)
    assert len(taken) == 2
    assert generation not in {job.generation_id for job in begun}
    assert len(begun) == (await db.fetchval("select count(*) from job where generation_id <> $1", generation))


SEEN = """
with seen as (select * from keys_seen($1, 'simulator', $2)),
judged as (select * from key_verdicts($1, 'simulator', '{}', null, $2))
select (select count(*) from seen) as many, (select count(*) from (select * from seen except select * from judged) as t)
    + (select count(*) from (select * from judged except select * from seen) as t) as differ
"""


@pytest.mark.parametrize(
    "change",
    [
        "select 1",
        "update provider_key set state = 'cooldown', rests_until = now() + interval '9 s' where id = $1",
        "update provider_key set rpm = 1 where id = $1",
        "insert into key_rest (key_id, model_id, until, cause) values ($1, 'simulator', now() + interval '9 s', 'a test')",
    ],
)
async def test_the_small_look_at_all_keys_says_what_the_large_one_says(stage, db, change):
    free, full, out, never = [await stage.key(concurrency=count) for count in (3, 1, 5, 2)]
    for job in (await stage.jobs(4))[:3]:
        await stage.leased(job)
    await db.execute("update provider_key set last_used_at = null where id = $1", never)
    await db.execute("update provider_key set state = 'disabled' where id = $1", out)
    await db.execute(change, *([free] if "$1" in change else []))
    provider = await db.fetchval("select provider_id from provider_key where id = $1", full)
    row = await db.fetchrow(SEEN, provider, await db.fetchval("select now()"))
    assert (row["many"], row["differ"]) == (4, 0)
