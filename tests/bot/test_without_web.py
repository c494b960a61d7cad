"""The bot works with the web stopped, and the web with the bot stopped: they meet in Postgres alone."""

from __future__ import annotations

import aiohttp
import pytest

from tests.bot.conftest import dashboard, running, tap
from tests.http.conftest import serving


async def answers(url: str) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/") as answer:
        return answer.status


async def test_each_goes_on_when_the_other_stops(fake, config, db, carol, dsn, tmp_path):
    async with serving(dsn, tmp_path / "web", db) as site:
        async with running(db, config):
            assert "delivered" in (await dashboard(fake)).text
            assert await answers(site.url) == 200
        assert await answers(site.url) == 200  # the bot is gone
        url = site.url
    with pytest.raises(aiohttp.ClientError):
        await answers(url)
    async with running(db, config):  # the web is gone
        shown = await dashboard(fake)
        key = await db.fetchval("select min(id) from provider_key")
        sure = await tap(fake, shown, f"keys:disable:{key}")
        await tap(fake, shown, sure.buttons["✅ Yes, disable it"])
    assert await db.fetchval("select state from provider_key where id = $1", key) == "disabled"
