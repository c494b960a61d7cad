"""How long who is blamed rests, whatever an upstream says; what counts as one more failure; and that each rest is told."""

from __future__ import annotations

from base64 import b64encode

import pytest

from limner.actors import failover
from limner.actors.providers.base import WORDS, Fault
from limner.sql import attempts, generations, keys, models, proxies, rests
from tests.faults.crew import SETTLED
from tests.pool.test_paid_once import asked, painter
from tests.upstreams.base import Asked
from tests.upstreams.openai import FakeOpenAI, Script, error, painted

DAY = 86_400
CAST = ("bob", "carol", "alice")
EVENTS = "select state_before, state_after, cause, model_id from key_event where key_id = $1 order by id"


@pytest.mark.parametrize("said", [1_764_000_000.0, 1_764_000_000_000.0, 1e300, float("inf")])
@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.DAILY_QUOTA, Fault.REGION_BLOCKED, Fault.UPSTREAM_5XX])
def test_a_moment_that_is_told_as_a_span_costs_a_day_at_the_most(fault: Fault, said: float) -> None:
    assert DAY <= failover.rest_seconds(fault, said, 0) <= 1.1 * DAY


@pytest.mark.parametrize(
    ("fault", "least"), [(Fault.RATE_LIMITED, 1), (Fault.MODEL_UNAVAILABLE, 1), (Fault.UPSTREAM_5XX, 5)]
)
@pytest.mark.parametrize("said", [0.0, 0.02])
def test_no_rest_is_so_short_that_trials_follow_each_other(fault: Fault, least: float, said: float) -> None:
    assert least <= failover.rest_seconds(fault, said, 0) <= 1.1 * least
    assert 7 <= failover.rest_seconds(fault, 7, 0) <= 7.7, "beyond that it is believed"


async def test_a_key_is_not_lost_over_a_moment_that_was_told_as_a_span(audited, db):
    stage = audited
    async with painter(stage, brushes=2) as upstream:
        slow_down = error("rate_limit_exceeded", "Slow down", "rate_limit_error")
        upstream.always(
            "sk-brush-0-abcdefgh", Script(status=429, body=slow_down, headers={"Retry-After": "1764000000000"})
        )
        generation = await asked(stage)
        await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await db.fetchval("select max(until) < now() + interval '27 hours' from key_rest")
    assert all(key["rests_until"] is None or key["rests_until"].year < 3000 for key in await keys.listing(db))


async def test_failures_that_follow_each_other_within_seconds_are_one(stage, db):
    key = await stage.key()
    failures = "select failures from provider_key where id = $1"
    for job in await stage.jobs(3):
        lease = await stage.leased(job)
        await attempts.close(db, lease.attempt_id, fault="upstream_5xx")
        await rests.rest(db, key, "simulator", 0, "upstream_5xx: a test", attempt_id=lease.attempt_id)
    await rests.count(db, key)
    assert await db.fetchval(failures, key) == 1
    await db.execute("update provider_key set failed_at = failed_at - interval '5 seconds'")
    await rests.count(db, key)
    assert await db.fetchval(failures, key) == 2


async def test_a_proxy_that_is_dead_for_a_week_goes_on_resting(stage, db):
    proxy = await proxies.add(db, stage.vault, "gone", "http://proxy.example:3128", actor="test")
    await db.execute("update proxy set failures = 1030, state = 'cooldown', rests_until = now() where id = $1", proxy)
    await proxies.rest(db, proxy, "proxy_failed: a test")
    seconds = "select extract(epoch from rests_until - now())::float from proxy where id = $1"
    assert 590 < await db.fetchval(seconds, proxy) <= 600


@pytest.mark.parametrize(
    ("before", "failures", "elsewhere", "is_poison"),
    [(0, 0, True, False), (1, 0, False, False), (1, 0, True, True), (2, 0, False, True), (2, 1, True, False)],
)
def test_it_takes_three_breakdowns_to_blame_an_order(
    before: int, failures: int, elsewhere: bool, is_poison: bool
) -> None:
    assert failover.is_poison(Fault.UPSTREAM_5XX, before, failures, elsewhere=elsewhere) is is_poison


async def test_an_order_is_not_given_up_over_a_key_that_stumbled_twice(audited, db):
    stage = audited
    async with painter(stage) as upstream, stage.workers(worker_slots=1):
        upstream.script("sk-brush-0-abcdefgh", Script(status=503, body=error("server_error", "oops")))
        unlucky = await asked(stage, "a fox")
        await stage.until("select count(*) = 1 from attempt where fault = 'upstream_5xx'")
        upstream.script("sk-brush-0-abcdefgh", Script(status=503, body=error("server_error", "oops")))
        await db.execute("update provider_key set failures = 0")  # it has painted for others since
        await stage.until("select count(*) = 2 from attempt where fault = 'upstream_5xx'")
        await stage.until("select count(*) = 1 from job where state = 'delivered'")
    assert await stage.ends(unlucky) == ["delivered"]


