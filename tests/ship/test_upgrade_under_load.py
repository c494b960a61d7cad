"""An upgrade while people read, change, upload and watch: nothing that they sent is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from tests.deploy.conftest import SITE
from tests.ship.fleet import free_port, harbour, image, next_migration
from tests.ship.visitors import caddy, visitors

FULL = "FAULT_FULL" in os.environ
REQUESTS = 10_000 if FULL else 400
"""At the least, all told; FAULT_FULL=1 takes as many upgrades as it needs."""
ADDED = 250.0
"""Milliseconds that an upgrade may add to the 99th percentile, with two webs."""
STALL = 20_000.0
"""Milliseconds that the worst request may wait, with one: a web has to end and another one to start. Caddy waits for 30 s."""
ORDERS = "select count(*) from generation where account_id = $1 and prompt = 'as this'"


@pytest.mark.timeout(1800 if FULL else 180)
@pytest.mark.parametrize("webs", [("web-b", "web"), ("web",)], ids=["two webs", "one web"])
async def test_an_upgrade_loses_nothing(db, dsn, config, cast, tmp_path, webs):
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(
            harbour(dsn, tmp_path, webs, public_url=f"https://{SITE}:{port}", trusted_proxies="127.0.0.1")
        )
        await stack.enter_async_context(caddy(tmp_path, port, [here.port(role) for role in reversed(webs)]))
        found = await stack.enter_async_context(visitors(db, config, port, cast.alice.id, dsn))
        thread = await _thread(found)
        async with asyncio.TaskGroup() as group:
            for work in (found.read, found.change, found.upload):
                group.create_task(work())
            group.create_task(found.watch(thread))
            await found.until(REQUESTS // 4)
            found.phase = "during"
            images = [
                image(tmp_path / "next", migrations=next_migration("alter table job add column mood text;")),
                here.before,
            ]
            rounds = 0
            while rounds == 0 or found.total < REQUESTS:
                said = await here.upgrade(images[rounds % 2])
                assert said.code == 0, said.out + said.err
                rounds += 1
                await found.until(min(REQUESTS, found.total + REQUESTS // 4))
            found.is_over = True
        orders = await db.fetchval(ORDERS, cast.alice.id)
    before, during = found.p99("before"), found.p99("during")
    print(f"\n{len(webs)} webs, {rounds} upgrades: {found.total} answers, lost {found.lost}; "
          f"p99 {before:.0f} -> {during:.0f} ms, worst {found.worst('during'):.0f} ms")  # fmt: skip
    assert not found.lost
    assert orders == found.answers["upload", 303] + 1
    if len(webs) == 2:
        assert during - before < ADDED * (1 if FULL else 4)  # the short form shares its two cores with other tests
    else:
        assert found.worst("during") < STALL


async def _thread(found):
    """The thread of a first order."""
    form = {"csrf": found.csrf, "prompt": "as this", "model": "demo", "size": "512x512", "count": "1"}
    async with found.client.post(
        f"{found.url}/generations", data=form, headers=found._about(), allow_redirects=False
    ) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"].partition("#")[0].rpartition("/")[2]
