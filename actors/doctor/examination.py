"""`limner doctor`: all checks at once, their lines in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import anyio

from limner.actors.doctor import (
    backups,
    books,
    bot,
    clocks,
    database,
    engine,
    host,
    mail,
    network,
    payments,
    postgres,
    secrets,
    settings,
    storage,
    work,
)
from limner.actors.doctor.check import Check
from limner.actors.doctor.patient import Patient
from limner.runtime.config import Config, ConfigError
from limner.runtime.errors import Refused, as_raised
from limner.runtime.report import Line, Say

CHECKS: tuple[Check, ...] = (
    *host.CHECKS,
    *clocks.CHECKS,
    *engine.CHECKS,
    *settings.CHECKS,
    *secrets.CHECKS,
    *database.CHECKS,
    *postgres.CHECKS,
    *storage.CHECKS,
    *network.CHECKS,
    *bot.CHECKS,
    *mail.CHECKS,
    *work.CHECKS,
    *backups.CHECKS,
    *books.CHECKS,
    *payments.CHECKS,
)
GROUPS = tuple(dict.fromkeys(check.group for check in CHECKS))


class Examined(Protocol):
    """A check, or several under one line."""

    async def examine(self, patient: Patient) -> Line: ...


async def examine(settings: Config | ConfigError, folder: Path, say: Say, only: str | None = None) -> None:
    """Say one line for each check, in order. ``only``: a group, or a code. Raises Refused when there is no such one."""
    chosen = choose(only)
    patient = Patient(settings, folder)
    async with patient.opened():
        await run(patient, chosen, say)


def choose(only: str | None) -> Sequence[Check]:
    """The checks of a group, or the one with this code. Raises Refused."""
    chosen = [check for check in CHECKS if only in (None, check.group, check.code)]
    if not chosen:
        raise Refused(f"--only: {only!r} is neither a group ({', '.join(GROUPS)}) nor a check", field="only")
    return chosen


async def run(patient: Patient, checks: Sequence[Examined], say: Say) -> None:
    """All at once, so that the whole takes no longer than the slowest. Each line is said when it and all before it are known."""
    lines: dict[int, Line] = {}

    async def examine_one(place: int) -> None:
        lines[place] = await checks[place].examine(patient)
        while said and said[-1] in lines:
            say(lines[said.pop()])

    said = list(reversed(range(len(checks))))
    with as_raised():
        async with anyio.create_task_group() as group:
            for place in range(len(checks)):
                group.start_soon(examine_one, place)
