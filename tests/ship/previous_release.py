"""Release N-1's own tests against N's expanded schema: python tests/ship/previous_release.py [OLD NEW] [-- PYTEST ARGUMENTS]

OLD is a revision, NEW one too, or "here" for the work tree; without them each pair of tests/ship/revisions.toml. The code and the
tests are OLD's, the migrations are NEW's: what the former release does must go on working after `limner migrate` of the next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINNED = Path(__file__).with_name("revisions.toml")
MIGRATIONS = ("sql/migrations", "sql/migrations.sha256")
ROOMS = ("runtime", "sql", "actors", "http")


class NoSuchRevision(Exception):
    """The clone does not have it, as a shallow one may not, or there is no clone at all."""


@dataclass(frozen=True)
class Pinned:
    """What tests/ship/revisions.toml says."""

    pairs: list[tuple[str, str]]
    short: list[str]
    whole: list[str]


def pinned() -> Pinned:
    found = tomllib.loads(PINNED.read_text(encoding="utf-8"))
    return Pinned(
        [(each["old"], each["new"]) for each in found["pair"]], found["tests"]["short"], found["tests"]["whole"]
    )


def lay_out(old: str, new: str, place: Path) -> Path:
    """OLD's tree with NEW's migrations, in ``place``. Raises NoSuchRevision."""
    tree = place / "tree"
    tree.mkdir()
    _unpack(old, tree)
    shutil.rmtree(tree / MIGRATIONS[0])
    if new == "here":
        shutil.copytree(ROOT / MIGRATIONS[0], tree / MIGRATIONS[0])
        shutil.copy(ROOT / MIGRATIONS[1], tree / MIGRATIONS[1])
    else:
        _unpack(new, tree, *MIGRATIONS)
    (tree / "import" / "limner").mkdir(parents=True)
    for room in ROOMS:  # the links point outwards: who looks for a file beside a module must not meet one
        (tree / room).rename(tree / "import" / "limner" / room)
        (tree / room).symlink_to(tree / "import" / "limner" / room)
    return tree


def run(tree: Path, words: list[str]) -> int:
    """OLD's tests. Its `limner` stands in front of the one that this environment has."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FAULT_", "LIMNER_"))}
    environment = kept | {"PYTHONPATH": f"{tree / 'import'}", "PYTHONSAFEPATH": "1"}
    _prove(tree, environment)
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tree, env=environment, check=False).returncode


def _prove(tree: Path, environment: dict[str, str]) -> None:
    code = "import limner.sql.schema as s; print(s.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip().startswith(str(tree)), f"the tests would not run {tree}, but {said.stdout}"


def _unpack(revision: str, tree: Path, *paths: str) -> None:
    try:
        packed = subprocess.run(["git", "archive", revision, *paths], cwd=ROOT, check=False, capture_output=True)
    except FileNotFoundError:
        raise NoSuchRevision("there is no git here") from None
    if packed.returncode:
        raise NoSuchRevision(f"{revision}: {packed.stderr.decode(errors='replace').strip()}")
    subprocess.run(["tar", "-x"], cwd=tree, input=packed.stdout, check=True)


def look(old: str, new: str, words: list[str]) -> int:
    """How OLD's tests end on NEW's migrations. Raises NoSuchRevision."""
    with tempfile.TemporaryDirectory(prefix="limner-previous-") as place:
        tree = lay_out(old, new, Path(place))
        print(f"the tests of {old} on the migrations of {new}", flush=True)
        return run(tree, words)


def main(words: list[str]) -> int:
    at = words.index("--") if "--" in words else len(words)
    chosen, told = words[:at], words[at + 1 :]
    pairs = [(chosen[0], chosen[1])] if chosen else pinned().pairs
    try:
        return max(look(old, new, told or pinned().whole) for old, new in pairs)
    except NoSuchRevision as why:
        print(f"previous_release: {why}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
