"""The former release on the next one's schema: its own tests, on the migrations of today."""

from __future__ import annotations

import os
import subprocess

import pytest

from limner.sql import schema
from tests.ship import previous_release
from tests.ship.previous_release import MIGRATIONS, ROOT, NoSuchRevision, lay_out, look, pinned

MISSING = "LOUD: the former release is not in this clone, so nobody tried it on this schema (git fetch --unshallow): {}"
TAKES_AWAY = "/* pgmigrate-encoding: utf-8 */\nalter table ledger_entry rename column credits to coins;\n"


def laid_out(tmp_path):
    """The first pair: what runs in studios today, on the migrations of here."""
    try:
        return lay_out(*pinned().pairs[0], tmp_path)
    except NoSuchRevision as why:
        pytest.skip(MISSING.format(why))


def test_the_old_code_gets_the_new_migrations(tmp_path):
    tree = laid_out(tmp_path)
    here = {path.name: path.read_bytes() for path in (ROOT / MIGRATIONS[0]).iterdir()}
    assert {path.name: path.read_bytes() for path in (tree / MIGRATIONS[0]).iterdir()} == here
    old = pinned().pairs[0][0]
    said = subprocess.run(["git", "show", f"{old}:sql/schema.py"], cwd=ROOT, check=True, capture_output=True).stdout
    assert (tree / "sql" / "schema.py").read_bytes() == said


def test_a_revision_that_is_not_here_is_told(tmp_path):
    with pytest.raises(NoSuchRevision, match=r"0000000|no git"):
        lay_out("0000000000", "here", tmp_path)


@pytest.mark.timeout(300)
def test_what_studios_run_today_works_on_this_schema(tmp_path):
    assert previous_release.run(laid_out(tmp_path), pinned().short) == 0


@pytest.mark.timeout(120)
def test_a_migration_that_takes_away_is_found(tmp_path):
    tree = laid_out(tmp_path)
    (tree / MIGRATIONS[0] / f"V{schema.head() + 1:04}__coins.sql").write_text(TAKES_AWAY)
    assert previous_release.run(tree, ["-q", "-x", "tests/sql/test_ledger.py"]) == 1


@pytest.mark.timeout(1800)
@pytest.mark.skipif("FAULT_FULL" not in os.environ, reason="the suite of another release; FAULT_FULL=1 runs it")
@pytest.mark.parametrize(("old", "new"), pinned().pairs)
def test_the_former_release_works_on_the_schema_of_the_next(old, new):
    try:
        assert look(old, new, pinned().whole) == 0
    except NoSuchRevision as why:
        pytest.skip(MISSING.format(why))
