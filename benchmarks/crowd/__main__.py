"""Seed the crowd, look at every list of the admin over HTTP, and say how long each took: `python -m benchmarks.crowd`."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.crowd import affairs, looking, seeding
from limner.runtime import embedded
from limner.runtime.config import Config
from limner.runtime.opening import open_database
from limner.runtime.storage import open_storage
from limner.runtime.vault import Vault
from limner.sql import books, seeds

PATIENCE = 60.0
SECRETS = {
    "secret_key": lambda: secrets.token_urlsafe(48),
    "vault_keys": lambda: "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    options.add_argument("--people", type=int, default=100_000)
    options.add_argument("--entries", type=int, default=1_000_000, help="of the ledger, at the least")
    options.add_argument("--rounds", type=int, default=20, help="how often each list is asked for")
    options.add_argument(
        "--folder", type=Path, help="keep the studio here, and find it again; it runs with LIMNER_DATA_DIR"
    )
    options.add_argument("--only-seed", action="store_true", help="end when the crowd is there")
    options.add_argument("--verify", action="store_true", help="verify the books of what was seeded")
    options.add_argument("--only", default="", help="look only at lists with this in their name")
    chosen = options.parse_args()
    with _folder(chosen.folder) as folder:
        config = _settings(folder)
        with _postgres():
            report = asyncio.run(_report(config, chosen))
    print(json.dumps(report))
    sys.exit(report.get("broken", 0) > 0 or report.get("slow", 0) > 0)


async def _report(config: Config, chosen: argparse.Namespace) -> dict[str, object]:
    await _arrival(config)
    await seeds.migrate_and_sow(config)
    async with (
        open_database(config.dsn, role="crowd", pool=4, patience=PATIENCE) as db,
        open_storage(config) as storage,
    ):
        if await db.fetchval("select count(*) from account") < chosen.people:
            began = time.monotonic()
            await seeding.seed(db, Vault.from_config(config), storage, chosen.people, chosen.entries, _say)
            _say(f"seeded in {time.monotonic() - began:.0f} s")
        counts = {**(await db.fetchrow(seeding.COUNTS) or {}), **(await db.fetchrow(affairs.COUNTS) or {})}
        report: dict[str, object] = {"counts": counts}
        if chosen.verify:
            found = await books.verify(db, storage, live=True)
            for each in found:
                _say(
                    f"{'broken' if each.broken else 'holds '} {each.rule}"
                    + "".join(f"\n    {case}" for case in each.cases)
                )
            report["broken"] = sum(each.broken for each in found)
        if not chosen.only_seed:
            with _web(config):
                report |= await looking.look(config, db, chosen.rounds, chosen.only, _say)
        return report


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="limner-crowd-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # the user of Postgres has to pass through
        yield Path(name)


def _settings(folder: Path) -> Config:
    """An all-in-one studio in this folder: `LIMNER_DATA_DIR=… limner up` finds the same one again."""
    for name in [name for name in os.environ if name.startswith("LIMNER_") and name != "LIMNER_PG_BIN"]:
        del os.environ[name]
    kept = folder / "secrets"
    kept.mkdir(mode=0o700, exist_ok=True)
    for name, make in SECRETS.items():
        if not (kept / name).exists():
            (kept / name).write_text(make() + "\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    os.environ |= {
        "LIMNER_DATA_DIR": str(folder), "LIMNER_HTTP_PORT": str(port), "LIMNER_LOG_LEVEL": "warning",
        "LIMNER_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    return Config.load()


@contextlib.contextmanager
def _postgres() -> Iterator[None]:
    with _role("postgres", signal.SIGINT):
        yield


@contextlib.contextmanager
def _web(config: Config) -> Iterator[None]:
    with _role("web", signal.SIGTERM):
        yield


@contextlib.contextmanager
def _role(name: str, end: signal.Signals) -> Iterator[None]:
    command = [sys.executable, "-P", "-m", "limner.runtime.cli", name]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if name == "postgres" else None,
        preexec_fn=embedded.die_with_parent(signal.SIGINT),
    ) as process:
        try:
            yield
        finally:
            process.send_signal(end)


async def _arrival(config: Config) -> None:
    """Until Postgres answers."""
    async with open_database(config.dsn, role="crowd", pool=1, patience=PATIENCE) as db:
        await db.fetchval("select 1")


if __name__ == "__main__":
    main()
