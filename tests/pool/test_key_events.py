"""What happened to keys and proxies is read key by key, and forgotten after half a year, but for how each came to where it is."""

from __future__ import annotations

from limner.actors.janitor import Janitor
from limner.actors.pool import Pool
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.sql import key_events, proxies
from limner.sql.key_events import EVENTS
from limner.sql.worries import lost_keys

HAPPENED = """
insert into key_event (key_id, state_before, state_after, cause, created_at)
select $1, $2, $3, $4, now() - make_interval(days => $5)
"""
NOISE = """
insert into key_event (key_id, state_before, state_after, cause)
select $1, 'active', 'cooldown', 'rate_limited' from generate_series(1, 20000)
"""


async def test_what_is_long_past_is_forgotten_but_not_how_a_key_was_lost(stage, db):
    lost, fine = await stage.key(), await stage.key()
    await db.execute("delete from key_event")
    await db.execute("update provider_key set state = 'manual_review', why = 'too many' where id = $1", lost)
    await db.execute("update key_event set created_at = now() - interval '300 days'")
    for key, days in ((lost, 400), (fine, 400), (fine, 200), (fine, 3)):
        await db.execute(HAPPENED, key, "active", "rests", f"{days} days ago", days)
    assert await key_events.forget_old(db) == 3
    kept = [(each["key_id"], each["cause"]) for each in await key_events.events(db)]
    assert sorted(kept) == sorted([(lost, "too many"), (fine, "3 days ago")])
    assert [each.id for each in await lost_keys(db)] == [lost]
    assert await key_events.forget_old(db) == 0


async def test_the_last_that_happened_to_a_proxy_stays(stage, db):
    proxy = await proxies.add(db, stage.vault, "Lisbon", "socks5://me:hunter22@192.0.2.1:1080", actor="test")
    for _ in range(2):
        await proxies.rest(db, proxy, "proxy_failed: no answer")
        await proxies.wake(db, proxy, "a test came through")
    await db.execute("update proxy_event set created_at = now() - interval '300 days'")
    assert await proxies.forget_events(db) == 3
    assert [each["cause"] for each in await proxies.events(db, proxy)] == ["a test came through"]


async def test_the_janitor_forgets_them(stage, db, config):
    key = await stage.key()
    await db.execute(HAPPENED, key, "active", "rests", "long ago", 300)
    async with open_storage(config) as storage:
        pool = Pool(db, config, stage.vault)
        await Janitor(db, Bus(db), Presence(db, "worker", lease=3), storage=storage, pool=pool).tidy()
    assert not await db.fetchval("select exists (select from key_event where cause = 'long ago')")


async def test_a_quiet_provider_is_not_looked_for_among_everybodys_events(stage, db):
    loud, quiet = await stage.key(), await stage.key()
    await db.execute(
        "update provider_key set provider_id = (select id from provider where code = 'demo') where id = $1", quiet
    )
    await db.execute(HAPPENED, quiet, "active", "rests", "once", 0)
    await db.execute(NOISE, loud)
    await db.execute("analyze key_event")
    provider = await db.fetchval("select provider_id from provider_key where id = $1", quiet)
    plan = "\n".join(row[0] for row in await db.fetch(f"explain {EVENTS}", None, provider, 50))
    assert "key_event_of_key" in plan and "key_event_pkey" not in plan, plan
    assert "once" in [each["cause"] for each in await key_events.events(db, provider_id=provider)]
