"""A plugin for pytest: each test of the table runs without its guard, and how it ended is written down (MUTANTS_SAID)."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import asyncpg
import pytest

from tests.mutants.table import TABLE

BY_TEST = {mutant.test: mutant for mutant in TABLE}
ENDS: dict[str, dict[str, str]] = {}


@pytest.fixture(autouse=True)
async def without_its_guard(request: pytest.FixtureRequest, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """First of all fixtures, so that nothing has met the guard."""
    mutant = BY_TEST[request.node.nodeid]
    if mutant.sql:
        vandal = await asyncpg.connect(dsn)
        await vandal.execute(mutant.sql)
        await vandal.close()
    if mutant.swap:
        path, instead = mutant.swap
        module, _, name = path.rpartition(".")
        there = importlib.import_module(module)
        monkeypatch.setattr(there, name, instead(getattr(there, name)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    ENDS.setdefault(report.nodeid, {})[report.when] = f"{report.outcome} {report.longrepr or ''}"


def pytest_sessionfinish() -> None:
    Path(os.environ["MUTANTS_SAID"]).write_text(json.dumps(ENDS), encoding="utf-8")
