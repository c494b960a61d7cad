"""Only a bot that has a token pays for aiogram."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import limner.actors
import limner.runtime
import limner.sql

ROOT = Path(limner.runtime.__path__[0]).parent
LISTING = "import sys, {}; print(*sorted(name for name in sys.modules if name.split('.')[0] == 'aiogram'))"


def modules(room: str) -> list[str]:
    """The modules of a room, those apart that only a bot with a token imports."""
    paths = [path.relative_to(ROOT) for path in (ROOT / room).rglob("*.py")]
    files = [path for path in paths if "bot" not in path.parts or path.stem == "role"]
    return sorted("limner." + ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files)


@pytest.mark.parametrize("room", ["runtime", "sql", "actors", "http"])
def test_a_room_does_not_import_aiogram(room):
    done = subprocess.run(
        [sys.executable, "-c", LISTING.format(", ".join(modules(room)))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_the_bots_own_modules_do():
    done = subprocess.run(
        [sys.executable, "-c", LISTING.format("limner.actors.bot.poller")], capture_output=True, text=True, check=True
    )
    assert "aiogram.client.bot" in done.stdout.split()
