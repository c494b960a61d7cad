"""The watchman: each trouble told once, its end told once, whoever looks and however often."""

from __future__ import annotations

import anyio
import pytest

from limner.actors import watchman
from limner.runtime import spans
from limner.runtime.presence import Presence
from limner.sql import alerts, generations, keys, rests
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.bot.conftest import CAROL


@pytest.fixture
async def worker(db, config) -> Presence:
    presence = Presence(db, "worker", lease=config.lease)
    await presence.beat()
    return presence


async def told(db) -> list[str]:
    """Without the line that says where to read what to do."""
    return [row["body"].partition("\n\n")[0] for row in await db.fetch("select body from notice order by id")]


async def causes(db) -> list[str]:
    return [alert.cause for alert in await alerts.still_open(db)]


async def test_a_quiet_studio_alerts_nobody(db, config, carol, worker):
    await watchman.look(db, config)
    assert await causes(db) == [] and await told(db) == []


async def test_no_worker_is_told_once_and_so_is_its_return(db, config, carol, worker):
    await db.execute("update worker set seen_at = now() - interval '1 hour'")
    for _ in range(3):
        await watchman.look(db, config)
    assert await causes(db) == ["no_worker"]
    assert await told(db) == ["⚠️ No worker is alive: nothing is painted."]
    await db.execute("update alert set began_at = now() - interval '14 minutes'")
    await worker.beat()
    for _ in range(3):
        await watchman.look(db, config)
    assert await causes(db) == []
    assert (await told(db))[1:] == ["✅ Fine again after 14 min. It was: No worker is alive: nothing is painted."]


async def test_a_worker_that_restarts_is_no_trouble(db, config, carol, worker):
    await worker.leave()
    await watchman.look(db, config)
    assert await told(db) == []


async def test_many_watchmen_at_once_tell_it_once(db, config, carol):
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(watchman.look, db, config)
    await watchman.look(db, config)
    assert len(await told(db)) == 1


async def test_while_one_looks_the_others_leave_the_alerts_alone(db, config, carol):
    async with db.transaction() as tx:
        assert await alerts.is_alone(tx)
        await watchman.look(db, config)
        assert await causes(db) == []
    await watchman.look(db, config)
    assert await causes(db) == ["no_worker"]


async def test_each_admin_is_told(db, config, carol):
    await db.execute("insert into telegram_admin (telegram_id, name) values (8, 'Dora')")
    await watchman.look(db, config)
    told_to = {row["recipient"] for row in await db.fetch("select recipient from notice")}
    assert told_to == {str(CAROL), "8"}


async def test_a_key_that_the_system_gives_up_is_told_with_its_name_and_the_reason(db, config, carol, worker):
    key = await db.fetchrow("select id, label, last_four from provider_key order by id limit 1")
    await rests.die(db, key["id"], "401: Incorrect API key: sk-abcdefghijklmnop")
    await watchman.look(db, config)
    (text,) = await told(db)
    assert text == f"⚠️ Key {key['label']} {key['last_four']} (demo) was disabled: 401: Incorrect API key: sk-***."
    await keys.set_state(db, key["id"], "active", "new key", actor="carol@example.com")
    await watchman.look(db, config)
    assert (await told(db))[1].startswith("✅ Fine again after ")


async def test_keys_of_one_dry_account_are_told_each_in_one_message(db, config, carol, worker):
    await db.execute("update provider_key set account_group = 'one'")
    await rests.run_dry(db, await db.fetchval("select min(id) from provider_key"), "insufficient_quota")
    await watchman.look(db, config)
    (text,) = await told(db)
    assert len(text.splitlines()) == 3
    assert all("is out of funds: insufficient_quota" in line for line in text.splitlines())


async def test_a_key_that_an_admin_takes_out_is_no_news(db, config, carol, worker):
    key = await db.fetchval("select min(id) from provider_key")
    await keys.set_state(db, key, "disabled", "too dear", actor="carol@example.com")
    await watchman.look(db, config)
    assert await told(db) == []


async def test_disabling_a_lost_key_by_hand_settles_its_alert(db, config, carol, worker):
    key = await db.fetchval("select min(id) from provider_key")
    await rests.review_if_hopeless(db, key, -1)
    await watchman.look(db, config)
    await keys.set_state(db, key, "disabled", "seen", actor="carol@example.com")
    await watchman.look(db, config)
    assert await causes(db) == []
    assert (await told(db))[1].startswith("✅ Settled by hand after ")


async def test_a_key_that_dies_again_is_told_again(db, config, carol, worker):
    key = await db.fetchval("select min(id) from provider_key")
    for _ in range(2):
        await rests.die(db, key, "401")
        await watchman.look(db, config)
        await keys.set_state(db, key, "active", "try again", actor="carol@example.com")
        await watchman.look(db, config)
        await db.execute(
            "update alert set told_at = told_at - interval '1 hour', ended_at = ended_at - interval '1 hour'"
        )
    assert len(await told(db)) == 4


async def test_pictures_that_wait_too_long_are_told_until_the_queue_is_calm(db, config, carol, cast, worker):
    await generations.order(db, Order(cast.alice.id, "a red boat", model_id="demo", size=Size(512, 512)), deadline=900)
    expected = {119: [], 125: ["queue_waits"], 90: ["queue_waits"], 59: [], 100: []}
    for waited, open_causes in expected.items():
        await db.execute("update job set created_at = now() - make_interval(secs => $1)", float(waited))
        await watchman.look(db, config)
        assert await causes(db) == open_causes, waited
    assert len(await told(db)) == 2


async def test_a_contested_token_is_told_while_a_living_bot_says_so(db, config, carol, worker):
    bot = Presence(db, "bot", lease=config.lease)
    bot.children = lambda: [{"name": "poller", "state": "conflict", "last_ok": None}]
    await bot.beat()
    await watchman.look(db, config)
    assert await causes(db) == ["bot_conflict"]
    bot.children = lambda: [{"name": "poller", "state": "polling", "last_ok": 1.0}]
    await bot.beat()
    await watchman.look(db, config)
    assert await causes(db) == []


async def test_without_a_bot_alerts_are_kept_but_nothing_is_queued(db, config, carol):
    await watchman.look(db, config.model_copy(update={"bot_token": None}))
    assert await causes(db) == ["no_worker"] and await told(db) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (840, "14 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (180000, "2 days 2 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert spans.duration(seconds) == words
