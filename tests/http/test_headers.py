"""Every answer carries the headers that keep a browser safe: pages, errors, redirects, files, and what is no HTTP."""

from __future__ import annotations

import re

import pytest

from limner.http.middleware import HEADERS
from tests.http.conftest import Page, hang
from tests.http.sitemap import places

ALWAYS = {**HEADERS, "X-Request-Id": None, "Cache-Control": None, "Vary": "HX-Request"}
OWN_POLICY = "sandbox; default-src 'none'"
"""Of pictures: they may not act as a page at all."""


def missing(page: Page) -> list[str]:
    wrong = []
    for name, value in ALWAYS.items():
        found = page.headers.getall(name, [])
        expected = {value, OWN_POLICY} if name == "Content-Security-Policy" else {value}
        if len(found) != 1 or (value is not None and found[0] not in expected):
            wrong.append(f"{name}: {found}")
    return wrong


@pytest.mark.timeout(300)
async def test_every_route_for_everybody(site, cast, alice, carol, stranger):
    sitemap = [place for place in await places(site, cast, alice) if place.pattern != "/threads/{id}/live"]
    for browser in (stranger, alice, carol):
        for place in sitemap:
            for method in (place.method, "HEAD") if place.method == "GET" else (place.method, "DELETE"):
                page = await browser.send(method, place.path)
                assert missing(page) == [], f"{method} {place.path}: {page.status}"


async def test_the_live_stream(alice):
    thread = (await alice.order()).location.partition("#")[0].rpartition("/")[2]
    async with alice.watch(f"/threads/{thread}/live") as stream:
        assert missing(Page(stream.answer.status, stream.answer.headers, b"")) == []
        assert stream.answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/static/0123456789ab/nothing.css", 404),
        ("GET", "/static/0123456789ab/../../../etc/passwd", 404),
        ("PUT", "/studio", 405),
        ("TRACE", "/", 405),
        ("OPTIONS", "/", 405),
        ("POST", "/login", 403),
        ("GET", "/dashboard", 303),
        ("GET", "/health/live", 200),
    ],
)
async def test_errors_and_redirects(stranger, method, path, status):
    page = await stranger.send(method, path)
    assert (page.status, missing(page)) == (status, [])


async def test_a_form_that_is_too_large(stranger):
    page = await stranger.send("POST", "/login", data={"csrf": "x" * 300_000})
    assert (page.status, missing(page)) == (413, [])


async def test_a_crash(stranger, db):
    await db.execute("alter table plan rename to mislaid")
    page = await stranger.get("/")
    assert (page.status, missing(page)) == (500, [])


async def test_too_many_tries(stranger):
    for _ in range(6):
        page = await stranger.post("/login", {"email": "alice@example.com", "password": "wrong-wrong-wrong"})
    assert (page.status, missing(page)) == (429, [])


async def test_a_static_file_is_kept_for_ever_and_one_of_an_old_address_is_not(stranger):
    address = re.search(r'href="(/static/\w+/limner\.css)"', (await stranger.get("/")).text)
    page = await stranger.get(address[1])
    assert (page.status, missing(page)) == (200, [])
    assert page.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    again = await stranger.get(address[1], If_None_Match=page.headers["ETag"])
    assert (again.status, missing(again)) == (304, [])
    old = await stranger.get("/static/0123456789ab/limner.css")
    assert old.headers["Cache-Control"] == "public, max-age=60"


async def test_a_picture_is_for_one_browser_and_can_do_nothing_but_be_looked_at(site, cast, alice):
    picture = (await hang(site, cast.alice))[0]
    for part, kind in (("file", "image/png"), ("thumbnail", "image/webp")):
        page = await alice.get(f"/pictures/{picture}/{part}")
        assert (page.status, missing(page), page.headers["Content-Type"]) == (200, [], kind)
        assert page.headers["Content-Security-Policy"] == OWN_POLICY
        assert page.headers["Cache-Control"] == "private, max-age=86400"
        again = await alice.get(f"/pictures/{picture}/{part}", If_None_Match=page.headers["ETag"])
        assert (again.status, again.body, missing(again)) == (304, b"", [])


async def test_a_members_page_is_kept_nowhere(alice):
    for path in ("/dashboard", "/studio", "/gallery", "/account"):
        assert (await alice.get(path)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ],
)
async def test_what_is_no_http_is_answered_with_our_headers_too(site, sent):
    answer = (await site.raw(sent)).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert re.match(r"HTTP/1\.[01] 400 ", head)
    for name, value in ALWAYS.items():
        assert re.search(rf"^{name}: {re.escape(value) if value else '.'}", head, re.MULTILINE), name
    assert "aiohttp" not in answer
    assert "Python" not in answer
    assert body == "This request cannot be understood."


async def test_an_expectation_that_nobody_can_meet(site):
    answer = await site.raw(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b"\r\nServer: limner\r\n" in answer
    assert b"\r\nContent-Security-Policy: " in answer
