"""The installation in which the pages' commands are run: a Postgres, an S3 server, the roles as processes, and a shell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from limner.runtime import embedded, installation, placement
from limner.runtime.config import Config
from limner.runtime.opening import open_database
from limner.sql import seeds
from tests.docs.pages import ROOT
from tests.ship.conftest import furnish
from tests.ship.fleet import free_port
from tests.storage_servers import Server, seaweed
from tests.upstreams.telegram import FakeTelegram, telegram

PASSWORD = "p" * 40
"""As long as `limner init` makes one."""
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@dataclass
class Stage:
    """``site`` is the folder in which the operator stands, with `.env` and `secrets`."""

    site: Path
    dsn: str
    path: str
    world: Path
    config: Config
    telegram: FakeTelegram
    port: int

    async def shell(self, script: str, fed: str = "") -> tuple[int, str]:
        """A script, ended at its first failure: its exit code and all it said. ``fed`` is what somebody types."""
        process = await asyncio.create_subprocess_exec(
            "sh", "-euc", script, cwd=self.site, env=self._environment(), stdin=PIPE if fed else DEVNULL, stdout=PIPE,
            stderr=STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate(fed.encode() or None)
        return process.returncode or 0, said.decode(errors="replace")

    def secret(self, name: str) -> Path:
        return self.site / "secrets" / name

    def _environment(self) -> dict[str, str]:
        """The operator's own shell: it finds `limner`, and beside it what stands in for docker."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIMNER_", "FAULT_"))}
        ours = json.loads(self.world.read_text())["services"]["cli"]["environment"]
        return clean | ours | {"PATH": self.path, "PRETEND_ENGINE": str(self.world), "PYTHONSAFEPATH": "1"}


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """An installation with a history, of which no role runs yet; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="limner-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        async with contextlib.AsyncExitStack() as stack:
            fake = await stack.enter_async_context(telegram())
            (folder / "weed").mkdir()
            s3 = await asyncio.to_thread(stack.enter_context, seaweed(folder / "weed"))
            dsn = await asyncio.to_thread(stack.enter_context, embedded.throwaway(folder / "postgres"))
            stack.callback(_end, folder)
            found = _installed(folder, dsn, fake, s3)
            await seeds.migrate_and_sow(found.config)
            async with open_database(found.config.dsn, role="test", pool=3) as db:
                await furnish(db, found.config)
            yield found
    finally:
        shutil.rmtree(folder)


def _installed(folder: Path, dsn: str, fake: FakeTelegram, s3: Server) -> Stage:
    """What somebody has who followed the installation page, but that everything is on this machine."""
    site, programs, world = folder / "site", folder / "bin", folder / "world.json"
    (site / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "compose.env.example", site / "deploy")
    installation.init(site, "art.example.com", "internal")
    secrets = {path.name: path.read_text() for path in (site / "secrets").iterdir()} | {
        "database_url": dsn.replace("limner@", f"limner:{PASSWORD}@"), "postgres_password": PASSWORD,
        "bot_token": fake.token, "s3_access_key": s3.access_key, "s3_secret_key": s3.secret_key,
    }  # fmt: skip
    for name, value in secrets.items():
        (site / "secrets" / name).write_text(value)
    port = free_port()
    choices = {
        "data_dir": str(folder / "data"), "telegram_url": fake.url, "lease": "3", "drain": "1", "log_format": "json",
        "database_pool": "4", "worker_slots": "2", "storage": "s3", "s3_endpoint": s3.endpoint, "s3_bucket": "pictures",
        "http_port": str(port), "pitr_folder": str(folder / "pitr"),
    }  # fmt: skip
    secrets.pop("postgres_password")
    environment = {f"LIMNER_{name.upper()}": value for name, value in choices.items()}
    environment |= {f"LIMNER_{name.upper()}_FILE": str(site / "secrets" / name) for name in secrets}
    world.write_text(json.dumps({"folder": str(folder), "services": _services(environment, dsn)}))
    _put_programs(programs)
    config = Config.load(**choices, **secrets)
    return Stage(site, dsn, f"{programs}:{os.environ['PATH']}", world, config, fake, port)


def _services(environment: dict[str, str], dsn: str) -> dict[str, dict[str, object]]:
    """For each service of docker-compose.yml the settings of its processes, and what `docker compose run` begins with."""
    sockets = parse_qs(urlsplit(dsn).query)["host"][0]
    server = {"PGHOST": sockets, "PGPASSWORD": PASSWORD}
    ours = {
        name: {"environment": environment, "program": about.get("entrypoint", ["limner"])}
        for name, about in COMPOSE.items()
    }
    return ours | {
        "cli": {"environment": environment, "program": ["limner"]},
        "postgres": {"environment": server, "program": []},
    }


def _put_programs(folder: Path) -> None:
    """What the pages call: limner and python of this environment, Postgres' own programs, and what stands in for docker."""
    folder.mkdir()
    (folder / "limner").symlink_to(Path(sys.executable).with_name("limner"))
    (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} -P {ROOT / "tests/docs/engine.py"} "$@"\n')
    for name in ("python", "docker"):
        (folder / name).chmod(0o755)
    for program in ("psql", "pg_dump", "pg_restore"):
        (folder / program).symlink_to(placement.find_binaries(None) / program)


def _end(folder: Path) -> None:
    """Of the roles that still run, nobody is left."""
    for path in folder.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)
