"""A real Caddy with the real Caddyfile and its own certificate, and a small upstream behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
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

from limner.runtime.metrics import REGISTRY

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

    lame_duck: float = 0
    """Seconds that it serves on after it was told to stop, as LIMNER_LAME_DUCK has it."""
    port: int = field(default_factory=free_port)
    served: int = 0
    """How often its page was asked for; what Caddy asks about its health is not counted."""
    process: Process | None = None

    async def start(self) -> None:
        command = (sys.executable, str(Path(__file__).with_name("upstream.py")), str(self.port), str(self.lame_duck))
        self.process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert self.process.stdout
        assert await self.process.stdout.readline() == b"up\n"

    def be_unready(self) -> None:
        """It still serves, but says that it would rather not."""
        assert self.process
        self.process.send_signal(signal.SIGUSR1)

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
    """Caddy in front of ``upstreams``, and its three ports."""

    upstreams: tuple[Upstream, ...]
    http: int
    https: int
    health: int
    session: aiohttp.ClientSession
    is_secure: bool = True

    @property
    def upstream(self) -> Upstream:
        return self.upstreams[0]

    def url(self, path: str) -> str:
        return f"https://{SITE}:{self.https}{path}" if self.is_secure else f"http://{SITE}:{self.http}{path}"

    def ask(self, method: str, path: str, **options: Any) -> Any:
        return self.session.request(method, self.url(path), **options)


def caddy_environment(folder: Path, **more: str) -> dict[str, str]:
    mine = {"DOMAIN": SITE, "TLS": "internal", "PUBLIC_URL": f"https://{SITE}", "CADDY_ADMIN": "off"}
    return os.environ | mine | {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")} | more


def caddy_command(verb: str) -> tuple[str, ...]:
    return (str(SCRIPTS / "caddy"), verb, "--adapter", "caddyfile", "--config", str(ROOT / "Caddyfile"))


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """Caddy as it comes, with a certificate of its own, before one web."""
    async with in_front(tmp_path) as found:
        yield found


@contextlib.asynccontextmanager
async def in_front(folder: Path, *, webs: int = 1, is_secure: bool = True, **more: str) -> AsyncIterator[Front]:
    """Caddy before ``webs`` upstreams; ``more`` is what stands in its environment besides."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = tuple(Upstream(2 if webs > 1 else 0) for _ in range(webs))
        for upstream in upstreams:
            await upstream.start()
            stack.push_async_callback(upstream.stop)
        http, https, health = (free_port() for _ in range(3))
        ports = {"CADDY_HTTP_PORT": http, "CADDY_HTTPS_PORT": https, "CADDY_HEALTH_PORT": health}
        settings = {name: str(port) for name, port in ports.items()} | {"PATIENCE": "8s"}
        names = ("UPSTREAM", "UPSTREAM_B")
        settings |= {name: f"127.0.0.1:{upstream.port}" for name, upstream in zip(names, upstreams, strict=False)}
        env = caddy_environment(folder, **settings | more)
        log = stack.enter_context((folder / "caddy.log").open("wb"))
        caddy = await asyncio.create_subprocess_exec(*caddy_command("run"), env=env, stdout=log, stderr=log)
        stack.push_async_callback(_end, caddy)
        connector = aiohttp.TCPConnector(ssl=unverified(), resolver=_Loopback(), force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        found = Front(upstreams, http, https, health, session, is_secure)
        await _until_it_serves(found, caddy, folder / "caddy.log")
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


def known_metrics() -> set[str]:
    """What docs/reference/metrics.md lists, the parts of its histograms, and what every process and Prometheus itself add."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+)", page, flags=re.MULTILINE))
    parts = {
        f"{name}_{part}" for name, kind in listed.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    own = {
        sample.name for family in REGISTRY.collect() for sample in family.samples if family.name.startswith("process_")
    }
    return set(listed) | parts | own | {"up"}
