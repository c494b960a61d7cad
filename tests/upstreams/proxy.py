"""A stand-in for a proxy: it tunnels (CONNECT), and can be told to hang, to refuse or to want a password."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class FakeProxy:
    """``asked``: what was asked for; ``carried``: the local ports of tunnels, as the upstream sees its peers."""

    act: str = "carry"
    login: str = ""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    carried: list[int] = field(default_factory=list)

    def url(self, login: str = "") -> str:
        return f"http://{login + '@' if login else ''}127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.asked.append(head.splitlines()[0])
            if self.act == "hang":
                await reader.read()
            elif self.login and base64.b64encode(self.login.encode()).decode() not in head:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif self.act == "refuse":
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            else:
                await self._tunnel(head.split()[1], reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        self.carried.append(back.get_extra_info("sockname")[1])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.wait(
            [asyncio.ensure_future(_pump(reader, back)), asyncio.ensure_future(_pump(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        back.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


@contextlib.asynccontextmanager
async def fake_proxy(act: str = "carry", *, login: str = "") -> AsyncIterator[FakeProxy]:
    proxy = FakeProxy(act, login)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


@contextlib.asynccontextmanager
async def front_door(port: int) -> AsyncIterator[tuple[int, list[int]]]:
    """What stands before an upstream and writes down from which port each connection came: (its port, peers)."""
    peers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[1])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.wait(
            [asyncio.ensure_future(_pump(reader, back)), asyncio.ensure_future(_pump(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        back.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], peers
    finally:
        server.close()
