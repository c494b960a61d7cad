"""What more processes bring: 1 to 4 webs behind Caddy under a bounded load, 1 to 4 workers on a bounded queue, in turn."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

from limner.actors.visitor import Visitor
from limner.runtime import embedded, log
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.vault import Vault
from limner.sql import accounts, channels, generations, keys, seeds
from limner.sql.generations import Order
from limner.sql.models import Size

COUNTS = (1, 2, 3, 4)
CALLERS = 16
"""Who each ask for the studio's page again as soon as they have it."""
WARM_UP = 1.0
ORDERS, EACH = 12, 8
"""Pictures are ordered so many at a time; a worker has 8 in hand at the most."""
PAINTING = 1.0
"""Seconds that a painter takes for a picture, and the worker waits."""
POOL = 5
PATIENCE = 60.0
SLOTS_OPEN = "update plan set concurrency = 100"
GRANT = "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', 1000000, 'for the benchmark')"
LEFT = "select count(*) from job where state in ('queued', 'running')"
ALIVE = "select count(*) from worker where role = $1 and state = 'running' and seen_at > now() - interval '10 s'"
SESSIONS = """
select regexp_replace(application_name, '^limner-', '') as who, count(*) as sessions from pg_stat_activity
where datname = current_database() and application_name like 'limner-%' group by 1
"""
CADDYFILE = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy {upstreams} {{
        lb_policy least_conn
    }}
}}
"""
TICKS = os.sysconf("SC_CLK_TCK")
CHANNELS = [value for name, value in vars(channels).items() if name.isupper()]


@dataclass
class Place:
    """A data folder with a durable Postgres, and the processes that run on it now."""

    folder: Path
    config: Config
    running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)

    def start(self, role: str, **settings: object) -> None:
        environment = os.environ | {f"LIMNER_{name.upper()}": str(value) for name, value in settings.items()}
        self._begin(role, [sys.executable, "-P", "-m", "limner.runtime.cli", role], environment)

    def start_caddy(self, port: int, webs: list[int]) -> None:
        path = self.folder / "Caddyfile"
        path.write_text(CADDYFILE.format(port=port, upstreams=" ".join(f"127.0.0.1:{each}" for each in webs)))
        program = Path(sys.executable).with_name("caddy")
        self._begin("caddy", [str(program), "run", "--adapter", "caddyfile", "--config", str(path)], dict(os.environ))

    def _begin(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                command, env=environment | {"HOME": str(self.folder)}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, preexec_fn=embedded.die_with_parent(signal.SIGTERM),
            )  # fmt: skip
        self.running.append((name, process))

    def stop(self, *names: str) -> None:
        ended = [(name, process) for name, process in self.running if name in names]
        for _, process in ended:
            process.send_signal(signal.SIGINT if names == ("postgres",) else signal.SIGTERM)
        for each in ended:
            each[1].wait(PATIENCE)
            self.running.remove(each)

    def usage(self) -> dict[str, list[tuple[float, float]]]:
        """For each role's processes, those below them included: processor seconds so far, and resident MiB."""
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        below = _children()
        for name, process in self.running:
            parts = [_usage(pid) for pid in _family(process.pid, below)]
            found[name].append((sum(cpu for cpu, _ in parts), sum(rss for _, rss in parts)))
        return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=5.0, help="of load on the webs, each time")
    chosen = options.parse_args()
    log.set_up("bench", level="warning")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it early finds nothing left of it, too
    report = asyncio.run(_measure(chosen.rounds, chosen.seconds))
    print(json.dumps(report))


async def _measure(rounds: int, seconds: float) -> dict[str, Any]:
    loads = [os.getloadavg()[0]]
    webs: dict[int, list[dict[str, float]]] = defaultdict(list)
    workers: dict[int, list[dict[str, float]]] = defaultdict(list)
    async with _place() as place:
        for number in range(rounds):
            for count in COUNTS if number % 2 == 0 else reversed(COUNTS):
                webs[count].append(await _serve(place, count, seconds))
                workers[count].append(await _paint(place, count))
                loads.append(os.getloadavg()[0])
                print(f"round {number + 1}, {count}: webs {webs[count][-1]}, workers {workers[count][-1]}", flush=True)
    report = {
        "rounds": rounds,
        "webs": {count: _medians(found, "per_s", webs[1]) for count, found in sorted(webs.items())},
        "workers": {count: _medians(found, "per_s", workers[1]) for count, found in sorted(workers.items())},
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load_before": round(loads[0], 2),
                    "load_most": round(max(loads), 2)},
    }  # fmt: skip
    _print_table(report)
    return report


