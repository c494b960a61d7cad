"""Limner as an operator starts it: the embedded, fully durable Postgres, one web and one worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.processes import ROOT, Failed, Started, answers, bare_environment, free_port, started
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.opening import open_for
from limner.runtime.vault import Vault
from limner.sql import accounts, keys, tokens
from limner.sql.tokens import Caps

VENV = ROOT / "build" / "limner"
MODEL = "gpt-image-1-mini"
CUSTOMERS = 1
SLOTS = 64
"""Pictures at a time: as many as there are callers at the most."""

CUSTOMER = """
with made as (
    select id from account where id = $1
),
subscribed as (
    insert into subscription (account_id, plan_id, state, anchored_at, cycles, period_start, period_end, cycle_credits)
    select made.id, plan.id, 'active', now(), 1, now(), now() + interval '1 month', 100 from made, plan
    where plan.code = 'monthly'
),
granted as (
    insert into ledger_entry (account_id, kind, credits, why) select id, 'grant', 1000000000, 'for the benchmark' from made
)
select id from made
"""
NEW = "insert into account (email, password_hash, verified_at) values ($1, 'none', now()) returning id"
ROOM = "update plan set concurrency = 100 where code = 'monthly'"
BEHIND = "select count(*) from image where thumbed_at is null and deleted_at is null"


@dataclass
class Limner:
    port: int
    tokens: list[str]
    processes: list[Started]
    db: Database

    async def behind(self) -> int:
        """Pictures that were delivered and have no small copy yet."""
        return await self.db.fetchval(BEHIND)  # type: ignore[no-any-return]


def install() -> None:
    """What an operator has, without the tools of development, in a virtual environment of its own. It runs this very code."""
    subprocess.run(["make", "--no-print-directory", f"VENV={VENV.relative_to(ROOT)}", "cli"], cwd=ROOT, check=True)


@contextlib.asynccontextmanager
async def running(upstream: int, web: list[str] | None = None) -> AsyncIterator[Limner]:
    """Limner with the stand-in as its only painter, and customers with a token each."""
    with _settings(upstream) as environment, contextlib.ExitStack() as stack:
        folder = Path(environment["LIMNER_DATA_DIR"])
        role = [str(VENV / "bin" / "limner")]

        def start(name: str, *command: str) -> Started:
            return stack.enter_context(started(name, command, folder / f"{name}.out", environment))

        with _as_ours(environment):
            config = Config.load()
        postgres = start("postgres", *role, "postgres")
        await _migrated([*role, "migrate"], environment)
        worker = start("worker", *role, "worker")
        site = start("web", *(web or [*role, "web"]))
        async with open_for(config, "bench") as db:
            tokens = await _furnish(db, config)
            await answers(site, f"http://127.0.0.1:{config.http_port}/health/live")
            yield Limner(config.http_port, tokens, [site, worker, postgres], db)


async def _furnish(db: Database, config: Config) -> list[str]:
    """A key that takes as many as come, and customers with a plan that allows it; returns a token of each."""
    await db.execute(ROOM)
    await keys.add(db, Vault.from_config(config), "openai", "stand-in", "sk-stand-in", actor="bench", concurrency=1000)
    made = []
    for number in range(CUSTOMERS):
        await db.execute(NEW, email := f"customer-{number}@example.com")
        customer = await accounts.find(db, email)
        assert customer
        await db.execute(CUSTOMER, customer.id)
        made.append(await tokens.create(db, customer, "benchmark", Caps(), actor="bench"))
    return made


async def _migrated(command: list[str], environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise Failed(f"limner migrate: {output.decode(errors='replace')[-1500:]}")


@contextlib.contextmanager
def _settings(upstream: int) -> Iterator[dict[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-", dir="/tmp"))
    folder.chmod(0o755)  # the user of Postgres has to pass through
    port = free_port()
    try:
        yield bare_environment() | {
            "PYTHONSAFEPATH": "1",
            "LIMNER_DATA_DIR": str(folder),
            "LIMNER_HTTP_PORT": str(port),
            "LIMNER_SECRET_KEY": "s" * 40,
            "LIMNER_VAULT_KEYS": "k1:" + "A" * 43 + "=",
            "LIMNER_OPENAI_URL": f"http://127.0.0.1:{upstream}/v1",
            "LIMNER_WORKER_SLOTS": str(SLOTS),
            "LIMNER_API_RPM": "1000000",
            "LIMNER_LOG_LEVEL": "warning",
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _as_ours(environment: dict[str, str]) -> Iterator[None]:
    """The settings are read from the environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
