"""Where somebody comes from: the peer's address, or the last word of a proxy that was named in the settings."""

from __future__ import annotations

import pytest

from limner.sql import throttles
from tests.conftest import held
from tests.http.conftest import Browser, serving

ALICE = {"email": "alice@example.com", "password": "alice-likes-vermilion"}
OTHER_HEADERS = {
    "X-Real-IP": "192.0.2.66", "Forwarded": "for=192.0.2.66", "X-Client-IP": "192.0.2.66", "True-Client-IP": "192.0.2.66",
    "CF-Connecting-IP": "192.0.2.66", "X-Forwarded": "for=192.0.2.66", "X-Cluster-Client-IP": "192.0.2.66",
}  # fmt: skip


@pytest.fixture
async def behind_caddy(dsn, tmp_path, db):
    """The site with loopback as its trusted proxy."""
    async with held(serving(dsn, tmp_path, db, trusted_proxies="127.0.0.1/32, ::1")) as served:
        yield await served.browser()


async def came_from(browser: Browser, *forwarded: str, **headers: str) -> str:
    """The address that a login with these headers is filed under."""
    token = await browser.csrf()
    sent = [("Origin", browser.site.url), *(("X-Forwarded-For", value) for value in forwarded), *headers.items()]
    page = await browser.send("POST", "/login", data=ALICE | {"csrf": token}, headers=sent)
    assert page.status == 303
    return await browser.site.db.fetchval("select ip from session order by created_at desc limit 1")


async def test_nobody_is_believed_by_default(stranger):
    assert await came_from(stranger, "192.0.2.1", **OTHER_HEADERS) == "127.0.0.1"


@pytest.mark.parametrize(
    "forwarded, address",
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1", "198.51.100.9"], "198.51.100.9"),
        (["127.0.0.1, 192.0.2.1 "], "192.0.2.1"),
        (["2001:db8::7"], "2001:db8::7"),
        (["nonsense"], "127.0.0.1"),
        (["192.0.2.1, nonsense"], "127.0.0.1"),
        (["192.0.2.1; drop table"], "127.0.0.1"),
        ([""], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
async def test_a_trusted_proxys_last_word_is_believed(behind_caddy, forwarded, address):
    assert await came_from(behind_caddy, *forwarded) == address


async def test_no_other_header_is_ever_believed(behind_caddy):
    assert await came_from(behind_caddy, **OTHER_HEADERS) == "127.0.0.1"


async def test_a_proxy_from_elsewhere_is_not_believed(dsn, tmp_path, db):
    async with serving(dsn, tmp_path, db, trusted_proxies="10.0.0.0/8") as site:
        assert await came_from(await site.browser(), "192.0.2.1") == "127.0.0.1"


async def test_changing_headers_does_not_lift_a_limit(stranger, db):
    for _ in range(throttles.LOGIN_BY_ADDRESS.burst):
        await throttles.take(db, throttles.LOGIN_BY_ADDRESS, "login from 127.0.0.1")
    for number in range(3):
        forged = dict.fromkeys([*OTHER_HEADERS, "X-Forwarded-For"], f"192.0.2.{number}")
        assert (await stranger.post("/login", ALICE, headers=forged)).status == 429


async def test_behind_a_proxy_everybody_has_a_limit_of_their_own(behind_caddy, db):
    for _ in range(throttles.LOGIN_BY_ADDRESS.burst):
        await throttles.take(db, throttles.LOGIN_BY_ADDRESS, "login from 192.0.2.1")
    for made_up in ("", "203.0.113.5, "):
        page = await behind_caddy.post("/login", ALICE, headers={"X-Forwarded-For": f"{made_up}192.0.2.1"})
        assert page.status == 429
    assert (await behind_caddy.post("/login", ALICE, headers={"X-Forwarded-For": "192.0.2.2"})).status == 303


async def test_a_whole_ipv6_network_shares_one_limit(behind_caddy, db):
    for _ in range(throttles.LOGIN_BY_ADDRESS.burst):
        await throttles.take(db, throttles.LOGIN_BY_ADDRESS, "login from 2001:db8:0:7")
    for last in ("1", "2"):
        page = await behind_caddy.post("/login", ALICE, headers={"X-Forwarded-For": f"2001:db8:0:7::{last}"})
        assert page.status == 429


async def test_no_address_of_ours_comes_from_the_host_header(bob, site, db):
    about = {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https"}
    page = await bob.send("GET", "/login", headers=about)
    assert "evil.test" not in page.text + str(page.headers)
    await bob.post("/plans/monthly/invoices", headers=about)
    assert await db.fetchval("select count(*) from invoice where checkout_url like '%evil%'") == 0