def _medians(found: list[dict[str, float]], ratio: str, ones: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure; and how it compares with one process, round by round, since neighbours in time are alike."""
    middle = {name: round(statistics.median(each[name] for each in found), 3) for name in found[0]}
    ratios = [each[ratio] / one[ratio] for each, one in zip(found, ones, strict=True)]
    return middle | {"of_one": round(statistics.median(ratios), 2)}


async def _serve(place: Place, count: int, seconds: float) -> dict[str, float]:
    """A signed-in visitor's studio page, through Caddy, as often as CALLERS get it."""
    door, *ports = _free_ports(count + 1)
    for port in ports:
        place.start("web", http_port=port, public_url=f"http://127.0.0.1:{door}", database_pool=POOL,
                    trusted_proxies="127.0.0.1/32")  # fmt: skip
    place.start_caddy(door, ports)
    try:
        for port in (*ports, door):
            await _until_it_answers(f"http://127.0.0.1:{port}/login")
        async with _visitor(place, f"http://127.0.0.1:{door}") as visitor:
            await _ask(visitor, WARM_UP)
            before, began = place.usage(), time.monotonic()
            waits, sessions = await asyncio.gather(_ask(visitor, seconds), _most_sessions(place, seconds))
            took, after = time.monotonic() - began, place.usage()
    finally:
        place.stop("caddy", "web")
    ranked = sorted(waits)
    return {
        "per_s": round(len(waits) / took, 1),
        "p50_ms": round(ranked[len(ranked) // 2] * 1000, 1),
        "p95_ms": round(ranked[int(len(ranked) * 0.95)] * 1000, 1),
        "web_rss_mib": round(statistics.mean(rss for _, rss in after["web"]), 1),
        "sessions": sessions["web"],
        **{f"{name}_ms_per_page": _cpu_ms(before, after, name, len(waits)) for name in ("web", "caddy", "postgres")},
    }


@contextlib.asynccontextmanager
async def _visitor(place: Place, address: str) -> AsyncIterator[Visitor]:
    """The same one each time: an address may register only so many."""
    connector = aiohttp.TCPConnector(limit=CALLERS)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), connector=connector) as session:
        visitor = Visitor(session, address)
        if not place.cookies:
            await visitor.register()
            place.cookies = {cookie.key: cookie.value for cookie in session.cookie_jar}
        session.cookie_jar.update_cookies(place.cookies, URL(address))
        yield visitor


async def _ask(visitor: Visitor, seconds: float) -> list[float]:
    """Seconds of each answer, by CALLERS at once for so long. Raises when one is no 200."""
    waits: list[float] = []
    until = time.monotonic() + seconds

    async def call() -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            async with visitor.session.get(visitor.url + "/studio", allow_redirects=False) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"the studio answered {answer.status}")
            waits.append(time.monotonic() - began)

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return waits


async def _most_sessions(place: Place, seconds: float) -> Counter[str]:
    """The most that each role had open at one of ten looks."""
    most: Counter[str] = Counter()
    connection = await asyncpg.connect(place.config.dsn)
    try:
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            for row in await connection.fetch(SESSIONS):
                most[row["who"]] = max(most[row["who"]], row["sessions"])
    finally:
        await connection.close()
    return most


async def _paint(place: Place, count: int) -> dict[str, float]:
    """ORDERS x EACH pictures of a painter who takes PAINTING seconds, from the first order until all are there."""
    for _ in range(count):
        place.start("worker", database_pool=POOL)
    try:
        async with open_database(place.config.dsn, role="bench", pool=3) as db, _told(place) as told:
            await _until(db, f"select ({ALIVE}) >= $2", "worker", count)
            heard, before, began = sum(told.values()), place.usage(), time.monotonic()
            watch = asyncio.create_task(_most_sessions(place, ORDERS * EACH * PAINTING / 8 / count))
            await _order(db)
            while await db.fetchval(LEFT):
                await asyncio.sleep(0.05)
            took, after = time.monotonic() - began, place.usage()
            heard = sum(told.values()) - heard
            sessions = await watch
    finally:
        place.stop("worker")
    return {
        "per_s": round(ORDERS * EACH / took, 2),
        "bound_per_s": count * 8 / PAINTING,
        "worker_rss_mib": round(statistics.mean(rss for _, rss in after["worker"]), 1),
        "sessions": sessions["worker"],
        "notifications_per_s": round(heard / took, 1),
        "notifications_per_picture": round(heard / (ORDERS * EACH), 2),
        **{f"{name}_ms_per_picture": _cpu_ms(before, after, name, ORDERS * EACH) for name in ("worker", "postgres")},
    }


