"""What Caddy lets in, what it adds, and what it never loses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import anyio
import pytest

from tests.deploy.conftest import SITE, Front, in_front, unverified
from tests.deploy.visitors import Knocks

HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MEGABYTE = 1024 * 1024


def assert_guarded(answer: aiohttp.ClientResponse) -> None:
    for name, part in HEADERS.items():
        assert len(answer.headers.getall(name, [])) == 1, name
        assert part in answer.headers[name]
    assert "Server" not in answer.headers
    assert "Via" not in answer.headers


async def test_an_answer_without_headers_of_its_own_gets_the_defaults(front: Front) -> None:
    async with front.ask("GET", "/anything") as answer:
        assert answer.status == 200
        assert_guarded(answer)


async def test_what_the_studio_says_itself_stands_and_is_not_doubled(front: Front) -> None:
    async with front.ask("GET", "/own-headers") as answer:
        assert answer.headers.getall("X-Frame-Options") == ["SAMEORIGIN"]
        assert answer.headers.getall("Cache-Control") == ["public"]
        assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
        assert "Server" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/metrics", "/health", "/health/live", "//health/ready", "/HEALTH/live", "/a/../metrics"]
)
async def test_health_and_metrics_are_not_for_the_world(front: Front, path: str) -> None:
    status, head, body = await raw(front, "GET", path, SITE)
    assert status == 404  # the upstream answers 200, whatever it is asked
    assert b"content-security-policy" in head.lower()
    assert b"Not Found" in body


async def test_caddys_own_404_is_guarded_and_has_words(front: Front) -> None:
    async with front.ask("GET", "/metrics") as answer:
        assert answer.status == 404
        assert_guarded(answer)
        assert "Not Found" in await answer.text()


async def test_a_studio_that_stays_away_is_a_guarded_502_that_says_when_to_come_back(front: Front) -> None:
    await front.upstream.stop()
    async with front.ask("GET", "/") as answer:
        assert answer.status == 502
        assert answer.headers["Retry-After"] == "5"
        assert_guarded(answer)
        text = await answer.text()
        assert "does not answer just now" in text
        assert "refused" not in text


@pytest.mark.parametrize("method, retry", [("POST", "false"), ("GET", None)])
async def test_a_program_is_told_the_same_in_its_own_form(front: Front, method: str, retry: str | None) -> None:
    """And not to order again by itself: what broke may have taken the order before."""
    await front.upstream.stop()
    async with front.ask(method, "/v1/images/generations") as answer:
        assert (answer.status, answer.content_type) == (502, "application/json")
        assert answer.headers.get("x-should-retry") == retry
        assert answer.headers["Retry-After"] == "5"
        assert_guarded(answer)
        body = await answer.json()
    assert body["error"]["code"] == "http_502"
    assert "does not answer just now" in body["error"]["message"]


async def test_a_program_may_wait_longer_for_its_pictures_than_a_browser_for_a_page(tmp_path: Path) -> None:
    async with in_front(tmp_path, ANSWER="1s", PAINTING="30s") as front:
        async with front.ask("POST", "/v1/images/generations?seconds=2") as answer:
            assert answer.status == 200
        async with front.ask("POST", "/studio?seconds=2") as answer:
            assert answer.status == 504


async def test_only_caddy_says_who_is_asking(front: Front) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
    }
    async with front.ask("GET", "/", headers=forged) as answer:
        seen = (await answer.json())["headers"]
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-host"].partition(":")[0] == SITE
    assert "x-real-ip" not in seen
    assert "forwarded" not in seen


@pytest.mark.parametrize("secure", [True, False])
async def test_an_unknown_name_is_refused(front: Front, secure: bool) -> None:
    status, head, body = await raw(front, "GET", "/", "evil.example", secure=secure)
    assert status == 421
    assert b"content-security-policy" in head.lower()
    assert b"Misdirected" in body


async def test_a_stranger_gets_no_certificate(front: Front) -> None:
    with pytest.raises(aiohttp.ClientConnectorError):
        await front.session.get(f"https://evil.example:{front.https}/")


async def test_plain_http_leads_to_https(front: Front) -> None:
    async with front.session.get(f"http://{SITE}:{front.http}/plans?a=1", allow_redirects=False) as answer:
        assert answer.status == 308
        assert answer.headers["Location"] == f"https://{SITE}/plans?a=1"
        assert_guarded(answer)


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/generations", 40 * MEGABYTE, 200),
        ("/generations", 51 * MEGABYTE, 413),
        ("/login", MEGABYTE - 1, 200),
        ("/login", 2 * MEGABYTE, 413),
        ("/generations/7/cancellation", 2 * MEGABYTE, 413),
        ("/v1/images/edits", 40 * MEGABYTE, 200),
        ("/v1/images/edits", 51 * MEGABYTE, 413),
        ("/v1/images/generations", 2 * MEGABYTE, 413),
    ],
)
async def test_bodies_are_limited_by_address(front: Front, path: str, size: int, status: int) -> None:
    assert await _size_is_answered(front, path, size) == status


async def _size_is_answered(front: Front, path: str, size: int) -> int:
    async with front.ask("POST", path, data=b"x" * size) as answer:
        if answer.status == 413:
            assert_guarded(answer)
        else:
            assert (await answer.json())["size"] == size
        return answer.status


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_pages_are_compressed(front: Front, coding: str) -> None:
    async with front.session.get(
        front.url("/page"), headers={"Accept-Encoding": coding}, auto_decompress=False
    ) as answer:
        assert answer.headers["Content-Encoding"] == coding
        assert len(await answer.read()) < 1000


async def test_pictures_in_json_are_not_packed_again(front: Front) -> None:
    async with front.session.get(front.url("/as-it-is"), headers={"Accept-Encoding": "gzip, zstd"}) as answer:
        assert "Content-Encoding" not in answer.headers


async def test_the_live_stream_arrives_piece_by_piece(front: Front) -> None:
    async with front.ask("GET", "/live", headers={"Accept-Encoding": "gzip, zstd"}) as answer:
        assert "Content-Encoding" not in answer.headers
        async with asyncio.timeout(5):
            assert await answer.content.readline() == b"data: first\n"


async def test_http3_is_offered(front: Front) -> None:
    async with front.ask("GET", "/") as answer:
        assert "h3=" in answer.headers["Alt-Svc"]


async def test_caddys_own_health_is_for_this_machine_alone(front: Front) -> None:
    async with front.session.get(f"http://127.0.0.1:{front.health}/") as answer:
        assert answer.status == 200
        assert await answer.text() == "caddy: alive"


async def test_a_restart_behind_caddy_loses_nothing(front: Front) -> None:
    """Two restarts under load: every GET and every POST is answered, and reached the studio exactly once."""
    knocks = Knocks(front)
    async with asyncio.TaskGroup() as group:
        for method in ("GET", "POST") * 3:
            group.create_task(knocks.go_on(method))
        for _ in range(2):
            await knocks.some_more()
            await front.upstream.stop()
            await front.upstream.start()
        await knocks.some_more()
        knocks.is_over = True
    await front.upstream.stop()
    assert set(knocks.answers) == {("GET", 200), ("POST", 200)}
    assert front.upstream.served == knocks.answers.total() + 1  # one was asked before, to see that it was up


async def raw(front: Front, method: str, path: str, host: str, *, secure: bool = True) -> tuple[int, bytes, bytes]:
    """One request exactly as written, under the right name on the wire: a client would tidy it up."""
    port, tls, name = (front.https, unverified(), SITE) if secure else (front.http, None, None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body
    finally:
        writer.close()


async def test_the_log_has_no_link_that_still_works(front: Front, tmp_path: Path) -> None:
    for path in (
        "/reset/canary-1",
        "/verify/canary-2?x=1",
        "/email/canary-3",
        "/register?invite=canary-4&next=%2Fplans",
    ):
        async with front.ask("GET", path, headers={"Referer": front.url(path)}) as answer:
            await answer.read()
    log = tmp_path / "caddy.log"
    with anyio.fail_after(10):
        while log.read_text().count('"handled request"') < 4:
            await anyio.sleep(0.05)
    assert "/register?invite=-&next=%2Fplans" in log.read_text().replace("\\u0026", "&")
    assert "canary" not in log.read_text()
