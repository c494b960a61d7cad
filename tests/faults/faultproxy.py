"""A TCP proxy in front of Postgres that can go deaf, break, refuse or slow down, without either side doing anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


@dataclass
class FaultProxy:
    """``dsn`` leads through it. It passes everything on until it is told otherwise."""

    target: str
    port: int = 0
    latency: float = 0.0
    """Seconds that each piece waits, either way."""
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _refuses: bool = False
    _pairs: set[Pair] = field(default_factory=set)

    @property
    def dsn(self) -> str:
        parts = urlsplit(self.target)
        return f"postgresql://{parts.username}@127.0.0.1:{self.port}{parts.path}"

    def blackhole(self) -> None:
        """From now on nothing arrives, in either direction; connections stay open, and new ones are taken."""
        self._open.clear()

    def refuse(self) -> None:
        """Break every connection, and every new one."""
        self._refuses = True
        self.reset()

    def reset(self) -> None:
        """Break every connection there is."""
        for pair in list(self._pairs):
            for writer in pair:
                _break(writer)

    def heal(self) -> None:
        self._refuses = False
        self._open.set()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[FaultProxy]:
        self._open.set()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.heal()
            self.reset()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            return _break(writer)
        (folder,) = parse_qs(urlsplit(self.target).query)["host"]
        onward, back = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        self._pairs.add((writer, back))
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(onward, writer))
        finally:
            self._pairs.discard((writer, back))

    async def _pump(self, source: asyncio.StreamReader, goal: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                await self._open.wait()
                if self.latency:
                    await asyncio.sleep(self.latency)
                goal.write(piece)
                await goal.drain()
        goal.close()


def _break(writer: asyncio.StreamWriter) -> None:
    """Reset, not close: the other side learns it at once."""
    if connected := writer.get_extra_info("socket"):
        with contextlib.suppress(OSError):
            linger: Any = struct.pack("ii", 1, 0)
            if connected.family == socket.AF_INET:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
