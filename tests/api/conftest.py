"""The API as programs use it: OpenAI's own client, unmodified, and plain requests where that one is too polite."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import openai
import orjson
import pytest

from limner.runtime.database import Database
from limner.runtime.vault import Vault
from limner.sql import keys, tokens
from limner.sql.accounts import Account
from limner.sql.tokens import Caps
from tests.conftest import Cast, held
from tests.http.conftest import Browser, Page, Site, serving

JSON = {"Content-Type": "application/json"}


@dataclass
class Program:
    """Somebody's program: it has a token, and nothing else."""

    site: Site
    token: str
    client: aiohttp.ClientSession

    async def send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> Page:
        about = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        async with self.client.request(
            method, self.site.url + path, headers=about, allow_redirects=False, **options
        ) as answer:
            return Page(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **headers: str) -> Page:
        return await self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def order(self, path: str = "/v1/images/generations", **asked: Any) -> Page:
        """A small picture of the simulator's, unless something else is asked for. Names with a capital are headers."""
        headers = {name.replace("_", "-"): asked.pop(name) for name in list(asked) if name[0].isupper()}
        body = {"model": "simulator", "prompt": "a red boat", "size": "512x512"} | asked
        return await self.send("POST", path, data=orjson.dumps(body), headers={**JSON, **headers})

    def openai(self, **options: Any) -> openai.AsyncOpenAI:
        """OpenAI's client: only its address and its key are ours."""
        return openai.AsyncOpenAI(
            **{"base_url": f"{self.site.url}/v1", "api_key": self.token, "max_retries": 0} | options
        )


def error(page: Page) -> dict[str, Any]:
    """What is in the envelope; it is nothing but the envelope."""
    body = orjson.loads(page.body)
    assert set(body) == {"error"}, body
    assert {"message", "type", "param", "code"} <= set(body["error"])
    assert page.headers["Content-Type"].startswith("application/json")
    return body["error"]


def json(page: Page) -> dict[str, Any]:
    assert page.status < 300, page.body
    return orjson.loads(page.body)


@pytest.fixture
async def site(dsn: str, tmp_path: Path, db: Database) -> AsyncIterator[Site]:
    """The site without a worker: what is ordered waits. The simulator has a key, so its model is on offer."""
    async with held(serving(dsn, tmp_path, db)) as served:
        await _simulate(served)
        yield served


@pytest.fixture
async def at_work(dsn: str, tmp_path: Path, db: Database) -> AsyncIterator[Site]:
    """The site with a worker. The simulator has one key, and does what its switch says."""
    async with held(serving(dsn, tmp_path, db, work=True)) as served:
        await _simulate(served)
        yield served


async def _simulate(site: Site) -> None:
    vault = Vault.from_config(site.config)
    await keys.add(site.db, vault, "simulator", "quick", "simulator-key-1", actor="test", concurrency=8)


async def switch(site: Site, how: str) -> None:
    """From now on the simulator does this."""
    await site.db.execute(
        "update provider_key set switch = $1 where provider_id = (select id from provider where code = 'simulator')",
        how,
    )


async def program(site: Site, account: Account, **caps: Any) -> Program:
    token = await tokens.create(site.db, account, "a program", Caps(**caps), actor="test")
    client = await site.stack.enter_async_context(aiohttp.ClientSession())
    return Program(site, token, client)


@contextlib.asynccontextmanager
async def studio(dsn: str, folder: Path, db: Database, *, work: bool = True, **overrides: Any) -> AsyncIterator[Site]:
    """The same with other settings."""
    async with serving(dsn, folder, db, work=work, **overrides) as served:
        await _simulate(served)
        yield served


@pytest.fixture
async def alices(site: Site, cast: Cast) -> Program:
    """Alice has a plan; nobody paints."""
    return await program(site, cast.alice)


@pytest.fixture
async def working(at_work: Site, cast: Cast) -> Program:
    """Alice's program, while the simulator paints."""
    return await program(at_work, cast.alice)


@pytest.fixture
async def stranger(site: Site) -> Browser:
    """Nobody that is known."""
    return await site.browser()