async def _order(db: Database) -> None:
    alice = await accounts.find(db, "alice@example.com")
    assert alice
    for _ in range(ORDERS):
        order = Order(alice.id, "a barn", "simulator", Size(512, 512), count=EACH)
        await generations.order(db, order, deadline=300)


@contextlib.asynccontextmanager
async def _told(place: Place) -> AsyncIterator[Counter[str]]:
    """Counts, by channel, what one session that listens to everything is told."""
    told: Counter[str] = Counter()
    connection = await asyncpg.connect(place.config.dsn)

    def hear(_: object, __: int, channel: str, ___: object) -> None:
        told[channel] += 1

    for channel in CHANNELS:
        await connection.add_listener(channel, hear)
    try:
        yield told
    finally:
        for channel in CHANNELS:
            await connection.remove_listener(channel, hear)
        await connection.close()


@contextlib.asynccontextmanager
async def _place() -> AsyncIterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-", dir="/tmp"))
    folder.chmod(0o755)  # the user of Postgres has to pass through
    for name in [name for name in os.environ if name.startswith("LIMNER_") and name != "LIMNER_PG_BIN"]:
        del os.environ[name]
    os.environ |= {
        "LIMNER_DATA_DIR": str(folder / "var"),
        "LIMNER_SECRET_KEY": secrets.token_hex(32),
        "LIMNER_SANDBOX_SECRET": secrets.token_hex(32),
        "LIMNER_VAULT_KEYS": "k1:" + base64.b64encode(os.urandom(32)).decode(),
        "LIMNER_LOG_LEVEL": "warning",
        "LIMNER_DRAIN": "1",
    }
    config = Config.load()
    place = Place(folder, config)
    try:
        place.start("postgres")
        await _until_postgres(config.dsn)
        await seeds.migrate_and_sow(config)
        async with open_database(config.dsn, role="bench", pool=2) as db:
            await _furnish(db, config)
        yield place
    finally:
        place.stop("caddy", "web", "worker")
        place.stop("postgres")
        shutil.rmtree(folder, ignore_errors=True)


async def _furnish(db: Database, config: Config) -> None:
    alice = await accounts.find(db, "alice@example.com")
    assert alice
    await keys.add(
        db, Vault.from_config(config), "simulator", "brush", "simulated-1", actor="bench", concurrency=64,
        switch=f"slow seconds={PAINTING:g}",
    )  # fmt: skip
    await db.execute(SLOTS_OPEN)
    await db.execute(GRANT, alice.id)


async def _until(db: Database, sql: str, *arguments: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await db.fetchval(sql, *arguments):
            await asyncio.sleep(0.1)


async def _until_postgres(dsn: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                await (await asyncpg.connect(dsn)).close()
                return
            await asyncio.sleep(0.1)


async def _until_it_answers(url: str) -> None:
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


Usage = dict[str, list[tuple[float, float]]]


def _cpu_ms(before: Usage, after: Usage, role: str, pieces: int) -> float:
    """Milliseconds of processor time that all processes of a role used for each; says something on a busy machine, too."""
    seconds = sum(cpu for cpu, _ in after[role]) - sum(cpu for cpu, _ in before[role])
    return round(seconds * 1000 / pieces, 2)


def _children() -> dict[int, list[int]]:
    below: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            below[int(_stat(int(folder.name))[1])].append(int(folder.name))
    return below


def _family(pid: int, below: dict[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in below.get(pid, []):
        yield from _family(child, below)


def _usage(pid: int) -> tuple[float, float]:
    """Processor seconds, those of children that ended included, and resident MiB; nothing of one that ended meanwhile."""
    try:
        fields = _stat(pid)
        rss = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0, 0.0
    return sum(map(int, fields[11:15])) / TICKS, int(rss[1]) / 1024 if rss else 0.0


def _stat(pid: int) -> list[str]:
    """From the state on: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _print_table(report: dict[str, Any]) -> None:
    for role in ("webs", "workers"):
        print(f"\n{role}, medians of {report['rounds']} rounds")
        for count, figures in report[role].items():
            print(f"  {count}: " + ", ".join(f"{name} {figure:g}" for name, figure in figures.items()))
    print(f"\non {report['machine']}\n")


if __name__ == "__main__":
    main()
