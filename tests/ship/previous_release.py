"""Release N-1's own tests against N's expanded schema: python tests/ship/previous_release.py [OLD NEW] [-- PYTEST ARGUMENTS]

OLD is a revision, NEW one too, or "here" for the work tree; without them the two of tests/ship/revisions.toml. The code and the
tests are OLD's, the migrations are NEW's: what the former release does must go on working after `limner migrate` of the next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINNED = Path(__file__).with_name("revisions.toml")
MIGRATIONS = ("sql/migrations", "sql/migrations.sha256")
ROOMS = ("runtime", "sql", "actors", "http")


class NoSuchRevision(Exception):
    """The clone does not have it, as a shallow one may not."""


def pinned() -> tuple[str, str, list[str]]:
    """OLD, NEW, and which of OLD's tests; see revisions.toml for why those."""
    found = tomllib.loads(PINNED.read_text(encoding="utf-8"))
    return found["old"], found["new"], found["tests"]


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
    environment = os.environ | {"PYTHONPATH": f"{tree / 'import'}", "PYTHONSAFEPATH": "1"}
    _prove(tree, environment)
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tree, env=environment, check=False).returncode


def _prove(tree: Path, environment: dict[str, str]) -> None:
    code = "import limner.sql.schema as s; print(s.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip().startswith(str(tree)), f"the tests would not run {tree}, but {said.stdout}"


def _unpack(revision: str, tree: Path, *paths: str) -> None:
    packed = subprocess.run(["git", "archive", revision, *paths], cwd=ROOT, check=False, capture_output=True)
    if packed.returncode:
        raise NoSuchRevision(f"{revision}: {packed.stderr.decode(errors='replace').strip()}")
    subprocess.run(["tar", "-x"], cwd=tree, input=packed.stdout, check=True)


def main(words: list[str]) -> int:
    before, _, after = (
        (words[: words.index("--")], "--", words[words.index("--") + 1 :]) if "--" in words else (words, "", [])
    )
    old, new, chosen = pinned()
    if before:
        old, new = before
    with tempfile.TemporaryDirectory(prefix="limner-previous-") as place:
        try:
            tree = lay_out(old, new, Path(place))
        except NoSuchRevision as why:
            print(f"previous_release: {why}", file=sys.stderr)
            return 3
        print(f"the tests of {old} on the migrations of {new}", flush=True)
        return run(tree, after or chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
