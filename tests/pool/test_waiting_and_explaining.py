"""When every key rests a job says until when, fails in words when its time is up, and tells why each key was passed over."""

from __future__ import annotations

from datetime import datetime

from limner.actors.janitor import EndLostJobs, Janitor
from limner.actors.pool import Pool
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.sql import explain, funds, margins, studio
from limner.sql.keys import LookAfterKeys
from tests.faults.crew import SETTLED


async def test_a_job_that_waits_says_until_when_and_fails_uncharged_after_its_plans_longest_wait(audited, db, config):
    stage = audited
    await db.execute("update plan set longest_wait_seconds = 60")
    await stage.key("rate_limited after=7200")
    generation = await stage.order(deadline=900)
    left = "select extract(epoch from deadline - now()) from job where generation_id = $1"
    assert await db.fetchval(left, generation) <= 60
    async with stage.workers():
        await stage.until("select line = 'all painters are resting' from job where generation_id = $1", generation)
    job = (await studio.generation(db, generation)).jobs[0]
    assert job.line in ("all painters are resting, back in 120 min", "all painters are resting, back in 2 h 0 min") or (
        job.line.startswith("all painters are resting, back in 2 h ")
    )
    later = "select ready_at < now() + interval '61 seconds' from message where mailbox = 'painting'"
    assert await db.fetchval(later), "it looks again sooner: somebody may have added a key"
    await db.execute("update job set deadline = now() - interval '1 s'")
    async with open_storage(config) as storage:
        await Janitor(
            db, Bus(db), Presence(db, "worker", lease=3), storage=storage, pool=Pool(db, config, stage.vault)
        ).receive(EndLostJobs())
    shown = await studio.generation(db, generation)
    assert (shown.state, shown.reason) == ("failed", "no painter was free in time")
    assert (await stage.balance()).spent == 0


async def test_each_decision_is_explained(audited, db):
    stage = audited
    dry = await stage.key("balance_exhausted")
    tired = await stage.key("rate_limited after=60")
    good = await stage.key()
    generation = await stage.order()
    async with stage.workers():
        await stage.until(SETTLED)
    told = await explain.generation(db, generation)
    first, second, third = told["jobs"][0]["decisions"]
    assert [each["outcome"] for each in (first, second, third)] == ["balance_exhausted", "rate_limited", "painted"]
    assert first["chosen"]["id"] == dry
    assert {each["id"]: each["verdict"] for each in first["passed_over"]} == {tired: "later", good: "later"}
    assert third["chosen"]["id"] == good
    assert {each["id"]: each["verdict"] for each in third["passed_over"]} == {dry: "tried", tired: "tried"}
    again = await stage.order()
    async with stage.workers():
        await stage.until(SETTLED)
    passed = {
        each["id"]: each for each in (await explain.generation(db, again))["jobs"][0]["decisions"][0]["passed_over"]
    }
    assert passed[dry]["why"] == "its account has no money"
    assert passed[tired]["verdict"] == "rests_for_model"
    assert datetime.fromisoformat(passed[tired]["until"])


async def test_a_wait_is_explained_too(stage, db):
    key = await stage.key("rate_limited after=60")
    generation = await stage.order()
    async with stage.workers():
        await stage.until("select line = 'all painters are resting' from job where generation_id = $1", generation)
    waited = (await explain.generation(db, generation))["jobs"][0]["waited"]
    assert (waited["of"], waited["passed_over"][0]["id"]) == (1, key)
    assert waited["passed_over"][0]["why"] in ("rests from this model", "tried already by this request")


async def test_costs_are_booked_and_what_they_leave_is_counted(audited, db):
    stage = audited
    await db.execute("update model set cost_micros = 30000 where id = 'simulator'")
    await stage.key("timeout_unknown", group="main")
    await stage.key("ok", group="other")
    await stage.order()
    async with stage.workers():
        await stage.until(SETTLED)
    (by_plan,) = await margins.by(db, "plan")
    assert (by_plan.name, by_plan.delivered, by_plan.attempts, by_plan.credits) == ("Monthly", 1, 2, 1)
    assert (by_plan.earned, by_plan.cost, by_plan.possible) == (99900, 30000, 30000)
    for dimension in margins.DIMENSIONS:
        lines = await margins.by(db, dimension)
        assert sum(line.cost for line in lines) == 30000
        assert sum(line.margin for line in lines) == 69900
    by_key = {line.name.split(" …")[0]: line for line in await margins.by(db, "key")}
    assert (by_key["brush 4"].delivered, by_key["brush 4"].cost, by_key["brush 3"].possible) == (1, 30000, 30000)


async def test_what_was_paid_in_less_what_was_spent_is_left(audited, db):
    stage = audited
    await db.execute("update model set cost_micros = 700000 where id = 'simulator'")
    await stage.key("ok", group="main")
    await funds.top_up(db, "simulator", "main", 10_000_000, "by card", actor="test")
    await stage.order(count=2)
    async with stage.workers():
        await stage.until(SETTLED)
    (fund,) = await funds.listing(db)
    assert (fund.left, fund.spent_in_week, fund.is_low) == (8_600_000, 1_400_000, False)
    assert round(fund.days_left or 0) == 43
    await funds.alert_below(db, "simulator", "main", 9_000_000, actor="test")
    (fund,) = await funds.listing(db)
    assert fund.is_low
    await db.execute("update fund set counted_to = now() - interval '2 hours'")
    await db.execute("update attempt set finished_at = now() - interval '90 minutes'")
    await funds.count(db)
    assert await db.fetchval("select micros from fund") == 8_600_000
    (counted,) = await funds.listing(db)
    assert counted.left == 8_600_000, "taken off once"


async def test_money_that_a_provider_tells_of_brings_a_dry_account_back_sooner(stage, db):
    key = await stage.key("ok", group="main")
    await db.execute(
        "update provider_key set state = 'out_of_funds', probe_at = now() + interval '1 hour' where id = $1", key
    )
    await funds.told(db, key, 0)
    assert not await db.fetchval("select probe_at <= now() from provider_key where id = $1", key)
    await funds.told(db, key, 5_000_000)
    await stage.locksmith().receive(LookAfterKeys())
    assert await stage.key_state(key) == "cooldown"
    (fund,) = await funds.listing(db)
    assert (fund.source, fund.left) == ("told", 5_000_000)
