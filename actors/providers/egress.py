"""Ways out to a painter: a session for each call, through its proxy, with clocks, caps and guarded addresses."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from errno import EACCES
from ssl import SSLCertVerificationError, create_default_context
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from python_socks import ProxyError as SocksError
from python_socks.async_.asyncio.v2 import Proxy

from limner.actors.providers import discretion
from limner.actors.providers.base import Access, Fault, OnStep, Step, UpstreamError
from limner.runtime.addresses import is_public, may_be_public

KEPT = 4.0
"""Seconds that a connection stays open for the next call: less than any server is known to wait, so that none is closed over
there while we write to it. A request on such a one would have an unknown end."""
CONNECT = 10.0
"""Seconds until the connection stands. The access says how long an answer may keep silent, and how long all may take."""
PROXY_CONNECT = 4.0
"""The same through a proxy, all handshakes included: a black hole costs no more than this before another way is taken."""
BODY_LIMIT = 64 * 2**20
CHUNK = 2**16
AGENT = "Limner"
SOCKS = ("socks5", "socks5h", "socks4")
NOT_REACHED = (502, 503, 504, 3, 4, 5)
"""How a proxy says that it is well and its target is not: answers to CONNECT, and replies of SOCKS 5."""
CERTIFICATE = (SSLCertVerificationError, aiohttp.ClientConnectorCertificateError)
NO_TUNNEL = (400, 403, 404, 405, 501)
"""How a proxy says that it knows no CONNECT, or not to this port."""


@dataclass
class Wire:
    """Whether any byte of a request has left: before that, trying again is safe. ``is_ours``: we are telling a step."""

    sent: bool = False
    is_ours: bool = False


@asynccontextmanager
async def session(
    access: Access, wire: Wire, *, guarded: bool = False, anew: bool = False
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for one call. Private addresses are connected to only where the access is local; ``guarded``: not even
    then. A proxy resolves names by itself.

    ``anew``: no connection of a call before it will do, since it is the connecting that is tried out.
    """
    connect = PROXY_CONNECT if access.proxy else CONNECT
    way = await _way(access, guarded=guarded or not access.is_local)
    ways = None if anew else WAYS.get()
    async with aiohttp.ClientSession(
        connector=ways.by(way) if ways else _connector(way),
        connector_owner=ways is None,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=access.silence),
        proxy=way.proxy if way.kind == "forwarded" else None,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_tracing(wire, is_guarded=way.kind == "guarded")],
        headers={"User-Agent": AGENT},
    ) as opened:
        yield opened


class Way(NamedTuple):
    """How a connection is made: "straight", "guarded", "socks", or by an HTTP proxy "tunnelled" or "forwarded"."""

    kind: str
    proxy: str | None = None


async def _way(access: Access, *, guarded: bool) -> Way:
    """Never silently direct. Raises UpstreamError."""
    scheme = urlsplit(access.proxy).scheme if access.proxy else ""
    if not access.proxy:
        return Way("guarded" if guarded else "straight")
    if scheme in SOCKS:
        return Way("socks", access.proxy)
    if scheme not in ("http", "https"):
        raise UpstreamError(Fault.PROXY_FAILED, "the proxy is neither http nor socks")
    if access.base_url.startswith("http:") and await _tunnels(access.proxy, access.base_url):
        return Way("tunnelled", access.proxy)
    return Way("forwarded", access.proxy)


class Ways:
    """Connections that stay open for KEPT seconds, each way apart; nothing but the connection is shared among calls.

    aiohttp tells those that one HTTP proxy forwards apart from those of another by itself.
    """

    def __init__(self) -> None:
        self._connectors: dict[Way, aiohttp.BaseConnector] = {}

    def by(self, way: Way) -> aiohttp.BaseConnector:
        if way not in self._connectors:
            self._connectors[way] = _connector(way)
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


def _connector(way: Way) -> aiohttp.BaseConnector:
    about: dict[str, Any] = {"limit": 0, "keepalive_timeout": KEPT}
    if way.kind == "socks" and way.proxy:
        return ProxyConnector.from_url(way.proxy.replace("socks5h:", "socks5:", 1), rdns=True, **about)
    if way.kind == "tunnelled" and way.proxy:
        secure = create_default_context() if way.proxy.startswith("https:") else None
        return ProxyConnector.from_url(way.proxy.replace("https:", "http:", 1), proxy_ssl=secure, **about)
    resolver = PublicResolver() if way.kind == "guarded" else None
    return aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, **about)


