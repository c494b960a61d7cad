"""What the worker role costs while there is nothing to do: statements a second, share of a core, memory."""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import asyncpg

from limner.runtime import embedded
from limner.runtime.config import Config
from limner.sql import seeds

GOAL = {"statements_per_s": 2.0, "core_percent": 1.0}
SETTLE = 25.0
"""Seconds of rest before anything is counted: what was opened for the start is closed again after 20."""
TICKS = os.sysconf("SC_CLK_TCK")
PREFIX = "limner-idle %a: "
STATEMENT = re.compile(r"^limner-idle (?P<who>\S*): LOG:  (?:execute [^:]*|statement): (?P<sql>.*)")


@dataclass(frozen=True)
class Reading:
    """The processor seconds that a process has used, and its memory in MiB."""

    cpu: float
    rss: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0, help="how long to watch")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="limner-idle-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of Postgres has to pass through
        with embedded.throwaway(folder / "pg") as dsn, _worker(dsn, folder) as worker:
            report = _watch(dsn, worker, folder / "pg" / "postgres.log", chosen.seconds)
    print(json.dumps(report))


@contextlib.contextmanager
def _worker(dsn: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        del os.environ[name]
    os.environ |= {
        "LIMNER_DATABASE_URL": dsn,
        "LIMNER_DATA_DIR": str(folder),
        "LIMNER_SECRET_KEY": secrets.token_hex(32),
        "LIMNER_VAULT_KEYS": "k1:" + base64.b64encode(os.urandom(32)).decode(),
    }
    anyio.run(seeds.migrate_and_sow, Config.load())
    worker = subprocess.Popen([sys.executable, "-P", "-m", "limner.runtime.cli", "worker"])
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)


def _watch(dsn: str, worker: subprocess.Popen[bytes], log: Path, seconds: float) -> dict[str, Any]:
    time.sleep(SETTLE)
    anyio.run(_log_statements, dsn)
    start, before, began = log.stat().st_size, _read(worker.pid), time.monotonic()
    time.sleep(seconds)
    after, took = _read(worker.pid), time.monotonic() - began
    if worker.poll() is not None:
        raise RuntimeError(f"the worker ended with {worker.returncode}")
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(start)
        told = collections.Counter(_told(lines))
    _print_statements(told, took)
    return {
        "seconds": round(took, 1),
        "statements_per_s": round(sum(told.values()) / took, 2),
        "core_percent": round((after.cpu - before.cpu) / took * 100, 2),
        "rss_mib": round(after.rss, 1),
        "goal": GOAL,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
    }


async def _log_statements(dsn: str) -> None:
    """Have Postgres write down each statement from now on."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"alter system set log_line_prefix = '{PREFIX}'")
        await connection.execute("alter system set log_statement = 'all'")
        await connection.execute("select pg_reload_conf()")
    finally:
        await connection.close()
    await anyio.sleep(1)


def _told(lines: Iterator[str]) -> Iterator[str]:
    """The beginning of each statement of the worker: those that open with a line break take it from the next line."""
    for line in lines:
        if (found := STATEMENT.match(line)) and found["who"].startswith("limner-"):
            yield " ".join((found["sql"].strip() or next(lines, "").strip()).split())[:90]


def _read(pid: int) -> Reading:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Reading((int(fields[11]) + int(fields[12])) / TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def _print_statements(told: collections.Counter[str], seconds: float) -> None:
    print(f"{'a minute':>9}  statement")
    for statement, times in told.most_common():
        print(f"{times / seconds * 60:9.1f}  {statement}")


if __name__ == "__main__":
    main()
