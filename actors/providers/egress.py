"""Ways out to a painter: a session for each call, through its proxy, with clocks, caps and guarded addresses."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from python_socks import ProxyError as SocksError

from limner.actors.providers.base import Access, Fault, UpstreamError

KEPT = 4.0
"""Seconds that a connection stays open for the next call: less than any server is known to wait, so that none is closed over
there while we write to it. A request on such a one would have an unknown end."""
CONNECT = 10.0
"""Seconds until the connection stands; the total is the access's own time-out."""
BODY_LIMIT = 64 * 2**20
CHUNK = 2**16
AGENT = "Limner"
SOCKS = ("socks5", "socks5h", "socks4")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass
class Wire:
    """Whether any byte of a request has left: before that, trying again is safe."""

    sent: bool = False


@asynccontextmanager
async def session(access: Access, wire: Wire, *, guarded: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for one call. ``guarded``: connect to public addresses alone (a proxy resolves names by itself)."""
    scheme = urlsplit(access.proxy).scheme if access.proxy else ""
    if access.proxy and scheme not in (*SOCKS, "http", "https"):
        raise UpstreamError(Fault.PROXY_FAILED, "the proxy is neither http nor socks")  # and never silently direct
    socks = access.proxy if scheme in SOCKS else None
    is_guarded = guarded and not access.proxy
    ways = WAYS.get()
    async with aiohttp.ClientSession(
        connector=ways.by(socks, is_guarded) if ways else _connector(socks, is_guarded),
        connector_owner=ways is None,
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_connect=CONNECT),
        proxy=access.proxy if scheme in ("http", "https") else None,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_tracing(wire)],
        headers={"User-Agent": AGENT},
    ) as opened:
        yield opened


class Ways:
    """Connections that stay open for KEPT seconds, apart by proxy and by whether their addresses are guarded.

    aiohttp tells those through HTTP proxies apart by itself; nothing but the connection is shared among calls.
    """

    def __init__(self) -> None:
        self._connectors: dict[tuple[str | None, bool], aiohttp.BaseConnector] = {}

    def by(self, socks: str | None, guarded: bool) -> aiohttp.BaseConnector:
        way = (socks, guarded)
        if way not in self._connectors:
            self._connectors[way] = _connector(socks, guarded)
        return self._connectors[way]

    async def close(self) -> None:
        for connector in self._connectors.values():
            await connector.close()


WAYS: ContextVar[Ways | None] = ContextVar("ways", default=None)


@asynccontextmanager
async def kept_open() -> AsyncIterator[None]:
    """Inside, and in the tasks that are started inside, calls find the connections of calls before them."""
    ways = Ways()
    before = WAYS.set(ways)
    try:
        yield
    finally:
        WAYS.reset(before)
        await ways.close()


def _connector(socks: str | None, guarded: bool) -> aiohttp.BaseConnector:
    if socks:
        url = socks.replace("socks5h:", "socks5:", 1)
        return ProxyConnector.from_url(url, rdns=True, limit=0, keepalive_timeout=KEPT)
    resolver = PublicResolver() if guarded else None
    return aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=0, keepalive_timeout=KEPT)


@contextmanager
def translated(access: Access, wire: Wire) -> Iterator[None]:
    """Foreign exceptions become faults: of the proxy or upstream before a byte was sent, of the unknown afterwards."""
    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        raise _transport(Fault.PROXY_FAILED, access, error) from error
    except (
        aiohttp.ClientError, TimeoutError, OSError, ValueError,
        ProxyError, ProxyConnectionError, ProxyTimeoutError, SocksError,
    ) as error:  # fmt: skip
        early = Fault.PROXY_FAILED if access.proxy else Fault.UPSTREAM_5XX
        raise _transport(Fault.TIMEOUT_UNKNOWN if wire.sent else early, access, error) from error


def secrets(access: Access) -> tuple[str, ...]:
    """What must never be written down of an access."""
    proxy = access.proxy or ""
    return tuple(filter(None, (access.secret, proxy, urlsplit(proxy).password if "://" in proxy else "")))


async def body(response: aiohttp.ClientResponse, limit: int = BODY_LIMIT) -> bytes | None:
    """The whole body after decompression, or None once it is longer than ``limit`` bytes."""
    read = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        read += chunk
        if len(read) > limit:
            return None
    return bytes(read)


def may_fetch(url: str, base_url: str) -> bool:
    """Whether a picture's address may be fetched: the upstream's own host and port, or a public host on 80 or 443.

    Addresses written as numbers are judged here, names when they are resolved (PublicResolver).
    """
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        own = (parts.hostname, port) == (base.hostname, base.port or (443 if base.scheme == "https" else 80))
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        return False
    return own or (port in (80, 443) and parts.hostname != "localhost" and _public_host(parts.hostname))


def is_own(url: str, base_url: str) -> bool:
    """Whether a URL lies on the upstream's own host."""
    return urlsplit(url).hostname == urlsplit(base_url).hostname


def is_public(address: str) -> bool:
    """Whether an IP address is reachable for everybody, seen through IPv4-in-IPv6 disguises."""
    ip: Address = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only, once: the address that was judged is the one that is connected to."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError when the name has no address or any that is not public."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(entry["host"]) for entry in found):
            raise OSError(f"{host} is not a public host")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _public_host(host: str) -> bool:
    """False for numbers that are not public; names pass, to be judged when resolved."""
    try:
        return is_public(host)
    except ValueError:
        return not host.replace(".", "").replace("x", "").isdigit()  # 2130706433, 0x7f.1: numbers in disguise


def _transport(fault: Fault, access: Access, error: Exception) -> UpstreamError:
    return UpstreamError(fault, f"{type(error).__name__}: {error}", secrets=secrets(access))


def _tracing(wire: Wire) -> aiohttp.TraceConfig:
    async def note(*_: Any) -> None:
        wire.sent = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace
