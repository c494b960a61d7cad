"""The commands of the installation page, run as they stand there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import ROOT

PAGE = (ROOT / "docs" / "how-to" / "install-with-compose.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


# The page's commands run the image; here its program runs by itself.
DOCKER = """#!/bin/sh
[ "$1" = build ] && exit 0
while [ "$1" != limner:local ]; do shift; done
shift
exec {limner} "$@"
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder in which somebody followed the page up to the start."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "docker").write_text(DOCKER.format(limner=Path(sys.executable).with_name("limner")))
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "deploy/compose.env.example").write_text((ROOT / "deploy/compose.env.example").read_text())
    script = "set -eu\n" + "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
    subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        check=True,
        timeout=30,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    return tmp_path


def test_the_page_makes_exactly_the_secrets_that_the_compose_file_takes(installed: Path) -> None:
    made = {path.name: path for path in (installed / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert stat.S_IMODE((installed / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.values()} == {0o444}
    assert stat.S_IMODE((installed / ".env").stat().st_mode) == 0o600


@pytest.mark.parametrize("role", ["migrate", "web", "worker", "bot", "archivist"])
def test_every_role_accepts_the_settings_of_the_page(installed: Path, role: str) -> None:
    chosen = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (installed / ".env").read_text(), flags=re.MULTILINE))
    composed = {
        name: _filled_in(value, chosen).replace("/run/secrets", str(installed / "secrets"))
        for name, value in COMPOSE["services"][role]["environment"].items()
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")} | chosen | composed
    limner = Path(sys.executable).with_name("limner")
    done = subprocess.run([limner, "config"], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "LIMNER_PUBLIC_URL=https://art.example.com\n" in done.stdout
    assert "LIMNER_ENV=production\n" in done.stdout


def _filled_in(value: str, chosen: dict[str, str]) -> str:
    """Compose's ``${NAME:-default}`` and ``${NAME:?words}``, the inner ones first."""
    pattern = re.compile(r"\$\{(\w+):([-?])([^${}]*)\}")
    while pattern.search(value):
        value = pattern.sub(lambda found: chosen.get(found[1]) or found[3], value)
    return value
