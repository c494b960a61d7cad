"""Proxies: a dead one costs a moment, its keys go by the backup or not at all, and nothing ever leaves by itself."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from limner.actors import workbench
from limner.actors.providers.egress import PROXY_CONNECT
from limner.runtime.cli import commands as cli
from limner.runtime.errors import Refused
from limner.sql import attempts, generations, keys, probes, providers, proxies, rests
from limner.sql.attempts import Wait
from limner.sql.generations import Order
from limner.sql.models import Size
from limner.sql.proxies import TryProxy
from tests.faults.crew import SETTLED
from tests.upstreams.openai import FakeOpenAI
from tests.upstreams.proxy import fake_proxy, front_door

READY = "update proxy set rests_until = now() - interval '1 s' where id = $1"


@contextlib.asynccontextmanager
async def far_away(stage):
    """An upstream behind a door that writes down who came: (a way to add keys to it, the peers)."""
    async with FakeOpenAI().serve() as upstream, front_door(urlsplit(upstream.base_url).port) as (port, peers):
        await providers.change(
            stage.db, "openai", actor="test", base_url=f"http://127.0.0.1:{port}/v1", is_local=True
        )  # fmt: skip
        yield upstream, peers


async def a_key(stage, proxy: int | None, **options: object) -> int:
    number = await stage.db.fetchval("select count(*) from provider_key")
    return await keys.add(
        stage.db, stage.vault, "openai", f"brush {number}", f"sk-far-{number}-abcdefgh", actor="test", proxy_id=proxy,
        concurrency=4, **options,
    )  # fmt: skip


async def a_proxy(stage, url: str, backup: int | None = None) -> int:
    return await proxies.add(stage.db, stage.vault, "way out", url, actor="test", backup_id=backup)


async def orders(stage, count: int) -> None:
    for _ in range(count // 8):
        asked = Order(stage.alice, "a fox in the snow", "gpt-image-2", Size(1024, 1024), 8)
        await generations.order(stage.db, asked, deadline=600)


async def test_a_black_hole_costs_a_moment_and_nothing_goes_past_it(audited, db):
    stage = audited
    async with far_away(stage) as (_, peers), fake_proxy("hang") as hole, fake_proxy() as good:
        dead, alive = await a_proxy(stage, hole.url()), await a_proxy(stage, good.url())
        stuck, _ = await a_key(stage, dead), await a_key(stage, alive)
        await orders(stage, 16)
        async with stage.workers(2):
            await stage.until(SETTLED, within=60)
        assert await db.fetchval("select count(*) from job where state = 'delivered'") == 16
        assert peers, "they were painted over there"
        assert set(peers) <= set(good.carried), "whoever came, came through the proxy"
        assert len(hole.asked) <= 4, "asked by the slots that were open at first, and then it rested"
        assert PROXY_CONNECT < 5
    row = await db.fetchrow("select state, failures from proxy where id = $1", dead)
    assert tuple(row) == ("cooldown", 1), "failures at the same time are one failure"
    assert await stage.key_state(stuck) == "active", "the key is not to blame"
    event = await db.fetchrow("select state_before, state_after, cause from proxy_event where proxy_id = $1", dead)
    assert tuple(event)[:2] == ("active", "cooldown")
    assert event["cause"].startswith("proxy_failed")


async def test_a_key_goes_by_its_backup_and_never_straight(audited, db):
    stage = audited
    async with far_away(stage) as (_, peers), fake_proxy("refuse") as first, fake_proxy() as second:
        backup = await a_proxy(stage, second.url())
        await a_key(stage, await a_proxy(stage, first.url(), backup))
        await orders(stage, 8)
        async with stage.workers(1):
            await stage.until(SETTLED, within=60)
        assert await db.fetchval("select count(*) from job where state = 'delivered'") == 8
        assert set(peers) <= set(second.carried)
        assert await db.fetchval("select count(*) from attempt where fault is null and proxy_id <> $1", backup) == 0


@pytest.mark.parametrize("may_go_direct", [False, True])
async def test_only_the_operators_leave_and_a_dead_way_let_a_key_go_straight(audited, db, may_go_direct):
    stage = audited
    async with far_away(stage) as (upstream, peers), fake_proxy("refuse") as shut:
        await a_key(stage, await a_proxy(stage, shut.url()), may_go_direct=may_go_direct)
        await orders(stage, 8)
        async with stage.workers(1):
            if may_go_direct:
                await stage.until(SETTLED, within=60)
                assert await db.fetchval("select count(*) from attempt where fault is null and proxy_id is null") == 8
            else:
                await stage.until("select count(*) = 8 from job where line = 'all painters are resting'", within=60)
                assert (peers, upstream.asked) == ([], [])
    for row in await db.fetch("select id from generation"):
        await generations.cancel(db, row["id"], stage.alice)


async def test_a_proxy_that_is_out_by_hand_is_no_leave_to_go_straight(stage, db):
    proxy = await a_proxy(stage, "socks5://127.0.0.1:9")
    key = await stage.key()
    await db.execute("update provider_key set proxy_id = $2, may_go_direct = true where id = $1", key, proxy)
    jobs = await stage.jobs(1)
    await proxies.set_state(db, proxy, "disabled", "a test", actor="test")
    assert await stage.lease(jobs[0]) == Wait(back=None, is_busy=False)
    assert await stage.verdicts() == {key: "proxy_disabled"}


async def test_where_a_key_is_not_welcome_it_goes_another_way(stage, db):
    backup = await a_proxy(stage, "socks5://127.0.0.1:9")
    proxy = await a_proxy(stage, "socks5://127.0.0.1:10", backup)
    key = await stage.key()
    await db.execute("update provider_key set proxy_id = $2 where id = $1", key, proxy)
    jobs = await stage.jobs(4)
    assert (await stage.leased(jobs[0])).proxy_id == proxy
    await rests.rest_route(db, key, proxy, 900, "region_blocked: a test")
    assert (await stage.leased(jobs[1])).proxy_id == backup
    await rests.rest_route(db, key, backup, 60, "region_blocked: a test")
    wait = await stage.lease(jobs[2])
    assert 55 < wait.back <= 60
    assert await stage.verdicts() == {key: "region_blocked"}


async def test_a_proxy_that_has_rested_takes_one_picture_for_all_its_keys(stage, db):
    proxy = await a_proxy(stage, "socks5://127.0.0.1:9")
    for _ in range(2):
        await stage.key()
    await db.execute("update provider_key set proxy_id = $1 where label like 'brush%'", proxy)
    await proxies.rest(db, proxy, "proxy_failed: a test")
    jobs = await stage.jobs(4)
    assert isinstance(await stage.lease(jobs[0]), Wait)
    await db.execute(READY, proxy)
    trial = await stage.leased(jobs[1])
    assert isinstance(await stage.lease(jobs[2]), Wait)
    assert set((await stage.verdicts()).values()) == {"proxy_on_trial"}
    await attempts.answered(db, trial.attempt_id)
    await stage.leased(jobs[3])
    assert await db.fetchval("select state from proxy where id = $1", proxy) == "active"


async def test_after_a_failure_a_proxy_is_looked_through_for_another_provider(stage, db):
    """It may be the provider that cannot be reached."""
    proxy = await a_proxy(stage, "http://127.0.0.1:9")
    await a_key(stage, proxy)
    await keys.add(db, stage.vault, "simulator", "another", "simulated-1", actor="test", proxy_id=proxy)
    seen = []
    for _ in range(3):
        await proxies.rest(db, proxy, "proxy_failed: a test")
        await db.execute(READY, proxy)
        taken = await probes.take_proxy(db)
        assert taken is not None
        seen.append(taken[2].kind)
    assert seen[0] == seen[2] != seen[1]


async def test_the_locksmith_looks_through_a_proxy_that_nobody_uses_just_now(stage, db):
    async with far_away(stage), fake_proxy("refuse") as shut:
        proxy = await a_proxy(stage, shut.url())
        await a_key(stage, proxy)
        await proxies.rest(db, proxy, "proxy_failed: a test")
        await db.execute(READY, proxy)
        locksmith = stage.locksmith()
        await locksmith.receive(keys.LookAfterKeys())
        row = await db.fetchrow("select state, failures from proxy where id = $1", proxy)
        assert tuple(row) == ("cooldown", 2)
        shut.act = "carry"
        await db.execute(READY, proxy)
        await locksmith.receive(keys.LookAfterKeys())
        assert await db.fetchval("select state from proxy where id = $1", proxy) == "active"
        changes = await db.fetch("select state_after, cause from proxy_event order by id")
        assert [row["state_after"] for row in changes] == ["cooldown", "active"]


async def test_a_test_tells_where_a_proxy_comes_out(stage, db):
    async with FakeOpenAI().serve() as site, fake_proxy(login="me:hunter-22") as good, fake_proxy("hang") as hole:
        site.pictures["address"] = b"203.0.113.7\n"
        config = stage.config.model_copy(update={"exit_address_url": site.base_url.replace("/v1", "/files/address")})
        proxy = await a_proxy(stage, good.url("me:hunter-22"))
        found = await workbench.try_proxy(db, config, stage.vault, proxy)
        assert (found.address, found.is_through) == ("203.0.113.7", True)
        shown = (await proxies.listing(db))[0]
        assert shown["exit_address"] == "203.0.113.7"
        assert shown["latency_ms"] >= 0
        assert shown["shown"] == f"http://127.0.0.1:{good.port}"
        assert "hunter" not in repr(shown)
        wrong = await workbench.try_proxy(db, config, stage.vault, await a_proxy(stage, good.url("me:hunter-23")))
        assert not wrong.is_through
        assert "hunter" not in wrong.words
        await stage.locksmith(exit_address_url=config.exit_address_url).receive(
            TryProxy(await a_proxy(stage, hole.url()))
        )
        row = (await proxies.listing(db))[2]
        assert row["tested_at"]
        assert row["latency_ms"] is None
        assert row["state"] == "active", "a test says something, and lets nobody rest"


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://host:21", "socks5://host", "http://:80", "http://host:99999", "http://host:80/path"]
)
async def test_an_address_that_is_none_is_refused(stage, url):
    with pytest.raises(Refused) as caught:
        await a_proxy(stage, url)
    assert caught.value.field == "url"


async def test_a_proxy_that_is_counted_on_is_not_removed(stage, db):
    proxy = await a_proxy(stage, "socks5://me:hunter22@127.0.0.1:9")
    key = await a_key(stage, proxy)
    with pytest.raises(Refused, match="still use it"):
        await proxies.remove(db, stage.vault, proxy, actor="test")
    await db.execute("update provider_key set proxy_id = null where id = $1", key)
    await proxies.remove(db, stage.vault, proxy, actor="test")
    assert await proxies.listing(db) == []
    sealed = await db.fetchval("select sealed_url from proxy where id = $1", proxy)
    assert stage.vault.open(sealed, bound_to=keys.proxy_bound_to(proxy)) == ""


def test_the_command_line_keeps_a_proxy_without_telling_its_password(dsn, config, monkeypatch):
    for name in ("vault_keys", "secret_key", "sandbox_secret"):
        monkeypatch.setenv(f"LIMNER_{name.upper()}", getattr(config, name).get_secret_value())
    monkeypatch.setenv("LIMNER_DATABASE_URL", dsn)
    run = CliRunner().invoke
    added = run(cli.main, ["proxy", "add", "--label", "Lisbon"], input="socks5://me:hunter22@198.51.100.7:1080\n")
    assert (added.exit_code, added.output) == (0, "proxy 1 is there; `limner proxy test 1` tells where it comes out\n")
    listed = run(cli.main, ["proxy", "list"])
    assert "socks5://198.51.100.7:1080" in listed.output
    assert "hunter22" not in listed.output
    assert run(cli.main, ["key", "set", "1", "--proxy", "1", "--rpm", "30", "--no-direct"]).exit_code == 0
    refused = run(cli.main, ["proxy", "remove", "1"])
    assert (refused.exit_code, "still use it" in refused.output) == (1, True)
    assert run(cli.main, ["key", "set", "1", "--proxy", "0"]).exit_code == 0
    assert run(cli.main, ["proxy", "remove", "1"]).output == "proxy 1 is gone\n"
