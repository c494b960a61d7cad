"""A check: one question to a studio, with the usual cause and the exact fix of a bad answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import anyio
import asyncpg

from limner.actors.doctor.patient import Patient, Skip
from limner.runtime.report import Line, State
from limner.runtime.supervisor import contained

Severity = Literal["warn", "fail"]
LACKS = asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError | asyncpg.UndefinedFunctionError


@dataclass(frozen=True)
class Finding:
    """The evidence, with figures. ``state`` None: as bad as the check says."""

    words: str
    state: State | None


def well(words: str) -> Finding:
    return Finding(words, "ok")


def trouble(words: str) -> Finding:
    return Finding(words, None)


def warning(words: str) -> Finding:
    """Not yet a failure, though the check has worse to say."""
    return Finding(words, "warn")


Look = Callable[[Patient], Awaitable[Finding]]


@dataclass(frozen=True)
class Check:
    """``code`` is group.name and never changes; ``means`` is what is well when it is well."""

    code: str
    severity: Severity
    means: str
    cause: str
    fix: str
    look: Look

    @property
    def group(self) -> str:
        return self.code.partition(".")[0]

    async def examine(self, patient: Patient) -> Line:
        """What came of it. A check that crashes or takes too long is a line like any other; no line holds a secret."""
        found: list[Finding] = []

        async def look() -> None:
            found.append(await self.look(patient))

        crash: Exception | None = None
        with anyio.move_on_after(patient.deadline) as clock:
            crash = await contained(look)
        if clock.cancelled_caught:
            found = [trouble(f"no answer within {patient.deadline:g} s")]
        if isinstance(crash, Skip | LACKS):
            found = [
                Finding(
                    str(crash) if isinstance(crash, Skip) else "the schema is another one: see database.schema", "skip"
                )
            ]
        elif crash is not None:
            why = str(crash).strip().splitlines()
            found = [Finding(f"cannot be looked at: {type(crash).__name__}: {why[0] if why else ''}", "fail")]
        return self._line(patient, found[0])

    def _line(self, patient: Patient, finding: Finding) -> Line:
        state = finding.state or self.severity
        is_well = state in ("ok", "skip")
        return Line(self.code, state, patient.hide(finding.words), "" if is_well else f"{self.cause} {self.fix}")


def check(code: str, severity: Severity, *, means: str, cause: str, fix: str) -> Callable[[Look], Check]:
    """Makes a check of a function that looks. It returns a Finding; it raises Skip when it cannot say."""
    return lambda look: Check(code, severity, means, cause, fix, look)
