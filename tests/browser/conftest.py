"""A real browser before the real site: Debian's or anybody's Chromium, driven by Playwright; skipped loudly without one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Response, async_playwright

from limner.runtime.database import Database
from limner.sql import sessions
from limner.sql.accounts import Account
from tests.conftest import held
from tests.http.conftest import Site, serving

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
PATIENCE = 20_000
"""Milliseconds until a test that waits for the page gives up."""


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("LOUD: no Chromium here, so nobody looked at the pages; install Debian's package chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def site(dsn: str, tmp_path: Path, db: Database) -> AsyncIterator[Site]:
    """The site with its worker. The demo brushes take their time, so that the steps can be seen."""
    async with held(serving(dsn, tmp_path, db, work=True)) as served:
        await db.execute("update provider_key set switch = 'pace=1'")
        yield served


@dataclass
class Screen:
    """A page somebody looks at, and everything that went wrong on it."""

    site: Site
    page: Page
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))
        self.page.on("response", self._answered)
        self.page.on("requestfailed", lambda request: self._failed(request.url, request.failure))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"{message.type}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.status} {response.url}")

    def _failed(self, url: str, why: str | None) -> None:
        if "ERR_ABORTED" not in (why or ""):  # the page was left while it loaded
            self.troubles.append(f"{why}: {url}")

    async def open(self, path: str) -> Page:
        await self.page.goto(self.site.url + path)
        return self.page

    async def says(self, words: str) -> None:
        """Wait until these words can be read."""
        await self.page.get_by_text(words).first.wait_for(timeout=PATIENCE)


@dataclass
class Desk:
    """Where screens are set up."""

    site: Site
    chromium: Browser

    @contextlib.asynccontextmanager
    async def sit(self, who: Account | None = None, *, width: int = 1280, **options: Any) -> AsyncIterator[Screen]:
        """A screen of its own for somebody; nothing may have gone wrong on it when they leave."""
        context = await self.chromium.new_context(viewport={"width": width, "height": 800}, **options)
        if who is not None:
            token = await sessions.start(self.site.db, who.id, ip="127.0.0.1", agent="Chromium")
            await context.add_cookies([{"name": "session", "value": token, "url": self.site.url}])
        screen = Screen(self.site, await context.new_page())
        screen.page.set_default_timeout(PATIENCE)
        screen.watch()
        try:
            yield screen
        finally:
            await context.close()
        assert screen.troubles == []


@pytest.fixture
def desk(site: Site, chromium: Browser) -> Desk:
    return Desk(site, chromium)
