"""What Caddy lets in, what it adds, and what it never loses."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from tests.deploy.conftest import SITE, Front

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


@pytest.mark.parametrize("path", ["/metrics", "/health", "/health/live", "//health/ready", "/HEALTH/live", "/a/../metrics"])
async def test_health_and_metrics_are_not_for_the_world(front: Front, path: str) -> None:
    before = front.upstream.served
    status, head, _ = await raw(front, "GET", path, SITE)
    assert status == 404
    assert b"content-security-policy" in head.lower()
    assert front.upstream.served == before


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
    before = front.upstream.served
    status, head, body = await raw(front, "GET", "/", "evil.example", secure=secure)
    assert status == 421
    assert b"content-security-policy" in head.lower()
    assert b"Misdirected" in body
    assert front.upstream.served == before


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
    """Two restarts under load: every GET and every POST is answered, and served exactly once."""
    served, asked = front.upstream.served, 0
    is_over = asyncio.Event()

    async def knock(method: str) -> list[int]:
        nonlocal asked
        statuses = []
        while not is_over.is_set():
            asked += 1
            async with front.ask(method, "/", data=b"x" if method == "POST" else None) as answer:
                statuses.append(answer.status)
        return statuses

    async with asyncio.TaskGroup() as group:
        visitors = [group.create_task(knock(method)) for method in ("GET", "POST") * 3]
        for _ in range(2):
            await _until(lambda before=front.upstream.served: front.upstream.served >= before + 50)
            await front.upstream.stop()
            stopped_at = asked
            await front.upstream.start()
        await _until(lambda: asked >= stopped_at + 50)
        is_over.set()
    statuses = [status for visitor in visitors for status in visitor.result()]
    assert len(statuses) == asked
    assert set(statuses) == {200}
    assert front.upstream.served - served == asked


async def _until(is_so: object) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def raw(front: Front, method: str, path: str, host: str, *, secure: bool = True) -> tuple[int, bytes, bytes]:
    """One request exactly as written, under the right name on the wire: a client would tidy it up."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", front.https if secure else front.http, ssl=_unverified() if secure else None,
        server_hostname=SITE if secure else None,
    )  # fmt: skip
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body
    finally:
        writer.close()


def _unverified() -> object:
    import ssl

    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls
