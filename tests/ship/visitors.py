"""Visitors of a studio that is being upgraded: they read, change, upload and watch, and count what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from PIL import Image

from limner.http.state import csrf_for
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.sql import sessions
from tests.deploy.conftest import SITE, _end, _Loopback, caddy_command, caddy_environment, unverified
from tests.ship.fleet import free_port

PATIENT = aiohttp.ClientTimeout(total=60)
CREDITS = "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', 100000, 'for the load')"


@dataclass
class Visitors:
    """One signed-in account in many browsers. ``answers`` counts (what, status); ``lost`` what was not answered well."""

    url: str
    client: aiohttp.ClientSession
    account_id: Any
    cookie: str
    csrf: str
    dsn: str
    answers: Counter[tuple[str, object]] = field(default_factory=Counter)
    took: dict[str, list[float]] = field(default_factory=lambda: {"before": [], "during": []})
    phase: str = "before"
    is_over: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lost(self) -> dict[tuple[str, object], int]:
        return {case: count for case, count in self.answers.items() if case[1] not in (200, 303)}

    @property
    def total(self) -> int:
        return self.answers.total()

    def p99(self, phase: str) -> float:
        """Milliseconds."""
        found = sorted(self.took[phase])
        return found[int(len(found) * 0.99)] * 1000

    def worst(self, phase: str) -> float:
        return max(self.took[phase]) * 1000

    async def until(self, total: int, within: float = 300) -> None:
        async with asyncio.timeout(within):
            while self.total < total:
                self.more.clear()
                await self.more.wait()

    async def read(self) -> None:
        while not self.is_over:
            await self._ask("GET", "/dashboard")

    async def change(self) -> None:
        """A form without consequences that a throttle would count."""
        while not self.is_over:
            await self._ask("POST", "/account/sessions/deletion", data={"csrf": self.csrf})

    async def upload(self) -> None:
        """An order with a reference picture; each one is paid for, so that it must be there exactly once."""
        while not self.is_over:
            form = aiohttp.FormData({"csrf": self.csrf, "prompt": "as this", "model": "demo", "size": "512x512", "count": "1"},
                                    default_to_multipart=True)  # fmt: skip
            form.add_field("reference", drawn(), filename="a.png", content_type="image/png")
            await self._ask("POST", "/generations", data=form, name="upload")
            connection = await asyncpg.connect(self.dsn)
            await connection.execute("delete from throttle")  # sixty orders a minute are allowed
            await connection.close()

    async def watch(self, thread: str) -> None:
        """A live page: its stream may end, and is opened again at once, as browsers do."""
        while not self.is_over:
            with contextlib.suppress(TimeoutError, aiohttp.ClientPayloadError):
                async with self.client.get(
                    f"{self.url}/threads/{thread}/live", headers=self._about(), timeout=PATIENT
                ) as answer:
                    self._count("stream", answer.status)
                    while not self.is_over and not answer.content.at_eof():
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(answer.content.readany(), 1)

    async def _ask(self, method: str, path: str, name: str = "", **options: Any) -> None:
        began, phase = time.monotonic(), self.phase
        what = name or method
        try:
            async with self.client.request(
                method, self.url + path, headers=self._about(), allow_redirects=False, timeout=PATIENT, **options
            ) as answer:
                await answer.read()
                self._count(what, answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._count(what, repr(error))
        self.took[phase].append(time.monotonic() - began)

    def _count(self, what: str, status: object) -> None:
        self.answers[what, status] += 1
        self.more.set()

    def _about(self) -> dict[str, str]:
        return {"Cookie": f"__Host-session={self.cookie}", "Origin": self.url, "Sec-Fetch-Site": "same-origin"}


def drawn() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    return out.getvalue()


@contextlib.asynccontextmanager
async def caddy(folder: Path, port: int, webs: list[int]) -> AsyncIterator[None]:
    """The repository's Caddyfile before one web or two."""
    ports = {"CADDY_HTTP_PORT": free_port(), "CADDY_HTTPS_PORT": port, "CADDY_HEALTH_PORT": free_port()}
    webs_at = {"UPSTREAM": f"127.0.0.1:{webs[0]}"} | ({"UPSTREAM_B": f"127.0.0.1:{webs[1]}"} if len(webs) > 1 else {})
    settings = (
        {name: str(value) for name, value in ports.items()} | webs_at | {"WEBS": "two" if len(webs) > 1 else "one"}
    )
    with (folder / "caddy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *caddy_command("run"), env=caddy_environment(folder, **settings), stdout=log, stderr=log
        )
        try:
            yield
        finally:
            await _end(process)


@contextlib.asynccontextmanager
async def visitors(db: Database, config: Config, port: int, account_id: Any, dsn: str) -> AsyncIterator[Visitors]:
    """Signed in, and rich enough."""
    token = await sessions.start(db, account_id, ip="127.0.0.1", agent="a visitor")
    await db.execute(CREDITS, account_id)
    connector = aiohttp.TCPConnector(ssl=unverified(), resolver=_Loopback(), limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
        url = f"https://{SITE}:{port}"
        found = Visitors(url, client, account_id, token, csrf_for(config, token), dsn)
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(url + "/login") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.1)
        yield found
