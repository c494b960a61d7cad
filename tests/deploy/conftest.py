"""A real Caddy with the real Caddyfile and its own certificate, and a small upstream behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.abc
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
SITE = "studio.localhost"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unverified() -> ssl.SSLContext:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


@dataclass
class Upstream:
    """The process behind Caddy. ``served`` counts what all its lives answered, up to the last stop."""

    port: int = field(default_factory=free_port)
    served: int = 0
    process: Process | None = None

    async def start(self) -> None:
        command = (sys.executable, str(Path(__file__).with_name("upstream.py")), str(self.port))
        self.process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert self.process.stdout
        assert await self.process.stdout.readline() == b"up\n"

    async def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        said, _ = await self.process.communicate()
        assert self.process.returncode == 0
        self.served += int(said)
        self.process = None


@dataclass
class Front:
    """Caddy in front of ``upstream``, and its three ports."""

    upstream: Upstream
    http: int
    https: int
    health: int
    session: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"https://{SITE}:{self.https}{path}"

    def ask(self, method: str, path: str, **options: Any) -> Any:
        return self.session.request(method, self.url(path), **options)


def caddy_environment(folder: Path, **more: str) -> dict[str, str]:
    mine = {"DOMAIN": SITE, "TLS": "internal", "PUBLIC_URL": f"https://{SITE}", "CADDY_ADMIN": "off"}
    return os.environ | mine | {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")} | more


def caddy_command(verb: str) -> tuple[str, ...]:
    return (str(SCRIPTS / "caddy"), verb, "--adapter", "caddyfile", "--config", str(ROOT / "Caddyfile"))


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with contextlib.AsyncExitStack() as stack:
        upstream = Upstream()
        await upstream.start()
        stack.push_async_callback(upstream.stop)
        http, https, health = (free_port() for _ in range(3))
        ports = {"CADDY_HTTP_PORT": http, "CADDY_HTTPS_PORT": https, "CADDY_HEALTH_PORT": health}
        settings = {name: str(port) for name, port in ports.items()}
        env = caddy_environment(tmp_path, UPSTREAM=f"127.0.0.1:{upstream.port}", PATIENCE="8s", **settings)
        log = stack.enter_context((tmp_path / "caddy.log").open("wb"))
        caddy = await asyncio.create_subprocess_exec(*caddy_command("run"), env=env, stdout=log, stderr=log)
        stack.push_async_callback(_end, caddy)
        connector = aiohttp.TCPConnector(ssl=unverified(), resolver=_Loopback(), force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        found = Front(upstream, http, https, health, session)
        await _until_it_serves(found, caddy, tmp_path / "caddy.log")
        yield found


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


class _Loopback(aiohttp.abc.AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        return None


async def _until_it_serves(front: Front, caddy: Process, log: Path) -> None:
    async with asyncio.timeout(30):
        while True:
            assert caddy.returncode is None, log.read_text()
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with front.ask("GET", "/") as answer:
                    assert answer.status == 200
                    return
            await asyncio.sleep(0.05)
