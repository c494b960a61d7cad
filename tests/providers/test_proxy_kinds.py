"""Proxies of every kind: they carry, want their password, die and hang, and never does a byte go past them."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp.connector
import pytest

from limner.actors.providers.base import Access, Fault, Order, UpstreamError
from limner.actors.providers.openai import OpenAI
from limner.actors.workbench import _exit
from tests.providers.conftest import Steps
from tests.upstreams.openai import FakeOpenAI, painted
from tests.upstreams.proxy import fake_proxy, front_door, tls

KEY = "sk-live-abcdefghijklmnopqrstuvwx"
ORDER = Order("a fox", "gpt-image-2", 512, 512, seed=1)
kinds = pytest.mark.parametrize("scheme", ["http", "https", "socks5"])


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's certificate is among those that OpenSSL trusts, as an operator would see to it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls()))


async def paint(base: str, proxy: str, timeout: float = 30) -> bytes:
    access = Access(KEY, base, proxy=proxy, timeout=timeout, is_local=True)
    return (await OpenAI().paint(ORDER, access, Steps())).data


@kinds
@pytest.mark.parametrize("login", ["", "me:hunter-22"])
async def test_it_carries_the_request_and_nobody_else_comes(scheme: str, login: str, upstream: FakeOpenAI) -> None:
    async with front_door(urlsplit(upstream.base_url).port or 0) as (port, peers):
        async with fake_proxy(scheme=scheme, login=login) as proxy:
            assert await paint(f"http://127.0.0.1:{port}/v1", proxy.url(login)) == painted(512, 512)
            assert peers
            assert set(peers) <= set(proxy.carried)


@kinds
@pytest.mark.parametrize("act", ["carry", "refuse", "hang"])
async def test_an_upstream_with_tls_is_spoken_to_through_it_or_not_at_all(
    scheme: str, act: str, upstream: FakeOpenAI
) -> None:
    aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(tls())  # it was made before we had a certificate
    async with front_door(urlsplit(upstream.base_url).port or 0, with_tls=True) as (port, peers):
        async with fake_proxy(act, scheme=scheme, login="me:hunter-22") as proxy:
            if act == "carry":
                assert await paint(f"https://127.0.0.1:{port}/v1", proxy.url("me:hunter-22")) == painted(512, 512)
                assert peers
                assert set(peers) <= set(proxy.carried)
            else:
                await fails(port, proxy.url("me:hunter-22"), "https")
                assert peers == []


@kinds
async def test_it_tells_where_it_comes_out(scheme: str, upstream: FakeOpenAI) -> None:
    upstream.pictures["address"] = b"203.0.113.7\n"
    asked = upstream.base_url.replace("/v1", "/files/address")
    async with fake_proxy(scheme=scheme) as proxy:
        found = await _exit(asked, proxy.url(), is_local=True)
        assert (found.address, found.is_through) == ("203.0.113.7", True), found.words
        assert proxy.carried


@kinds
@pytest.mark.parametrize("trouble", ["wrong password", "refuses", "hangs", "is dead"])
async def test_its_trouble_is_its_own_and_nothing_goes_past_it(scheme: str, trouble: str, upstream: FakeOpenAI) -> None:
    act = {"refuses": "refuse", "hangs": "hang"}.get(trouble, "carry")
    async with front_door(urlsplit(upstream.base_url).port or 0) as (port, peers):
        async with fake_proxy(act, scheme=scheme, login="me:hunter-22") as proxy:
            url = proxy.url("me:hunter-23" if trouble == "wrong password" else "me:hunter-22")
            if trouble != "is dead":
                await fails(port, url)
        if trouble == "is dead":
            await fails(port, url)
        assert peers == []


@pytest.mark.parametrize("act", ["carry", "refuse"])
async def test_one_whose_certificate_nobody_vouches_for_is_not_spoken_to(
    act: str, upstream: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with front_door(urlsplit(upstream.base_url).port or 0) as (port, peers):
        async with fake_proxy(act, scheme="https") as proxy:
            await fails(port, proxy.url())
            assert (peers, proxy.asked) == ([], [])


async def fails(port: int, proxy: str, scheme: str = "http") -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(f"{scheme}://127.0.0.1:{port}/v1", proxy)
    assert caught.value.fault is Fault.PROXY_FAILED
    assert "hunter" not in repr(vars(caught.value))
