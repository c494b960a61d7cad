"""A black-holed proxy among good ones, measured: what it adds to a picture, and who comes to the painter by himself."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import anyio
import pytest

from limner.sql import generations, keys, providers, proxies
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.faults.crew import SETTLED
from tests.upstreams.openai import FakeOpenAI
from tests.upstreams.proxy import fake_proxy, front_door

FULL = os.environ.get("FAULT_FULL") == "1"
PICTURES, EVERY = (400, 0.25) if FULL else (16, 0.1)
MOST_ADDED = 5.0
"""Seconds that a black hole may add to a picture, for 95 of 100."""
ROOM = 0 if FULL else 10
"""Seconds that a loaded machine may take for it, in the quick form."""
TOOK = """
select extract(epoch from j.finished_at - j.created_at)::float8 as s,
    exists (select from attempt as a where a.job_id = j.id and a.fault is not null) as met_it
from job as j where state = 'delivered' order by 1
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("hole", ["none", "answers nothing", "takes no connection"])
async def test_what_a_black_hole_adds_and_who_goes_past_it(audited, db, hole):
    """Its figures are printed: FAULT_FULL=1 pytest -s. Four keys of two slots, each by a proxy of its own."""
    stage = audited
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeOpenAI(delay=0.3).serve())
        port, peers = await stack.enter_async_context(front_door(urlsplit(upstream.base_url).port or 0))
        await providers.change(db, "openai", actor="test", base_url=f"http://127.0.0.1:{port}/v1", is_local=True)
        good = [await stack.enter_async_context(fake_proxy()) for _ in range(3 if hole != "none" else 4)]
        ways = [proxy.url() for proxy in good]
        if hole == "answers nothing":
            ways.append((await stack.enter_async_context(fake_proxy("hang"))).url())
        elif hole == "takes no connection":
            ways.append(await stack.enter_async_context(deaf()))
        for number, url in enumerate(ways):
            proxy = await proxies.add(db, stage.vault, f"way {number}", url, actor="test")
            await keys.add(
                db, stage.vault, "openai", f"brush {number}", f"sk-far-{number}-abcdefgh", actor="test", proxy_id=proxy,
                concurrency=2,
            )  # fmt: skip
        async with stage.workers(2):
            for _ in range(PICTURES):
                asked = Order(stage.alice, "a fox in the snow", "gpt-image-2", Size(1024, 1024), 1)
                await generations.order(db, asked, deadline=600)
                await anyio.sleep(EVERY)
            await stage.until(SETTLED, within=300)
        carried = {port for proxy in good for port in proxy.carried}
    rows = await db.fetch(TOOK)
    took = [row["s"] for row in rows]
    usual = statistics.median([row["s"] for row in rows if not row["met_it"]] or [0])
    assert len(took) == PICTURES
    tries = await db.fetchval("select count(*) from attempt where fault is not null")
    p95 = statistics.quantiles(took, n=20)[-1]
    print(
        f"\n{hole}: {PICTURES} pictures, p50 {statistics.median(took):.2f} s, p95 {p95:.2f} s, longest {took[-1]:.2f} s"
    )
    print(f"at p95 {p95 - usual:.2f} s more than a picture took in the middle that never met it")
    print(f"{tries} tries into the hole; {len(peers)} came to the painter, {len(set(peers) - carried)} by themselves")
    assert set(peers) <= carried, "whoever came, came through a proxy"
    assert (tries > 0) == (hole != "none")
    assert p95 - usual <= MOST_ADDED + ROOM


@contextlib.asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """A port whose line of connections is full, so that it swallows every further SYN."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(door.getsockname())
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
