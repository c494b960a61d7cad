"""No painter connects to a private address, however it is written or resolved, unless its provider is marked as local."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from limner.actors.providers.base import KINDS, Access, Fault, ListsModels, Order, TellsBalance, UpstreamError, provider
from limner.runtime.addresses import may_be_public
from limner.runtime.errors import Refused
from limner.sql import painters
from tests.providers.conftest import Steps

OUTSIDE = sorted(set(KINDS) - set(painters.PAINT_HERE))
ORDER = Order("a fox", "core", 1024, 1024, seed=1)
NUMBERS = ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "[::1]",
           "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "2130706433", "0x7f.1",
           "0177.0.0.1", "127.1", "localhost", "LOCALHOST."]  # fmt: skip


@pytest.fixture
async def door() -> AsyncIterator[tuple[int, list[int]]]:
    """A server on this machine that nobody may visit: its port, and the visits."""
    visits: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(1)
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], visits


async def faults(kind: str, access: Access) -> list[UpstreamError]:
    """What comes of all that a painter can be asked."""
    painter, found = provider(kind), list[UpstreamError]()
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: painter.paint(ORDER, access, Steps()),
        lambda: painter.check(access),
    ]
    if isinstance(painter, ListsModels):
        asked.append(lambda: painter.models(access))
    if isinstance(painter, TellsBalance):
        asked.append(lambda: painter.balance(access))
    for ask in asked:
        with pytest.raises(UpstreamError) as caught:
            await ask()
        found.append(caught.value)
    return found


def access(kind: str, base: str, *, is_local: bool = False) -> Access:
    settings: dict[str, object] = {"platform_url": base} if kind == "fal" else {}
    settings |= {"balance": "openrouter"} if kind == "relay" else {}
    return Access("user:secret", base, timeout=10, settings=settings, is_local=is_local)


@pytest.mark.parametrize("kind", OUTSIDE)
@pytest.mark.parametrize("host", NUMBERS)
async def test_a_number_of_ours_is_not_connected_to(kind: str, host: str, door: tuple[int, list[int]]) -> None:
    port, visits = door
    for error in await faults(kind, access(kind, f"http://{host}:{port}/v1")):
        assert error.fault is Fault.UPSTREAM_5XX
        assert "is a private address" in error.detail
    assert visits == []


@pytest.mark.parametrize("kind", OUTSIDE)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_to_one_is_not_connected_to(
    kind: str, address: str, door: tuple[int, list[int]], names: dict[str, str]
) -> None:
    port, visits = door
    names["painter.example"] = address
    for error in await faults(kind, access(kind, f"http://painter.example:{port}/v1")):
        assert error.fault is Fault.UPSTREAM_5XX
        assert "painter.example is not a public host" in error.detail
    assert visits == []


@pytest.mark.parametrize("kind", OUTSIDE)
async def test_where_the_provider_is_local_it_is(kind: str, door: tuple[int, list[int]]) -> None:
    port, visits = door
    for error in await faults(kind, access(kind, f"http://127.0.0.1:{port}/v1", is_local=True)):
        assert "private" not in error.detail
    assert visits


@pytest.mark.parametrize("kind", OUTSIDE)
@pytest.mark.parametrize("host", NUMBERS)
def test_it_is_refused_already_when_it_is_typed(kind: str, host: str) -> None:
    with pytest.raises(Refused) as refused:
        painters.check_address(kind, f"http://{host}:8080/v1", is_local=False)
    assert refused.value.field == "base_url"
    assert painters.check_address(kind, f"http://{host}:8080/v1/", is_local=True) == f"http://{host}:8080/v1"


@pytest.mark.parametrize(
    "host", ["api.openai.com", "8.8.8.8", "2606:4700::1111", "localhost.example.com", "10.example"]
)
def test_others_may_be_public(host: str) -> None:
    assert may_be_public(host)
