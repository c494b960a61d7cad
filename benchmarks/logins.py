"""Whether a login tells known addresses from unknown ones by its time, and what 20 logins a second do to pages."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import itertools
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import asyncpg

from limner.runtime import embedded, passwords
from limner.runtime.config import Config
from limner.sql import seeds

MOST_APART = 0.005
"""Seconds between the medians of known and unknown."""
PEOPLE = 200
PASSWORD = "alice-likes-vermilion"
ADDRESSES = (str(ipaddress.ip_address("10.0.0.0") + number) for number in itertools.count(1))
"""Everybody comes from elsewhere: what is measured is the work, not the limits."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=200, help="of each kind")
    options.add_argument("--rate", type=float, default=20.0, help="logins a second beside the pages")
    options.add_argument("--seconds", type=float, default=20.0, help="how long pages are loaded, each time")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="limner-logins-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of Postgres has to pass through
        with embedded.throwaway(folder / "pg") as dsn, _web(dsn, folder) as url:
            report = asyncio.run(_measure(url, dsn, chosen.samples, chosen.rate, chosen.seconds))
    print(json.dumps(report))
    sys.exit(any(report[name]["apart_ms"] >= MOST_APART * 1000 for name in ("login", "reset")))


@contextlib.contextmanager
def _web(dsn: str, folder: Path) -> Iterator[str]:
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        del os.environ[name]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    os.environ |= {
        "LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(folder), "LIMNER_HTTP_PORT": str(port),
        "LIMNER_SECRET_KEY": "s" * 40, "LIMNER_TRUSTED_PROXIES": "127.0.0.1", "LIMNER_LOG_LEVEL": "error",
        "LIMNER_VAULT_KEYS": "k1:" + "bGltbmVyLXRlc3Qta2V5LTAxMjM0NTY3ODlhYmNkZWY=",
    }  # fmt: skip
    asyncio.run(seeds.migrate_and_sow(Config.load()))
    with subprocess.Popen([sys.executable, "-P", "-m", "limner.runtime.cli", "web"]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


async def _measure(url: str, dsn: str, samples: int, rate: float, seconds: float) -> dict[str, dict[str, float]]:
    db = await asyncpg.connect(dsn)
    await db.execute(PEOPLED, PEOPLE, await passwords.hash_password(PASSWORD))
    async with _visitor(url) as visitor:
        report = {
            "login": await _compare(db, samples, lambda email: visitor.sends("/login", email, "not-the-password")),
            "reset": await _compare(db, max(20, samples // 4), lambda email: visitor.sends("/reset", email)),
        }
    report["pages"] = await _pages(url, rate, seconds)
    report["load"] = {"average": os.getloadavg()[0], "cores": os.cpu_count() or 1}
    await db.close()
    return report


PEOPLED = """
with made as (
    insert into account (email, password_hash) select 'person' || n || '@example.com', $2 from generate_series(1, $1) as n
    returning id
)
insert into balance (account_id) select id from made
"""


async def _compare(db: asyncpg.Connection, samples: int, ask: Callable[[str], Awaitable[float]]) -> dict[str, float]:
    """Known and unknown in turn, so that whatever else goes on meets both."""
    known, unknown = [], []
    for number in range(samples + 5):
        await db.execute("delete from throttle")
        known.append(await ask(f"person{number % PEOPLE + 1}@example.com"))
        unknown.append(await ask(f"nobody{number % PEOPLE + 1}@example.com"))
    middle = [statistics.median(times[5:]) * 1000 for times in (known, unknown)]
    return {
        "samples": samples, "known_ms": round(middle[0], 2), "unknown_ms": round(middle[1], 2),
        "apart_ms": round(abs(middle[0] - middle[1]), 2),
    }  # fmt: skip


async def _pages(url: str, rate: float, seconds: float) -> dict[str, float]:
    async with _visitor(url) as member:
        await member.sends("/login", "alice@example.com", PASSWORD)
        alone = await _load(member, seconds)
        logins: list[float] = []
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(_flood(url, rate, logins))
            beside = await _load(member, seconds)
            flood.cancel()
    return {
        "p95_alone_ms": _p95(alone), "p95_beside_logins_ms": _p95(beside), "pages_alone": len(alone),
        "pages_beside": len(beside), "logins_a_second": round(len(logins) / seconds, 1), "login_p95_ms": _p95(logins),
    }  # fmt: skip


async def _load(member: _Visitor, seconds: float, rate: float = 25.0) -> list[float]:
    """An even stream of one page, whether or not the one before is there: who waits is counted as waiting."""
    times: list[float] = []
    until, due = time.monotonic() + seconds, time.monotonic()
    async with asyncio.TaskGroup() as group:
        while (due := due + 1 / rate) < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_timed(times, member.gets("/account")))
    return times


async def _flood(url: str, rate: float, times: list[float]) -> None:
    async with _visitor(url) as visitor, asyncio.TaskGroup() as group:
        due = time.monotonic()
        for number in itertools.count():
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(
                _timed(times, visitor.sends("/login", f"person{number % PEOPLE + 1}@example.com", PASSWORD))
            )


async def _timed(times: list[float], work: Awaitable[float]) -> None:
    times.append(await work)


def _p95(times: list[float]) -> float:
    return round(statistics.quantiles(times, n=20)[-1] * 1000, 1) if len(times) > 1 else 0.0


class _Visitor:
    """A browser that comes from another address each time."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self.url = url
        self.client = client
        self.cookies: dict[str, str] = {}
        self.token = ""

    async def arrives(self) -> None:
        for _ in range(600):
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with self.client.get(f"{self.url}/login") as answer:
                    self.cookies = {"visitor": answer.cookies["visitor"].value}
                    self.token = re.findall(r'name="csrf" value="(\w+)"', await answer.text())[0]
                    return
            await asyncio.sleep(0.1)
        raise TimeoutError("web did not start within a minute")

    async def sends(self, path: str, email: str, password: str = "") -> float:
        """Seconds until the whole answer was there. A success leaves its session in ``cookies`` for ``gets``."""
        form = {"csrf": self.token, "email": email, "password": password}
        about = {"X-Forwarded-For": next(ADDRESSES), "Origin": self.url}
        began = time.perf_counter()
        async with self.client.post(
            self.url + path,
            data=form,
            headers=about,
            cookies={"visitor": self.cookies["visitor"]},
            allow_redirects=False,
        ) as answer:
            await answer.read()
            took = time.perf_counter() - began
            if answer.status not in (200, 303, 400):
                raise RuntimeError(f"{path} answered {answer.status}")
            if "session" in answer.cookies:
                self.cookies["session"] = answer.cookies["session"].value
            return took

    async def gets(self, path: str) -> float:
        began = time.perf_counter()
        async with self.client.get(
            self.url + path, cookies={"session": self.cookies["session"]}, allow_redirects=False
        ) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}")
            return time.perf_counter() - began


@contextlib.asynccontextmanager
async def _visitor(url: str) -> AsyncIterator[_Visitor]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        visitor = _Visitor(url, client)
        await visitor.arrives()
        yield visitor


if __name__ == "__main__":
    main()
