"""From the click to the picture: how long a user of the all-in-one mode waits, and how much memory everything takes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from limner.actors.visitor import Visitor
from limner.runtime import allinone, log, raster
from limner.runtime.config import Config

SIZE = "1024x1024"
WARM_UP = 3
SETTLE = 5.0
"""Seconds of rest before memory is read."""
PROMPTS = (
    "a fox in the snow",
    "mountains at dawn, blue and gold",
    "a city at night in the rain",
    "a still life with pears",
)


@dataclass(frozen=True)
class Wait:
    """Seconds from the click until the page's live stream showed the delivered picture, and until its bytes were here."""

    shown: float
    downloaded: float


@dataclass(frozen=True)
class Memory:
    """One process: MiB. ``rss`` counts shared pages in every process, ``pss`` shares them out."""

    name: str
    rss: float
    pss: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--orders", type=int, default=50, help="at most 55 a minute: the site limits an account")
    chosen = options.parse_args()
    log.set_up("bench", level="warning")
    with _settings() as config:
        report = anyio.run(_measure, config, chosen.orders)
    print(json.dumps(report))


@contextmanager
def _settings() -> Iterator[Config]:
    """A data folder and a port of its own; the roles read them from the environment."""
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-", dir="/tmp"))
    folder.chmod(0o755)  # the user of Postgres has to pass through
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    for name in [name for name in os.environ if name.startswith("LIMNER_") and name != "LIMNER_PG_BIN"]:
        del os.environ[name]
    os.environ["LIMNER_DATA_DIR"] = str(folder / "var")
    os.environ["LIMNER_HTTP_PORT"] = str(port)
    os.environ["LIMNER_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    try:
        yield Config.load()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(config: Config, orders: int) -> dict[str, Any]:
    began = time.monotonic()
    async with allinone.running(config) as limner:
        started = time.monotonic() - began
        await anyio.sleep(SETTLE)
        idle = memory()
        waits = await _visit(limner.address, orders)
        await anyio.sleep(SETTLE)
        after = memory()
    shown, downloaded = _summary([wait.shown for wait in waits]), _summary([wait.downloaded for wait in waits])
    _print_waits(shown, downloaded, len(waits))
    _print_memory(idle, after)
    return {
        "orders": len(waits),
        "size": SIZE,
        "click_to_shown_s": shown,
        "click_to_downloaded_s": downloaded,
        "start_s": round(started, 2),
        "idle_mib": _total(idle),
        "after_mib": _total(after),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()},
    }


async def _visit(address: str, orders: int) -> list[Wait]:
    jar: Any = aiohttp.CookieJar(unsafe=True)  # an address without a name has cookies too
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=60)) as session:
        visitor = Visitor(session, address)
        await visitor.register()
        await visitor.buy_plan()
        for number in range(WARM_UP):
            await _click(visitor, PROMPTS[number])
        return [await _click(visitor, PROMPTS[number % len(PROMPTS)]) for number in range(orders)]


async def _click(visitor: Visitor, prompt: str) -> Wait:
    """The composer is open already; the clock starts when its form is sent."""
    studio = await visitor.read("/studio")
    fields = {name: _field(studio, name) for name in ("model", "idempotency_key")}
    began = time.monotonic()
    thread = await visitor.send(studio, "/generations", prompt=prompt, size=SIZE, count="1", **fields)
    picture = await visitor.wait_for_picture(thread)
    shown = time.monotonic() - began
    async with visitor.session.get(visitor.url + picture) as answer:
        data = await answer.read()
    downloaded = time.monotonic() - began
    shape = await raster.verify(data)
    assert f"{shape.width}x{shape.height}" == SIZE, shape
    return Wait(shown, downloaded)


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]+)"', page)
    assert found, f"the composer has no {name}"
    return unescape(found[1])


def memory() -> list[Memory]:
    """Every process below this one. Empty where there is no /proc."""
    return _memory_of(_descendants(os.getpid()))


def memory_of(pid: int) -> list[Memory]:
    """The process and every one below it. Empty where there is no /proc."""
    return _memory_of([pid, *_descendants(pid)])


def _memory_of(pids: list[int]) -> list[Memory]:
    if not Path("/proc/self/smaps_rollup").exists():
        return []
    found = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # a connection's process may end meanwhile
            found.append(_memory(pid))
    return found


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        children.setdefault(_parent(folder), []).append(int(folder.name))
    found, waiting = [], list(children.get(pid, []))
    while waiting:
        found.append(each := waiting.pop())
        waiting += children.get(each, [])
    return sorted(each for each in found if _smaps(each))


def _parent(folder: Path) -> int:
    """0 for a process that has ended meanwhile."""
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (ProcessLookupError, FileNotFoundError):
        return 0


def _memory(pid: int) -> Memory:
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M))
    return Memory(_name(pid), int(sizes["Rss"]) / 1024, int(sizes["Pss"]) / 1024)


def _smaps(pid: int) -> str:
    """Empty for a process that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return ""


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if "postgres" in words:
        return "postgres"
    if "supervisord" in words:
        return "supervisord"
    return words.split()[-1]


def _summary(seconds: list[float]) -> dict[str, float]:
    ranked = sorted(seconds)
    p95 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))]
    return {
        "median": round(statistics.median(ranked), 3),
        "p95": round(p95, 3),
        "min": round(ranked[0], 3),
        "max": round(ranked[-1], 3),
    }


def _total(processes: list[Memory]) -> dict[str, float]:
    return {"rss": round(sum(each.rss for each in processes)), "pss": round(sum(each.pss for each in processes))}


def _print_waits(shown: dict[str, float], downloaded: dict[str, float], orders: int) -> None:
    print(f"\n{orders} orders of {SIZE}, one after another, seconds")
    print(f"{'':28}{'median':>8}{'p95':>8}{'min':>8}{'max':>8}")
    for name, row in (("click -> on the page", shown), ("click -> bytes are here", downloaded)):
        print(f"{name:28}" + "".join(f"{row[column]:8.3f}" for column in ("median", "p95", "min", "max")))


def _print_memory(idle: list[Memory], after: list[Memory]) -> None:
    print(f"\n{'memory, MiB':28}{'idle':>16}{'after the orders':>20}")
    print(f"{'':28}{'RSS':>8}{'PSS':>8}{'RSS':>12}{'PSS':>8}")
    for name in sorted({each.name for each in [*idle, *after]}):
        _print_row(name, *([each for each in moment if each.name == name] for moment in (idle, after)))
    _print_row("together", idle, after)


def _print_row(name: str, idle: list[Memory], after: list[Memory]) -> None:
    first, second = _total(idle), _total(after)
    label = f"{name} x{len(after)}" if name == "postgres" else name
    print(f"{label:28}{first['rss']:8}{first['pss']:8}{second['rss']:12}{second['pss']:8}")


if __name__ == "__main__":
    main()