@contextmanager
def translated(access: Access, wire: Wire) -> Iterator[None]:
    """Foreign exceptions become faults: of the proxy or upstream before a byte was sent, of the unknown afterwards."""
    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        fault = Fault.UPSTREAM_5XX if error.status in NOT_REACHED else Fault.PROXY_FAILED
        raise _transport(fault, access, error) from error
    except (
        aiohttp.ClientError, TimeoutError, OSError, ValueError,
        ProxyError, ProxyConnectionError, ProxyTimeoutError, SocksError,
    ) as error:  # fmt: skip
        if wire.is_ours:
            raise
        early = Fault.PROXY_FAILED if access.proxy and not _is_targets(error, access) else Fault.UPSTREAM_5XX
        raise _transport(Fault.TIMEOUT_UNKNOWN if wire.sent else early, access, error) from error


def _is_targets(error: Exception, access: Access) -> bool:
    """Whether the proxy has done its part, and what lies behind it has not."""
    if isinstance(error, SocksError | ProxyError):
        return error.error_code in NOT_REACHED
    is_certificate = isinstance(error, CERTIFICATE) or isinstance(error.__cause__, CERTIFICATE)
    return is_certificate and not (access.proxy or "").startswith("https:")  # that could be the proxy's own


def telling(on_step: OnStep, wire: Wire) -> OnStep:
    """Tells steps from inside ``translated``: trouble of whoever is told is his own, and no fault of the upstream's."""

    async def tell(step: Step) -> None:
        wire.is_ours = True
        try:
            await on_step(step)
        except anyio.get_cancelled_exc_class():
            wire.is_ours = False
            raise
        wire.is_ours = False

    return tell


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
    return own or (port in (80, 443) and may_be_public(parts.hostname))


def is_own(url: str, base_url: str) -> bool:
    """Whether a URL lies on the upstream's own host."""
    return urlsplit(url).hostname == urlsplit(base_url).hostname


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
            raise OSError(EACCES, f"{host} is not a public host")
        return found

    async def close(self) -> None:
        await self._inner.close()


async def _tunnels(proxy: str, base_url: str) -> bool:
    """Whether a proxy lets plain HTTP through a tunnel, which shows before a byte of the request leaves that it is alive.

    False: it forwards requests instead. Raises what aiohttp-socks does when it answers nothing, or wants a password.
    """
    target = urlsplit(base_url)
    try:
        with anyio.fail_after(PROXY_CONNECT):
            stream = await _dialer(proxy).connect(target.hostname or "", target.port or 80, timeout=PROXY_CONNECT)
    except SocksError as error:
        if error.error_code in NO_TUNNEL:
            return False
        raise
    await stream.close()
    return True


def _dialer(proxy: str) -> Proxy:
    """Of an http or https proxy."""
    secure = create_default_context() if proxy.startswith("https:") else None
    return Proxy.from_url(proxy.replace("https:", "http:", 1), proxy_ssl=secure)


def _transport(fault: Fault, access: Access, error: Exception) -> UpstreamError:
    return UpstreamError(fault, f"{type(error).__name__}: {error}", secrets=discretion.secrets(access))


def _tracing(wire: Wire, *, is_guarded: bool) -> aiohttp.TraceConfig:
    async def note(*_: Any) -> None:
        wire.sent = True

    async def judge(_: aiohttp.ClientSession, __: Any, about: aiohttp.TraceRequestStartParams) -> None:
        """Names are judged when they are resolved; a number goes past every resolver."""
        host = about.url.host or ""
        if not may_be_public(host):
            raise UpstreamError(
                Fault.UPSTREAM_5XX, f"{host} is a private address, and the provider is not marked as local"
            )

    trace = aiohttp.TraceConfig()
    if is_guarded:
        trace.on_request_start.append(judge)
    trace.on_request_headers_sent.append(note)
    return trace
