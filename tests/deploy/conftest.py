"""A real Caddy with the real Caddyfile, its own certificate, and a small upstream behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

ROOT = Path(__file__).parents[2]
CADDY = Path(sys.executable).with_name("caddy")
SITE = "studio.localhost"
LINGER = 0.2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Upstream:
    """What stands where web does: it tells what it was sent, and can be stopped and started."""

    port: int = field(default_factory=free_port)
    served: int = 0
    runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=100 * 1024 * 1024)
        app.router.add_get("/live", self._stream)
        app.router.add_get("/own-headers", self._own_headers)
        app.router.add_get("/page", self._page)
        app.router.add_route("*", "/{path:.*}", self._echo)
        self.runner = web.AppRunner(app, shutdown_timeout=2)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self.runner:
            for site in list(self.runner.sites):
                await site.stop()
            await asyncio.sleep(LINGER)
            await self.runner.cleanup()
        self.runner = None

    async def _echo(self, request: web.Request) -> web.Response:
        size = len(await request.read())
        self.served += 1
        return web.json_response({"headers": {name.lower(): value for name, value in request.headers.items()}, "size": size})

    async def _own_headers(self, request: web.Request) -> web.Response:
        return web.Response(headers={"X-Frame-Options": "SAMEORIGIN", "Cache-Control": "public", "Server": "secretive/1.0"})

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text="a page " * 1000, content_type="text/html")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.Event().wait()
        return response


@dataclass
class Front:
    """Caddy in front of ``upstream``; ``get`` and ``post`` speak to it as a browser would, over TLS."""

    upstream: Upstream
    http: int
    https: int
    health: int
    session: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"https://{SITE}:{self.https}{path}"

    def ask(self, method: str, path: str, **options: object) -> aiohttp.client._RequestContextManager:
        return self.session.request(method, self.url(path), **options)  # type: ignore[arg-type]


def environment(folder: Path, **more: str) -> dict[str, str]:
    return os.environ | {
        "DOMAIN": SITE,
        "TLS": "internal",
        "PUBLIC_URL": f"https://{SITE}",
        "CADDY_ADMIN": "off",
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        **more,
    }


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    upstream = Upstream()
    await upstream.start()
    ports = {"CADDY_HTTP_PORT": free_port(), "CADDY_HTTPS_PORT": free_port(), "CADDY_HEALTH_PORT": free_port()}
    settings = {name: str(port) for name, port in ports.items()}
    env = environment(tmp_path, UPSTREAM=f"127.0.0.1:{upstream.port}", PATIENCE="6s", **settings)
    with (tmp_path / "caddy.log").open("wb") as log:
        command = (str(CADDY), "run", "--adapter", "caddyfile", "--config", str(ROOT / "Caddyfile"))
        caddy = await asyncio.create_subprocess_exec(*command, env=env, cwd=tmp_path, stdout=log, stderr=log)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=tls, resolver=_Loopback(), force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            found = Front(upstream, *ports.values(), session)
            await _until_it_serves(found, caddy, tmp_path / "caddy.log")
            yield found
    finally:
        await upstream.stop()
        if caddy.returncode is None:
            caddy.kill()
        await caddy.wait()


class _Loopback(aiohttp.abc.AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None: ...


async def _until_it_serves(front: Front, caddy: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            assert caddy.returncode is None, log.read_text()
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with front.ask("GET", "/") as answer:
                    assert answer.status == 200
                    return
            await asyncio.sleep(0.05)
