"""A web that is told to stop serves on for a while and says that it is not ready: a balancer has to notice first."""

from __future__ import annotations

import aiohttp
import anyio

from tests.faults.crew import crew_at, death_of, free_port


async def status(session: aiohttp.ClientSession, url: str) -> int:
    """0: nobody answers."""
    try:
        async with session.get(url, allow_redirects=False) as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def test_a_web_that_is_told_to_stop_serves_on_until_a_balancer_has_noticed(dsn, tmp_path):
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    with crew_at(dsn, tmp_path) as crew:
        web = crew.start("web", http_port=port, public_url=site, lame_duck=5)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            with anyio.fail_after(40):
                while await status(session, f"{site}/health/ready") != 200:
                    await anyio.sleep(0.05)
            web.terminate()
            with anyio.fail_after(40):
                while (answer := await status(session, f"{site}/health/ready")) == 200:
                    await anyio.sleep(0.05)
            assert answer == 503
            assert await status(session, f"{site}/login") == 200
        assert await death_of(web) == 0
