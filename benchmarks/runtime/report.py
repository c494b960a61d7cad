"""What is printed at the end: the table, and the summary of the last line."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.runtime.goals import AGAINST_PEERS, LIMIT, OF_OURS, OURS, Round, verdicts
from benchmarks.runtime.peer import CALLERS

STEADY = 2.0
"""How far `bare` may move between rounds before nothing that is divided by it counts."""
WATCHED = ("bulk", "single_1", f"single_{CALLERS}", "drain", "idle_p50", "load_p50")
"""The measures that are watched for that; a p99 moves by itself."""
ROWS = {
    "bulk": "bulk enqueue, jobs/s",
    "single_1": "single enqueue, 1 caller, jobs/s",
    f"single_{CALLERS}": f"single enqueue, {CALLERS} callers, jobs/s",
    "drain": "drain, jobs/s",
    "left": "  left at the cap, jobs",
    "idle_p50": "idle latency p50, ms",
    "idle_p99": "idle latency p99, ms",
    "load_p50": "latency at 200/s p50, ms",
    "load_p99": "latency at 200/s p99, ms",
    "cpu_worker": "drain CPU s/1k, worker",
    "cpu_postgres": "drain CPU s/1k, Postgres",
    "load_cpu": "CPU s/1k at 200/s, both",
    "wal_in": "WAL bytes/job, enqueue",
    "wal": "WAL bytes/job, enqueue to done",
    "unpinned": "claims/s, xmin free",
    "pinned": "claims/s, xmin pinned",
    "killed": "kill -9 to running again, s",
    "listener_recovery": "listener ended, s",
    "restart_recovery": "Postgres restarted, s",
    "restart_outage": "  of which it was away, s",
    "beside_kept": "what other writers keep",
    "beside_rate": "  beside jobs/s",
}


def table(rounds: Sequence[Round]) -> str:
    """Medians with their range over the rounds, a column for each peer."""
    peers = sorted({name for each in rounds for name in each}, key=lambda name: (name != LIMIT, name != OURS, name))
    lines = [
        "",
        f"{len(rounds)} rounds: median (lowest-highest)",
        f"{'':34}" + "".join(f"{name:>26}" for name in peers),
    ]
    for key, title in ROWS.items():
        cells = [_cell([each[name][key] for each in rounds if key in each.get(name, {})]) for name in peers]
        if any(cells):
            lines.append(f"{title:34}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)


def unsteady(rounds: Sequence[Round]) -> list[str]:
    """The measures of `bare` that moved too far."""
    values = {key: [each[LIMIT][key] for each in rounds if key in each.get(LIMIT, {})] for key in WATCHED}
    moved = {key: max(found) / min(found) for key, found in values.items() if found}
    return [f"{key} {ratio:.1f}x" for key, ratio in moved.items() if ratio > STEADY]


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Ratios, the reached goals, and each peer's medians; null where a peer or a phase was left out."""
    ratios: dict[str, dict[str, float | None]] = {
        f"{item.goal} {item.title}": {name: _short(value) for name, value in item.ratios(rounds).items()}
        for item in AGAINST_PEERS
    }
    for item in OF_OURS:
        found = {name: item.values(rounds, peer) for name, peer in (("ours", OURS), ("bare", LIMIT))}
        ratios[f"{item.goal} {item.title}"] = {
            name: _short(statistics.median(each)) for name, each in found.items() if each
        }
    return {
        "ratios": ratios,
        "goals": verdicts(rounds),
        "medians": _medians(rounds),
        "rounds": len(rounds),
        "valid": not unsteady(rounds),
    }


def _medians(rounds: Sequence[Round]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, list[float]]] = {}
    for each in rounds:
        for peer, measures in each.items():
            for key, value in measures.items():
                found.setdefault(peer, {}).setdefault(key, []).append(value)
    return {
        peer: {key: _short(statistics.median(values)) for key, values in measures.items()}
        for peer, measures in found.items()
    }


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{_number(statistics.median(values))} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(value: float) -> float | None:
    """Three digits; None for what never came, as JSON has no infinity."""
    return None if math.isinf(value) else float(f"{value:.3g}")
