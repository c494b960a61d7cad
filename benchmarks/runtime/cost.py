"""What a phase costs: CPU seconds of a process and of all of Postgres from /proc, and bytes of WAL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the worker and of Postgres, and bytes of WAL; as a moment, or as the difference of two."""

    worker: float
    postgres: float
    wal: int

    def __sub__(self, earlier: Cost) -> Cost:
        return Cost(self.worker - earlier.worker, self.postgres - earlier.postgres, self.wal - earlier.wal)


async def now(connection: Any, *, worker: int, postmaster: int) -> Cost:
    """The two are pids; the connection is the harness's own."""
    wal = await connection.fetchval("select pg_current_wal_insert_lsn() - '0/0'")
    return Cost(family(worker), family(postmaster), int(wal))


def family(pid: int) -> float:
    """CPU seconds of a process, of all below it, and of those below it that have ended and been waited for."""
    return _own(pid) + _ended(pid) + sum(family(child) for child in _children(pid))


def _own(pid: int) -> float:
    """From schedstat, in nanoseconds: the ticks of stat are 10 ms, a tenth of a fast drain's worker."""
    try:
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _ended(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[13]) + int(fields[14])) * TICK  # cutime and cstime


def _children(pid: int) -> list[int]:
    try:
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
