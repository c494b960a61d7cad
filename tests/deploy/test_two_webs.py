"""Two webs behind Caddy: either may be away, and nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.deploy.conftest import Front, in_front
from tests.deploy.visitors import Knocks


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Front]:
    async with in_front(tmp_path, webs=2, WEBS="two") as found:
        yield found


async def test_one_of_two_is_stopped_under_load_and_nothing_is_lost(two: Front) -> None:
    """Each is stopped once and comes back: every GET and every POST is answered, and reached a studio exactly once."""
    knocks = Knocks(two)
    async with asyncio.TaskGroup() as group:
        for method in ("GET", "POST") * 3:
            group.create_task(knocks.go_on(method))
        for upstream in two.upstreams:
            await knocks.some_more()
            await upstream.stop()
            await knocks.some_more()
            await upstream.start()
            await _until_it_is_asked(knocks, upstream.port)
        knocks.is_over = True
    for upstream in two.upstreams:
        await upstream.stop()
    assert set(knocks.answers) == {("GET", 200), ("POST", 200)}
    # one was asked before, to see that Caddy was up
    assert sum(upstream.served for upstream in two.upstreams) == knocks.answers.total() + 1


async def test_one_that_says_it_is_not_ready_is_asked_nothing_more(two: Front) -> None:
    """As one that drains: it would still answer, so only its own word keeps visitors away."""
    leaves, stays = two.upstreams
    leaves.be_unready()
    knocks = Knocks(two)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(knocks.go_on("GET"))
        quiet_since = 0
        while quiet_since < 100:
            before = knocks.by[leaves.port]
            await knocks.some_more()
            quiet_since = quiet_since + 100 if knocks.by[leaves.port] == before else 0
        knocks.is_over = True
    assert knocks.by[stays.port] >= 100
    assert set(knocks.answers) == {("GET", 200)}


async def test_both_are_asked(two: Front) -> None:
    knocks = Knocks(two)
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(knocks.go_on("GET"))
        await knocks.some_more()
        knocks.is_over = True
    assert set(knocks.by) == {upstream.port for upstream in two.upstreams}


async def test_both_away_is_a_guarded_answer_that_says_when_to_come_back(tmp_path: Path) -> None:
    async with in_front(tmp_path, webs=2, WEBS="two", PATIENCE="1s") as two:
        for upstream in two.upstreams:
            await upstream.stop()
        async with two.ask("GET", "/") as answer:
            assert answer.status in (502, 503)
            assert answer.headers["Retry-After"] == "5"
            assert "does not answer just now" in await answer.text()


async def _until_it_is_asked(knocks: Knocks, port: int) -> None:
    before = knocks.by[port]
    async with asyncio.timeout(30):
        while knocks.by[port] == before:
            await knocks.some_more()
