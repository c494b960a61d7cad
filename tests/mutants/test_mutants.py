"""Each guard of money and access is there for a reason: without it, a named test goes red."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.table import TABLE

ROOT = Path(__file__).parents[2]


def test_each_guard_has_a_test_of_its_own():
    assert len({mutant.test for mutant in TABLE}) == len({mutant.guard for mutant in TABLE}) == len(TABLE) >= 12
    for mutant in TABLE:
        assert bool(mutant.sql) != bool(mutant.swap), mutant.guard


@pytest.mark.timeout(300)
def test_without_its_guard_each_named_test_goes_red(tmp_path):
    """One Postgres and one process for all: each test has a database of its own, in which its guard is missing."""
    said = tmp_path / "said.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FAULT_"))}
    words = ["-q", "-p", "tests.mutants.without", "-p", "no:cacheprovider", "--timeout", "30", "--tb", "line"]
    run = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *words, *(mutant.test for mutant in TABLE)],
        cwd=ROOT, env={**kept, "MUTANTS_SAID": str(said), "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.exists(), run.stdout + run.stderr
    ends = json.loads(said.read_text(encoding="utf-8"))
    wrong = []
    for mutant in TABLE:
        end = ends.get(mutant.test, {})
        if not end.get("setup", "").startswith("passed"):
            wrong.append(f"{mutant.guard}: {mutant.test} could not run: {end.get('setup', 'it is not there')}")
        elif not end["call"].startswith("failed") or "Timeout" in end["call"]:
            wrong.append(f"{mutant.guard}: without it, {mutant.test} {end['call']}")
    assert wrong == [], "\n".join(wrong) + run.stdout[-2000:]
