"""Ways out: dead ends before and after the first byte, proxies, and addresses that are never fetched."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import anyio
import pytest

from limner.actors.providers import discretion
from limner.actors.providers.base import Access, Fault, Order, UpstreamError
from limner.actors.providers.egress import PublicResolver, may_fetch
from limner.actors.providers.openai import OpenAI
from limner.runtime.addresses import is_public
from tests.providers.conftest import Steps
from tests.upstreams.openai import FakeOpenAI, Script, painted
from tests.upstreams.proxy import fake_proxy, tls

KEY = "sk-live-abcdefghijklmnopqrstuvwx"
ORDER = Order("a fox", "gpt-image-2", 512, 512, seed=1)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def fault_of(base_url: str, proxy: str | None = None, timeout: float = 20) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await OpenAI().paint(ORDER, Access(KEY, base_url, proxy=proxy, timeout=timeout, is_local=True), Steps())
    return caught.value


async def test_an_upstream_that_refuses_the_connection_is_an_upstream_fault() -> None:
    assert (await fault_of(f"http://127.0.0.1:{closed_port()}/v1")).fault is Fault.UPSTREAM_5XX


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4"])
async def test_a_dead_proxy_is_a_proxy_fault_and_its_password_stays_secret(scheme: str, upstream: FakeOpenAI) -> None:
    caught = await fault_of(upstream.base_url, f"{scheme}://user:hunter22@127.0.0.1:{closed_port()}")
    assert caught.fault is Fault.PROXY_FAILED
    assert "hunter22" not in repr(vars(caught))
    assert upstream.asked == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1", "nonsense", "ftp://127.0.0.1:21"])
async def test_a_proxy_that_makes_no_sense_fails_closed(proxy: str, upstream: FakeOpenAI) -> None:
    assert (await fault_of(upstream.base_url, proxy)).fault is Fault.PROXY_FAILED
    assert upstream.asked == []


def test_a_proxys_password_is_cut_out_however_it_is_written() -> None:
    access = Access(KEY, "https://relay.example/v1", "http://customer-zone-7:p%40ss%2Fword%3A9@proxy.example:3128")
    said = "407 for customer-zone-7 with p@ss/word:9, that is p%40ss%2Fword%3A9"
    told = UpstreamError(Fault.PROXY_FAILED, said, secrets=discretion.secrets(access)).detail
    assert told == "407 for *** with ***, that is ***"


async def test_a_proxy_that_wants_a_password_is_a_proxy_fault() -> None:
    async with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as port:
        assert (await fault_of("https://upstream.invalid/v1", f"http://127.0.0.1:{port}")).fault is Fault.PROXY_FAILED
        assert (await fault_of("http://upstream.invalid/v1", f"http://127.0.0.1:{port}")).fault is Fault.PROXY_FAILED


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_cannot_reach_the_painter_is_not_to_blame(scheme: str, status: int) -> None:
    async with answering(b"HTTP/1.1 %d Not there\r\nContent-Length: 0\r\n\r\n" % status) as port:
        caught = await fault_of(f"{scheme}://upstream.invalid/v1", f"http://127.0.0.1:{port}")
    assert caught.fault is Fault.UPSTREAM_5XX


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy", ["http", "socks5"])
async def test_no_proxy_is_to_blame_for_a_painter_that_is_not_there(proxy: str, scheme: str) -> None:
    async with fake_proxy("reach nobody", scheme=proxy) as way:
        assert (await fault_of(f"{scheme}://upstream.invalid/v1", way.url())).fault is Fault.UPSTREAM_5XX


@pytest.mark.parametrize("proxy", ["http", "socks5"])
async def test_a_painters_bad_certificate_is_not_its_proxys_fault(proxy: str) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=own_certificate())
    async with server, fake_proxy(scheme=proxy) as way:
        caught = await fault_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", way.url())
    assert caught.fault is Fault.UPSTREAM_5XX


def own_certificate() -> ssl.SSLContext:
    """Signed by itself: nobody knows it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls())
    return context


@pytest.mark.parametrize("act", ["drop", "cut"])
async def test_silence_after_the_request_was_sent_is_unknown(act: str, upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(act=act))
    assert (await fault_of(upstream.base_url)).fault is Fault.TIMEOUT_UNKNOWN


async def test_an_upstream_that_never_answers_ends_with_the_time_out(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(act="hang"))
    assert (await fault_of(upstream.base_url, timeout=0.3)).fault is Fault.TIMEOUT_UNKNOWN
    assert len(upstream.asked) == 1


async def test_cancellation_is_not_turned_into_a_fault(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(act="hang"))
    async with anyio.create_task_group() as group:
        group.start_soon(OpenAI().paint, ORDER, Access(KEY, upstream.base_url, is_local=True), Steps())
        await upstream.arrived.wait()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught


