"""What is printed at the end: the table, the goals, and the summary of the last line."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Measures = Mapping[str, float]
Round = Mapping[str, Mapping[int, Measures]]
"""The measures of a gateway, by the number of callers."""
OURS, THEIRS, DIRECT = "limner", "litellm", "direct"
STEADY = 1.25
"""How far the direct call's p50 may move between rounds before nothing counts that is compared with it."""
ROWS = {
    "rate": "pictures/s",
    "p50": "latency p50, ms",
    "added_p50": "added p50, ms",
    "added_p99": "added p99, ms",
    "cpu": "CPU ms a picture",
    "rss": "RSS, MiB",
    "pss": "PSS, MiB",
    "behind": "small copies to come at the end",
    "behind_s": "  seconds until they hang",
}
GOALS: dict[str, tuple[str, Callable[[float], bool], Callable[[float], bool]]] = {
    "pictures/s": ("rate", lambda ratio: ratio >= 2, lambda ratio: ratio >= 3),
    "added p50": ("added_p50", lambda ratio: ratio <= 1 / 2, lambda ratio: ratio <= 1 / 3),
}
CROWDS = (16, 64)
"""Callers for which the goals are set."""


def measures(answer: Mapping[str, Any]) -> dict[str, float]:
    """Of what callers report."""
    waits = sorted(answer["waits"])
    return {"rate": len(waits) / answer["seconds"], "p50": at(waits, 0.5), "p99": at(waits, 0.99)}


def at(ranked: Sequence[float], share: float) -> float:
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


def beyond(found: dict[str, float], direct: Measures) -> dict[str, float]:
    """With what the gateway adds to the direct call of the same round."""
    return found | {f"added_{name}": found[name] - direct[name] for name in ("p50", "p99")}


def table(rounds: Sequence[Round]) -> str:
    """Medians with their range over the rounds."""
    crowds = sorted({callers for each in rounds for callers in each[DIRECT]})
    lines = [f"\n{len(rounds)} rounds: median (lowest-highest)"]
    for callers in crowds:
        lines.append(f"\n{f'{callers} callers':34}" + "".join(f"{name:>26}" for name in (DIRECT, OURS, THEIRS)))
        for key, title in ROWS.items():
            cells = [_cell(_values(rounds, name, callers, key)) for name in (DIRECT, OURS, THEIRS)]
            if any(cells):
                lines.append(f"{title:34}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)


def unsteady(rounds: Sequence[Round]) -> list[str]:
    moved = {}
    for callers in {callers for each in rounds for callers in each[DIRECT]}:
        values = _values(rounds, DIRECT, callers, "p50")
        moved[callers] = max(values) / min(values)
    return [f"{callers} callers {ratio:.2f}x" for callers, ratio in sorted(moved.items()) if ratio > STEADY]


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Ratios to LiteLLM (medians of the ratio within each round), the goals, and all medians."""
    ratios: dict[str, dict[str, float]] = {}
    goals: dict[str, str] = {}
    for title, (key, is_met, is_stretch) in GOALS.items():
        for callers in CROWDS:
            if found := _ratios(rounds, callers, key):
                ratio = statistics.median(found)
                ratios.setdefault(title, {})[str(callers)] = _short(ratio)
                goals[f"{title}, {callers} callers"] = _word(is_met(ratio), is_stretch(ratio))
    for kind in ("rss", "pss"):
        if found := _ratios(rounds, max(CROWDS), kind):
            ratio = statistics.median(found)
            ratios[kind] = {str(max(CROWDS)): _short(ratio)}
            goals[f"memory, {kind.upper()}"] = _word(ratio <= 1 / 3, stretch=False)
    medians = {
        name: {
            str(callers): {
                key: _short(statistics.median(values))
                for key in ROWS
                if (values := _values(rounds, name, callers, key))
            }
            for callers in sorted({callers for each in rounds for callers in each.get(name, {})})
        }
        for name in (DIRECT, OURS, THEIRS)
    }
    return {"ratios": ratios, "goals": goals, "medians": medians, "rounds": len(rounds), "valid": not unsteady(rounds)}


def _ratios(rounds: Sequence[Round], callers: int, key: str) -> list[float]:
    found = []
    for each in rounds:
        ours, theirs = (each.get(name, {}).get(callers, {}).get(key) for name in (OURS, THEIRS))
        if ours is not None and theirs:
            found.append(ours / theirs)
    return found


def _values(rounds: Sequence[Round], name: str, callers: int, key: str) -> list[float]:
    return [value for each in rounds if (value := each.get(name, {}).get(callers, {}).get(key)) is not None]


def _word(is_met: bool, stretch: bool) -> str:
    return "stretch" if stretch else "met" if is_met else "missed"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle, *ends = (_number(value) for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({'-'.join(ends)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(value: float) -> float:
    return float(f"{value:.3g}")
