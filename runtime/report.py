"""What a command looked at or did, line by line: text for people, JSON for programs, an exit code for scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "skip", "warn", "fail"]
WEIGHT: dict[str, int] = {"ok": 0, "skip": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True)
class Line:
    """One thing: ``code`` never changes ("database.schema"), ``words`` are the evidence, ``fix`` is what to do."""

    code: str
    state: State
    words: str
    fix: str = ""

    def __str__(self) -> str:
        mark = self.state.upper() if WEIGHT[self.state] else self.state
        return f"{mark:<5} {self.code:<24} {self.words}" + (f"\n      {'':<24} → {self.fix}" if self.fix else "")


Say = Callable[[Line], None]
"""Takes each line as soon as it is known."""


def verdict(lines: Iterable[Line]) -> int:
    """0 all well, 1 warnings, 2 failures."""
    return max((WEIGHT[line.state] for line in lines), default=0)
