"""The twelve goals of the runtime: what is compared, and when it is reached."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.runtime.peer import CALLERS
from benchmarks.runtime.peers import NAMES

Round = Mapping[str, Mapping[str, float]]
"""The measures of each peer."""
OURS = "limner"
LIMIT = "bare"
GRAPHILE = "graphile"
PYTHON = tuple(name for name in NAMES if name not in (OURS, LIMIT, GRAPHILE))
SAME_ROUND = {
    "ours/bare": (LIMIT,),
    "ours/best_python": PYTHON,
    "ours/graphile": (GRAPHILE,),
    "ours/best": (*PYTHON, GRAPHILE),
}
LEASE = 15.0
"""Seconds: our default."""


@dataclass(frozen=True)
class Measure:
    """One line of the comparison. ``asks`` are the bounds on its ratios, at least for a rate and at most for a cost."""

    goal: int
    title: str
    key: str
    asks: Mapping[str, float]
    is_rate: bool = True

    def ratios(self, rounds: Sequence[Round]) -> dict[str, float]:
        """Medians over the rounds of the ratio within each."""
        found = {name: [self._ratio(each, others) for each in rounds] for name, others in SAME_ROUND.items()}
        return {name: _median(ratios) for name, ratios in found.items() if any(ratio is not None for ratio in ratios)}

    def is_met(self, rounds: Sequence[Round]) -> bool | None:
        """None when a peer that it is about did not run."""
        ratios = self.ratios(rounds)
        if any(name not in ratios for name in self.asks):
            return None
        compare = operator.ge if self.is_rate else operator.le
        return all(compare(ratios[name], bound) for name, bound in self.asks.items())

    def _ratio(self, each: Round, others: Sequence[str]) -> float | None:
        rivals = [each[name][self.key] for name in others if self.key in each.get(name, {})]
        if OURS not in each or self.key not in each[OURS] or not rivals:
            return None
        return each[OURS][self.key] / (max(rivals) if self.is_rate else min(rivals))


AGAINST_PEERS = (
    Measure(1, "drain", "drain", {"ours/bare": 0.5, "ours/best_python": 3, "ours/graphile": 2}),
    Measure(2, "cpu per 1k drained", "cpu", {"ours/bare": 2.2, "ours/graphile": 0.5}, is_rate=False),
    Measure(3, "bulk enqueue", "bulk", {"ours/bare": 0.5, "ours/best": 1.5}),
    Measure(4, "single enqueue, 1 caller", "single_1", {"ours/bare": 0.9}),
    Measure(5, f"single enqueue, {CALLERS} callers", f"single_{CALLERS}", {"ours/bare": 5, "ours/best": 6}),
    Measure(6, "idle latency p50", "idle_p50", {"ours/bare": 1.3}, is_rate=False),
    Measure(6, "idle latency p99", "idle_p99", {"ours/bare": 2}, is_rate=False),
    Measure(7, "latency at 200/s p50", "load_p50", {"ours/bare": 1.2}, is_rate=False),
    Measure(7, "latency at 200/s p99", "load_p99", {"ours/bare": 1.5}, is_rate=False),
    Measure(8, "wal per job", "wal", {"ours/bare": 1.6}, is_rate=False),
)


@dataclass(frozen=True)
class Property:
    """What ours has to hold by itself, told for `bare` too. ``value`` is of one round's measures of one peer."""

    goal: int
    title: str
    value: Callable[[Mapping[str, float]], float]
    bound: float
    is_rate: bool = False

    def values(self, rounds: Sequence[Round], peer: str) -> list[float]:
        return [self.value(each[peer]) for each in rounds if "killed" in each.get(peer, {})]

    def is_met(self, rounds: Sequence[Round]) -> bool | None:
        """None when it was not measured."""
        values = self.values(rounds, OURS)
        if not values:
            return None
        return bool((operator.ge if self.is_rate else operator.le)(statistics.median(values), self.bound))


def _blemishes(measures: Mapping[str, float]) -> float:
    """Jobs lost, jobs unfinished, and worker processes ended, in all faults."""
    names = ("lost", "process_ended")
    return sum(measures[f"{fault}_{name}"] for fault in ("listener", "restart") for name in names)


OF_OURS = (
    Property(9, "pinned xmin, of the unpinned rate", lambda each: each["pinned"] / each["unpinned"], 0.9, is_rate=True),
    Property(10, "kill -9 to running again, s", lambda each: each["killed"], LEASE + 1),
    Property(11, "listener ended to full rate, s", lambda each: each["listener_recovery"], 5),
    Property(11, "restart to full rate, s", lambda each: each["restart_recovery"], 5),
    Property(11, "lost jobs and ended processes", _blemishes, 0),
    Property(12, "other writers keep", lambda each: each["beside_kept"], 0.95, is_rate=True),
)


def verdicts(rounds: Sequence[Round]) -> dict[str, bool | None]:
    """For each goal: reached, missed, or None when a part of it could not be judged."""
    judged: dict[str, list[bool | None]] = {}
    for item in (*AGAINST_PEERS, *OF_OURS):
        judged.setdefault(str(item.goal), []).append(item.is_met(rounds))
    return {goal: False if False in parts else None if None in parts else True for goal, parts in judged.items()}


def _median(ratios: Sequence[float | None]) -> float:
    return statistics.median(ratio for ratio in ratios if ratio is not None)
