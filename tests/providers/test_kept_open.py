"""Connections that stay open for the next call: by the same way only, and nothing but the connection is shared."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from limner.actors.providers import egress
from limner.actors.providers.base import Access, Fault, Order, UpstreamError
from limner.actors.providers.egress import Wire, kept_open
from limner.actors.providers.openai import OpenAI
from tests.providers.conftest import Steps
from tests.providers.test_egress import pump, socks
from tests.upstreams.openai import FakeOpenAI, Script, painted

KEYS = ("sk-live-abcdefghijklmnopqrstuvwx", "sk-live-yzabcdefghijklmnopqrstuv")
ORDER = Order("a fox", "gpt-image-2", 512, 512, seed=1)


@dataclass
class Door:
    """Leads to the fake, and counts who comes in."""

    port: int
    came: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, what may be taken again is still there."""
    monkeypatch.setattr(egress, "KEPT", 120.0)


@pytest.fixture
async def door(upstream: FakeOpenAI) -> AsyncIterator[Door]:
    async with door_to(upstream) as door:
        yield door


@contextlib.asynccontextmanager
async def door_to(upstream: FakeOpenAI) -> AsyncIterator[Door]:
    behind = int(upstream.base_url.rsplit(":", 1)[1].removesuffix("/v1"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door.came += 1
        inner, outer = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    door = Door(server.sockets[0].getsockname()[1])
    async with server:
        yield door


async def paint(access: Access) -> bytes:
    return (await OpenAI().paint(ORDER, access, Steps())).data


async def test_calls_one_after_another_take_one_connection_each_with_its_own_key(door, upstream):
    async with kept_open():
        for key in KEYS:
            assert await paint(Access(key, door.base_url, is_local=True)) == painted(512, 512)
    assert door.came == 1
    assert [asked.key for asked in upstream.asked] == list(KEYS)


async def test_without_it_each_call_connects_anew(door):
    for key in KEYS:
        await paint(Access(key, door.base_url, is_local=True))
    assert door.came == 2


async def test_what_goes_through_a_proxy_never_takes_a_connection_that_does_not(door, upstream):
    async with kept_open(), door_to(upstream) as proxy:
        ways = (None, f"http://127.0.0.1:{proxy.port}", f"http://user:word@127.0.0.1:{proxy.port}")
        for _ in range(2):
            for way in ways:
                await paint(Access(KEYS[0], door.base_url, proxy=way, is_local=True))
    assert door.came == 1
    tries = 4  # each call asks first whether this proxy tunnels
    assert proxy.came - tries == 2, "with another name at the proxy it is another way"


async def test_each_socks_proxy_has_connections_of_its_own(upstream):
    async with kept_open(), socks(upstream) as (one, asked_one), socks(upstream) as (two, asked_two):
        for _ in range(2):
            for port in (one, two):
                await paint(
                    Access(KEYS[0], "http://upstream.invalid:81/v1", proxy=f"socks5://127.0.0.1:{port}", is_local=True)
                )
    assert asked_one == asked_two == ["upstream.invalid:81"]


async def test_a_guarded_call_never_takes_a_connection_to_our_own_machine(door):
    access = Access(KEYS[0], door.base_url.replace("127.0.0.1", "localhost"), is_local=True)
    async with kept_open():
        await paint(access)
        async with egress.session(access, Wire(), guarded=True) as session:
            with pytest.raises(UpstreamError, match="private address"):
                await session.get(f"{access.base_url}/models")
    assert door.came == 1


async def test_a_connection_that_was_closed_over_there_is_not_taken_again(upstream):
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, kept_open():
        base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        for _ in range(3):
            with pytest.raises(UpstreamError) as caught:
                await OpenAI().check(Access(KEYS[0], base_url, is_local=True))
            assert caught.value.fault is Fault.AUTH_DEAD
            await closed.wait()
            closed.clear()
            await asyncio.sleep(0)  # our end hears of it


async def test_what_was_sent_counts_for_its_own_call_alone(door, upstream):
    async with kept_open():
        await paint(Access(KEYS[0], door.base_url, is_local=True))
        upstream.script(KEYS[1], Script(act="drop"))
        with pytest.raises(UpstreamError) as caught:
            await paint(Access(KEYS[1], door.base_url, is_local=True))
        assert caught.value.fault is Fault.TIMEOUT_UNKNOWN
        wire = Wire()
        async with egress.session(Access(KEYS[0], door.base_url, is_local=True), wire):
            assert not wire.sent
        assert await paint(Access(KEYS[0], door.base_url, is_local=True)) == painted(512, 512)
    assert door.came == 2
