"""The former release on the next one's schema: its own tests, on the migrations of today."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.ship import previous_release
from tests.ship.previous_release import MIGRATIONS, ROOT, NoSuchRevision, lay_out


def head() -> str:
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.skipif(not head(), reason="this is no clone, so there are no revisions")
def test_the_old_code_gets_the_new_migrations(tmp_path):
    tree = lay_out(head(), "here", tmp_path)
    here = {path.name: path.read_bytes() for path in (ROOT / MIGRATIONS[0]).iterdir()}
    assert {path.name: path.read_bytes() for path in (tree / MIGRATIONS[0]).iterdir()} == here
    said = subprocess.run(["git", "show", "HEAD:sql/schema.py"], cwd=ROOT, check=True, capture_output=True).stdout
    assert (tree / "sql" / "schema.py").read_bytes() == said


def test_a_revision_that_is_not_here_is_told(tmp_path):
    with pytest.raises(NoSuchRevision, match="0000000"):
        lay_out("0000000000", "here", tmp_path)


@pytest.mark.timeout(1800)
@pytest.mark.skipif("FAULT_FULL" not in os.environ, reason="the suite of another release; FAULT_FULL=1 runs it")
def test_the_former_release_works_on_the_schema_of_the_next():
    code = previous_release.main([])
    if code == 3:
        pytest.skip("LOUD: the pinned revision is not in this clone, so nobody tried the former release on this schema")
    assert code == 0
