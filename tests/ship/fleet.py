"""What the tests of upgrades stand on: images as folders, a fleet of real processes, Caddy before it, and visitors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from limner.actors.shipwright import releases
from limner.actors.shipwright.fleet import Images
from limner.actors.shipwright.processes import ProcessFleet
from limner.sql import schema
from tests.conftest import VAULT_KEYS

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "sql", "actors", "http")
HEALTHY_WITHIN = 60
"""Seconds; generous, as three test workers share two cores."""


def image(folder: Path, *, migrations: dict[str, str] | None = None, without: int = 0, instead: str = "") -> Path:
    """An image as a folder: this source tree, with further ``migrations``, or ``without`` its newest ones.

    ``instead``: lines of shell that come before the real command; $1 is its name.
    """
    limner = folder / "limner"
    limner.mkdir(parents=True)
    for room in ROOMS:
        if room != "sql":
            (limner / room).symlink_to(ROOT / room)
    shutil.copytree(ROOT / "sql", limner / "sql")
    for number in range(schema.head() - without + 1, schema.head() + 1):
        next((limner / "sql" / "migrations").glob(f"V{number:04}__*")).unlink()
    for name, text in (migrations or {}).items():
        (limner / "sql" / "migrations" / name).write_text(f"/* pgmigrate-encoding: utf-8 */\n{text}\n")
    found = f"export PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={folder}"
    _script(folder / "bin" / "python", f'{found}\nexec {sys.executable} "$@"')
    _script(folder / "bin" / "limner", f'{found}\n{instead}\nexec {sys.executable} -m limner.runtime.cli "$@"')
    return folder


def _script(path: Path, lines: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def next_migration(sql: str, *, ahead: int = 1) -> dict[str, str]:
    return {f"V{schema.head() + ahead:04}__what_comes_next.sql": sql}


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.out)["lines"]
        return found

    def line(self, code: str) -> dict[str, str]:
        """The last line of this code."""
        found = [line for line in self.lines if line["code"] == code]
        assert found, f"there is no line {code}:\n{self.out}\n{self.err}"
        return found[-1]


@dataclass
class Harbour:
    """An installation of plain processes, and the command line that an operator has."""

    folder: Path
    dsn: str
    settings: dict[str, str]
    before: Path
    """The image that runs at first."""
    roles: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def fleet(self) -> ProcessFleet:
        return ProcessFleet(self.folder)

    def pids(self) -> dict[str, int]:
        return self.fleet.pids()

    def book(self) -> releases.Book:
        return releases.read(self.folder)

    def port(self, role: str = "web") -> int:
        return int(self.roles[role]["LIMNER_HTTP_PORT"])

    async def limner(self, *words: str, within: float = 150, image: Path | None = None) -> Said:
        """A command as an operator types it."""
        async with self.begun(*words, image=image) as process:
            async with asyncio.timeout(within):
                out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def upgrade(self, to: Path, *more: str) -> Said:
        return await self.limner("upgrade", str(to), "--yes", "--json", *self._here(), *self._patience(), *more)

    async def rollback(self, *more: str) -> Said:
        return await self.limner("rollback", "--json", *self._here(), *self._patience(), *more)

    @contextlib.asynccontextmanager
    async def begun(self, *words: str, image: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
        program = [str(image / "bin" / "limner")] if image else [sys.executable, "-m", "limner.runtime.cli"]
        process = await asyncio.create_subprocess_exec(
            *program, *words, env=plain_environment() | self.settings, cwd=self.folder, stdout=PIPE, stderr=PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _here(self) -> tuple[str, ...]:
        return ("--folder", str(self.folder))

    def _patience(self) -> tuple[str, ...]:
        return ("--patience", str(HEALTHY_WITHIN))


def plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("LIMNER_", "FAULT_"))} | {
        "PYTHONSAFEPATH": "1"
    }


@contextlib.asynccontextmanager
async def harbour(
    dsn: str, folder: Path, roles: tuple[str, ...] = ("web",), *, sails: bool = True, **settings: str
) -> AsyncIterator[Harbour]:
    """A fleet that runs the present release, unless it lies still; nothing of it is left afterwards."""
    before = image(folder / "before")
    data = folder / "data"
    data.mkdir()
    chosen = {
        "LIMNER_DATABASE_URL": dsn,
        "LIMNER_DATA_DIR": str(data),
        "LIMNER_VAULT_KEYS": VAULT_KEYS,
        "LIMNER_SECRET_KEY": "s" * 40,
        "LIMNER_SANDBOX_SECRET": "sandbox-secret-for-tests",
        "LIMNER_DATABASE_POOL": "5",
        "LIMNER_DRAIN": "5",
        "LIMNER_LEASE": "10",
    } | {f"LIMNER_{name.upper()}": value for name, value in settings.items()}
    ports = {role: {"LIMNER_HTTP_PORT": str(free_port())} if role.startswith("web") else {} for role in roles}
    site = folder / "site"
    (site / ".limner").mkdir(parents=True)
    about = {"images": {"app": str(before), "ops": ""}, "roles": ports, "settings": chosen}
    (site / ".limner" / "fleet.json").write_text(json.dumps(about))
    found = Harbour(site, dsn, chosen, before, ports)
    try:
        if sails:
            await found.fleet.start(HEALTHY_WITHIN)
        yield found
    finally:
        await found.fleet.stop(grace=0)


def running_images(found: Harbour) -> set[str]:
    """The folders whose programs run, by what the kernel says of the processes."""
    images = set()
    for pid in found.pids().values():
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        images |= {part.partition(b"=")[2].decode() for part in environment if part.startswith(b"PYTHONPATH=")}
    return images


def set_of(path: Path) -> Images:
    return Images(str(path.resolve()))


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