AGAIN = "update message set state = 0, ready_at = now() where state = 2"
VAGUELY = Script(status=403, body=error("request_denied", "Denied by gateway rule 17.", "gateway"))
REFUSED = "select count(*) = $1 from attempt where fault = 'model_unavailable'"


class Particular(FakeOpenAI):
    """Something in front of it does not like what is poison, and says so in words of its own."""

    async def usual(self, asked: Asked) -> Script:
        if "poison" in str(asked.fields.get("prompt")):
            return VAGUELY
        return await super().usual(asked)


async def test_one_order_that_is_refused_in_unknown_words_keeps_the_model_from_nobody_for_long(audited, db):
    stage = audited
    async with painter(stage, Particular, brushes=3), stage.workers():
        refused = await asked(stage, "a fox that drinks poison")
        await stage.until("select count(*) = 3 from attempt where fault = 'model_unavailable'")
        await stage.until("select waits_until is not null from job where generation_id = $1", refused)
        assert await db.fetchval("select max(until) < now() + interval '40 seconds' from key_rest")
        assert "gpt-image-2" in [each.id for each in await models.on_offer(db)]
        await db.execute("update key_rest set until = now()")
        for number in range(1, 4):  # whoever has waited longest paints next: each of them once
            await asked(stage, "a fox in the snow")
            await stage.until("select count(*) = $1 from job where state = 'delivered'", number)
        await db.execute(AGAIN)
        await stage.until(SETTLED)
    assert await stage.ends(refused) == ["failed"]
    assert (await stage.faults()).count("model_unavailable") == 4, "by each key, and by one again"
    assert await db.fetchval("select sum(failures) from provider_key") == 0
    assert not await db.fetch("select from provider_key where state <> 'active'")


async def test_a_good_order_waits_for_a_key_that_paints_while_others_are_dead_in_unknown_words(audited, db):
    stage = audited
    async with painter(stage, brushes=3) as upstream, stage.workers():
        for number in range(2):
            upstream.always(f"sk-brush-{number}-abcdefgh", VAGUELY)
        good = await db.fetchval("select max(id) from provider_key")
        await rests.rest(db, good, "gpt-image-2", 3600, "rate_limited: a test")
        generation = await asked(stage)
        for refusals in (2, 4, 6):
            await stage.until(REFUSED, refusals)
            await stage.until("select waits_until is not null from job where generation_id = $1", generation)
            await db.execute("update key_rest set until = now() where key_id <> $1 or $2 = 6", good, refusals)
            await db.execute(AGAIN)
        await stage.until(SETTLED)
    assert await stage.ends(generation) == ["delivered"]


async def test_a_key_that_refuses_everybody_in_unknown_words_is_looked_at(stage, db):
    whose = [await db.fetchval("select id from account where email_key = $1", f"{name}@example.com") for name in CAST]
    told = []
    async with painter(stage) as upstream, stage.workers(key_most_failures=1):
        upstream.always("sk-brush-0-abcdefgh", VAGUELY)
        for number, account in enumerate([*whose, *whose], 1):
            generation = await asked(stage)
            await stage.until(REFUSED, number)
            await stage.until("select waits_until is not null from job where generation_id = $1", generation)
            key = await db.fetchrow("select failures, state from provider_key where label = 'brush 0'")
            told.append((key["failures"], key["state"]))
            if key["state"] != "active":
                break
            await generations.cancel(db, generation, stage.alice)
            await db.execute("update job set account_id = $2 where generation_id = $1", generation, account)
            await db.execute("update key_rest set until = now()")
            await db.execute("update provider_key set failed_at = failed_at - interval '5 seconds'")
    assert told == [(0, "active"), (0, "active"), (1, "active"), (2, "manual_review")]


async def test_another_key_that_broke_down_over_the_same_order_counts_when_it_paints_for_others(stage, db):
    one, two = [await stage.key() for _ in range(2)]
    (job,) = await stage.jobs(1)
    for tried in ([], [one]):
        lease = await stage.lease(job, tried=tried)
        await attempts.close(db, lease.attempt_id, fault="upstream_5xx")
    assert await attempts.of_key(db, job, one, "upstream_5xx") == (1, True, True)
    await db.execute("update provider_key set failures = 1 where id = $1", two)
    assert await attempts.of_key(db, job, one, "upstream_5xx") == (1, True, False), "it is down for everybody"


