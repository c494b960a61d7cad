"""What the watchman tells of the pool, and the news that it is over."""

from __future__ import annotations

import anyio
import pytest

from limner.actors import watchman
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.sql import alerts, funds, gauges, proxies, rests


@pytest.fixture
async def watched(stage, db, config):
    await Presence(db, "worker", lease=config.lease).beat()
    await db.execute("update provider_key set by_hand = true, state = 'disabled'")  # the demo's
    await db.execute("delete from key_event")

    async def look() -> dict[str, str]:
        await db.execute("delete from alert_reading")  # as if a minute had gone by
        await watchman.look(db, config)
        return {each.cause: each.words for each in await alerts.still_open(db)}

    stage.look = look
    return stage


async def test_a_model_that_no_key_can_paint_for_a_while_is_told_and_so_is_its_return(watched, db):
    tired, other = await watched.key(), await watched.key()
    await rests.rest(db, tired, "simulator", 600, "rate_limited")
    assert await watched.look() == {}, "the other one paints"
    await rests.rest(db, other, "simulator", 30, "rate_limited")
    assert await watched.look() == {}, "half a minute is everyday"
    await rests.rest(db, other, "simulator", 300, "rate_limited")
    told = await watched.look()
    assert set(told) == {"model simulator"}
    assert told["model simulator"].startswith("No key can paint Fault simulator (simulator): the first is back at ")
    await db.execute("update key_rest set until = now()")
    assert await watched.look() == {}
    assert await db.fetchval("select ended_at is not null from alert")


async def test_a_dead_proxy_is_told(watched, db):
    proxy = await proxies.add(db, watched.vault, "Lisbon", "socks5://me:hunter22@192.0.2.1:1080", actor="test")
    for _ in range(3):
        await proxies.rest(db, proxy, "proxy_failed: no answer")
        assert await watched.look() == {} or _ == 2
        await db.execute("update proxy set rests_until = now()")
    assert (await watched.look())[f"proxy {proxy}"] == (
        "Proxy Lisbon is dead, and 0 keys count on it: proxy_failed: no answer."
    )
    await proxies.wake(db, proxy, "a test came through")
    assert await watched.look() == {}


async def test_an_account_that_runs_low_is_told(watched, db):
    await watched.key(group="main")
    await funds.top_up(db, "simulator", "main", 5_000_000, "", actor="test")
    assert await watched.look() == {}
    await funds.alert_below(db, "simulator", "main", 6_000_000, actor="test")
    ((cause, words),) = (await watched.look()).items()
    assert (cause.split()[0], words) == ("fund", "5.00 USD is left on main of simulator.")
    await funds.top_up(db, "simulator", "main", 5_000_000, "", actor="test")
    assert await watched.look() == {}


async def test_a_model_that_retires_soon_is_told(watched, db):
    await watched.key()
    await db.execute("update model set retires_at = now() + interval '20 days' where id = 'simulator'")
    assert await watched.look() == {}
    await db.execute("update model set retires_at = now() + interval '10 days' where id = 'simulator'")
    assert (await watched.look())["retiring simulator"].endswith(": nothing takes its place yet.")
    await db.execute("update model set retires_at = null where id = 'simulator'")
    assert await watched.look() == {}


async def test_a_key_that_changes_is_looked_at_soon(watched, db, config):
    bus, presence = Bus(db), Presence(db, "worker", lease=config.lease)
    await presence.beat()
    key = await watched.key()
    async with anyio.create_task_group() as group:
        actor = watchman.Watchman(db, bus, presence, config=config)
        for work in (bus.run, presence.run, actor.run):
            group.start_soon(work)
        while not bus.is_connected:
            await anyio.sleep(0.05)
        await rests.run_dry(db, key, "insufficient_quota")
        await watched.until("select count(*) = 1 from alert where cause = $1", f"key {key}")
        group.cancel_scope.cancel()


async def test_what_prometheus_asks_of_the_pool_is_what_an_admin_would_see(watched, db):
    key = await watched.key()
    await rests.rest(db, key, "simulator", 600, "rate_limited")
    await db.execute("update provider_key set account_group = 'main' where id = $1", key)
    await funds.top_up(db, "simulator", "main", 2_500_000, "", actor="test")
    await funds.alert_below(db, "simulator", "main", 5_000_000, actor="test")
    await proxies.add(db, watched.vault, "Lisbon", "socks5://198.51.100.7:1080", actor="test")
    await db.execute("update proxy set state = 'cooldown', failures = 3, rests_until = now() + interval '1 hour'")
    found = {gauge.name: gauge.values for gauge in await gauges.read(db, 15)}
    assert found["model_resting"] == {("simulator",): 1}
    assert found["fund_left_dollars"] == {("simulator", "main"): 2.5}
    assert found["fund_low"] == {("simulator", "main"): 1}
    assert found["proxies"] == {("active",): 0, ("cooldown",): 0, ("dead",): 1, ("disabled",): 0}