async def test_an_http_proxy_carries_the_request(upstream: FakeOpenAI) -> None:
    proxy = upstream.base_url.removesuffix("/v1")  # the fake answers absolute addresses too
    done = await OpenAI().paint(ORDER, Access(KEY, "http://upstream.invalid/v1", proxy=proxy, is_local=True), Steps())
    assert done.data == painted(512, 512)
    assert upstream.asked[0].headers["host"] == "upstream.invalid"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks_proxy_carries_the_request_and_resolves_the_name(scheme: str, upstream: FakeOpenAI) -> None:
    async with socks(upstream) as (port, wanted):
        access = Access(KEY, "http://upstream.invalid:81/v1", proxy=f"{scheme}://127.0.0.1:{port}", is_local=True)
        assert (await OpenAI().paint(ORDER, access, Steps())).data == painted(512, 512)
    assert wanted == ["upstream.invalid:81"]


async def test_silence_behind_a_socks_proxy_after_the_request_was_sent_is_unknown(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(act="drop"))
    async with socks(upstream) as (port, _):
        caught = await fault_of("http://upstream.invalid:81/v1", f"socks5://127.0.0.1:{port}")
    assert caught.fault is Fault.TIMEOUT_UNKNOWN


async def test_a_picture_at_the_upstreams_own_address_is_fetched_without_the_key(upstream: FakeOpenAI) -> None:
    upstream.pictures["fox.png"] = painted(30, 20)
    url = upstream.base_url.replace("/v1", "/files/fox.png")
    upstream.script(KEY, Script(body={"created": 1, "data": [{"url": url}]}))
    done = await OpenAI().paint(ORDER, Access(KEY, upstream.base_url, is_local=True), Steps())
    assert done.data == painted(30, 20)
    assert [(asked.path, asked.key) for asked in upstream.asked] == [
        ("/v1/images/generations", KEY),
        ("/files/fox.png", ""),
    ]


async def test_a_picture_that_is_gone_is_no_image(upstream: FakeOpenAI) -> None:
    url = upstream.base_url.replace("/v1", "/files/gone.png")
    upstream.script(KEY, Script(body={"created": 1, "data": [{"url": url}]}))
    assert (await fault_of(upstream.base_url)).fault is Fault.NO_IMAGE


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0.0.0.0"]
)
async def test_an_answer_cannot_make_us_visit_our_own_machine(host: str, upstream: FakeOpenAI) -> None:
    async with FakeOpenAI().serve() as canary:
        port = canary.base_url.rsplit(":")[-1].removesuffix("/v1")
        upstream.script(KEY, Script(body={"created": 1, "data": [{"url": f"http://{host}:{port}/files/x.png"}]}))
        assert (await fault_of(upstream.base_url)).fault is Fault.NO_IMAGE
        assert canary.asked == []


@pytest.mark.parametrize(("url", "allowed"), [
    ("https://cdn.example.com/a.png", True), ("http://cdn.example.com/a.png", True), ("https://8.8.8.8/a.png", True),
    ("https://cdn.example.com:8443/a.png", False), ("ftp://a.example.com/a.png", False), ("file:///etc/passwd", False),
    ("https://user@a.example.com/a.png", False), ("http://169.254.169.254/latest", False), ("http://10.0.0.5/a", False),
    ("http://192.168.1.1/a", False), ("http://[fd00::1]/a", False), ("http://[64:ff9b::7f00:1]/a", False),
    ("http://100.64.0.1/a", False), ("http://0177.0.0.1/a", False), ("http://127.1/a", False), ("http:///a", False),
    ("http://api.example.com:99999/a", False), ("https://api.example.com/v1/files/1.png", True),
])  # fmt: skip
def test_only_public_addresses_may_be_fetched(url: str, allowed: bool) -> None:
    assert may_fetch(url, "https://api.example.com/v1") is allowed


def test_a_relay_on_a_private_address_may_serve_its_own_pictures() -> None:
    assert may_fetch("http://10.0.0.5:3000/files/1.png", "http://10.0.0.5:3000/v1")
    assert not may_fetch("http://10.0.0.5:5432/", "http://10.0.0.5:3000/v1")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "fe80::1%eth0", "224.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1"]
)
def test_an_address_in_disguise_is_not_public(address: str) -> None:
    assert not is_public(address)


async def test_a_name_that_points_home_is_not_resolved() -> None:
    resolver = PublicResolver()
    with pytest.raises(OSError, match="not a public host"):
        await resolver.resolve("localhost", 80)
    await resolver.close()


@contextlib.asynccontextmanager
async def answering(data: bytes) -> AsyncIterator[int]:
    """A server that says the same to everybody."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def socks(upstream: FakeOpenAI) -> AsyncIterator[tuple[int, list[str]]]:
    """A SOCKS5 proxy that leads every name to the fake; its port and the names it was asked for."""
    wanted: list[str] = []
    behind = int(upstream.base_url.rsplit(":", 1)[1].removesuffix("/v1"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(2))[1])
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        assert kind == 3, "a name, not a resolved address"
        name = await reader.readexactly((await reader.readexactly(1))[0])
        wanted.append(f"{name.decode()}:{int.from_bytes(await reader.readexactly(2), 'big')}")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        inner, outer = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], wanted


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