async def test_a_rest_of_an_account_group_is_told_of_each_of_its_keys(stage, db):
    tired, sibling = [await stage.key(group="project one") for _ in range(2)]
    other = await stage.key(group="project two")
    lease = await stage.leased((await stage.jobs(1))[0])
    await rests.rest(db, tired, "simulator", 60, "rate_limited: a test", attempt_id=lease.attempt_id, by_group=True)
    await db.execute("update group_rest set until = now() - interval '1 s'")
    await rests.rest(db, tired, "simulator", 60, "rate_limited: again", attempt_id=lease.attempt_id, by_group=True)
    await db.execute("delete from group_rest")
    told = [
        ("active", "rests", "with its account group: rate_limited: a test", "simulator"),
        ("trial", "rests", "with its account group: rate_limited: again", "simulator"),
        ("rests", "active", "its rest is over", "simulator"),
    ]
    for key in (tired, sibling):
        assert [tuple(row) for row in await db.fetch(EVENTS, key)] == told
    assert await db.fetch(EVENTS, other) == []


async def test_a_rest_of_a_way_is_told_of_its_key(stage, db):
    key = await stage.key()
    proxy = await proxies.add(db, stage.vault, "north", "http://proxy.example:3128", actor="test")
    await rests.rest_route(db, key, proxy, 60, "region_blocked: a test")
    await rests.rest_route(db, key, None, 60, "region_blocked: here, too")
    await db.execute("delete from route_rest where proxy_id = 0")
    assert [tuple(row)[:3] for row in await db.fetch(EVENTS, key)] == [
        ("active", "rests", f"by proxy {proxy} north: region_blocked: a test"),
        ("active", "rests", "straight: region_blocked: here, too"),
        ("rests", "active", "straight: its rest is over"),
    ]
    await db.execute("delete from provider_key where id = $1", key)


async def test_one_bad_request_takes_no_key_out_of_the_pool(audited, db):
    """What somebody wrote beside the prompt, and an upstream says back, is no word about the key."""
    stage = audited
    said = "your account has been suspended"
    await db.execute(
        "update model set options = options || '{\"style\": \"text\"}' where id = 'gpt-image-2'",
    )
    async with painter(stage, brushes=2) as upstream:
        body = error("invalid_value", f"style must not be: {said}")
        for number in range(2):
            upstream.always(f"sk-brush-{number}-abcdefgh", Script(status=400, body=body))
        generation = await asked(stage, style=said)
        await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == ["invalid_request"]
    assert not await db.fetch("select from provider_key where state <> 'active'")
    assert said not in await db.fetchval("select detail from attempt")


async def test_a_broken_picture_whose_price_is_known_is_booked_and_not_thought_possible(audited, db):
    stage = audited
    await db.execute("update model set cost_micros = 40000 where id = 'gpt-image-2'")
    async with painter(stage, brushes=2) as upstream:
        cut = painted(1024, 1024)[:-400]
        body = {"data": [{"b64_json": b64encode(cut).decode()}], "usage": {"input_tokens": 0, "output_tokens": 1000}}
        upstream.script("sk-brush-0-abcdefgh", Script(body=body))
        generation = await asked(stage)
        await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    booked = await db.fetchrow("select fault, cost_micros, possible_micros from attempt order by number limit 1")
    assert tuple(booked) == ("no_image", 30_000, 0)


PUT_OFF = "select count(*) = 1 from job where waits_until is not null"


@pytest.mark.parametrize("fault", ["no_image", "timeout_unknown"])
async def test_no_key_is_asked_twice_over_a_wait(audited, db, fault):
    stage = audited
    spent = await stage.key(fault)
    tired = await stage.key()
    await rests.rest(db, tired, "simulator", 3600, "rate_limited: a test")
    generation = await stage.order()
    async with stage.workers():
        await stage.until(PUT_OFF)
        assert await stage.faults() == [fault]
        await stage.switch(spent, "ok")
        await db.execute("update key_rest set until = now()")
        assert await db.fetchval("select waits_until > now() + interval '30 minutes' from job"), "for the other key"
        await db.execute("update message set state = 0, ready_at = now() where state = 2")
        await stage.until(SETTLED)
    assert await stage.ends(generation) == ["delivered"]
    painted_by = "select array_agg(key_id order by number) from attempt where fault is distinct from 'cancelled'"
    assert await db.fetchval(painted_by) == [spent, tired]


@pytest.mark.parametrize("fault", ["no_image", "timeout_unknown"])
async def test_when_every_key_was_asked_nobody_waits_for_nothing(audited, db, fault):
    stage = audited
    await stage.key(fault)
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == [fault]
    assert (await stage.balance()).spent == 0
    reason = await db.fetchval("select reason from generation where id = $1", generation)
    assert reason == WORDS[Fault(fault)]


@pytest.mark.parametrize(("fault", "setting"), [("no_image", "retry_empty"), ("timeout_unknown", "retry_unknown")])
async def test_an_operator_may_want_nothing_tried_again_that_could_be_billed(audited, db, fault, setting):
    stage = audited
    await stage.key(fault)
    await stage.key()
    generation = await stage.order()
    await stage.painted(**{setting: False})
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == [fault]
