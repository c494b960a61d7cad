"""The doors in a real browser: Telegram's word from behind the #, and a proof on the way of an act."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from limner.sql import links
from tests.browser.conftest import Desk
from tests.conftest import held
from tests.http.conftest import Site, available, serving
from tests.http.factor import CAROL
from tests.http.test_telegram_login import TOKEN, packed, said


@contextlib.asynccontextmanager
async def telegram() -> AsyncIterator[str]:
    """Telegram's page, where everybody agrees at once: it sends its word back behind the #. Yields its address."""

    async def agree(request: web.Request) -> web.Response:
        return web.Response(
            status=302, headers={"Location": f"{request.query['return_to']}#tgAuthResult={packed(said())}"}
        )

    app = web.Application()
    app.router.add_get("/auth", agree)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/auth"
    finally:
        await runner.cleanup()


@pytest.fixture
async def site(dsn, tmp_path, db):
    """The site with Telegram's door; no worker."""
    async with held(telegram()) as page:
        settings = {"bot_token": TOKEN, "telegram_login": "limner_bot", "telegram_login_url": page}
        async with held(serving(dsn, tmp_path, db, **settings)) as served:
            yield served


async def test_what_telegram_says_behind_the_number_sign_reaches_us_and_leaves_the_address(
    site: Site, chromium, db, cast
):
    await links.link(db, cast.alice, "telegram", "7001", "Alicia", provider="Telegram", actor="test", ip="")
    async with Desk(site, chromium).sit() as screen:
        await screen.open("/login")
        await screen.page.click("text=Log in with Telegram")
        await screen.page.wait_for_url("**/dashboard")
        await screen.open("/account")
        await screen.says("alice@example.com, here since")


async def test_who_declined_over_there_is_told(site: Site, chromium):
    async with Desk(site, chromium).sit() as screen:
        await screen.open("/login/telegram/return?state=x#tgAuthResult=false")
        await screen.says("Nothing came of it over there")
        assert "#" not in screen.page.url


async def test_an_act_goes_on_after_the_proof_without_typing_it_again(site: Site, chromium, db, cast):
    async with Desk(site, chromium).sit(cast.carol) as screen:
        await screen.open(f"/admin/users/{cast.bob.id}")
        await screen.page.fill("form[action$='/grants'] [name=credits]", "7")
        await db.execute("update session set proved_at = null")
        await screen.page.click("form[action$='/grants'] button")
        await screen.says("Is it still you?")
        screen.troubles.clear()  # the question is a 401
        await screen.page.fill("[name=proof_password]", CAROL["password"])
        await screen.page.click("form[action$='/grants'] button")
        await screen.says("Give 7 credits?")
        await screen.page.fill("[name=sure_reason]", "welcome")
        await screen.page.click("form[action$='/grants'] button")
        await screen.page.wait_for_url(f"**/admin/users/{cast.bob.id}")
        assert await available(db, cast.bob) == 7
