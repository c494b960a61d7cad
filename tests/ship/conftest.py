"""A small studio with a history, for what ships it: backups, restores, upgrades. Nobody works on its database."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from limner.actors.archivist import tools
from limner.runtime import mailbox
from limner.runtime.cli import commands as cli
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.storage import Storage, open_storage
from limner.runtime.vault import Vault
from limner.sql import accounts, generations, jobs, keys, uploads
from limner.sql.generations import Order
from limner.sql.jobs import Painted
from limner.sql.models import Size
from tests.conftest import VAULT_KEYS, settings

PICTURES = 12
INVOICE = """
with made as (
    insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at)
    select $1, id, 'sandbox', price_cents, 'USDT', 40, 'paid', now(), now() from plan limit 1 returning *
)
insert into ledger_entry (account_id, invoice_id, kind, credits) select account_id, id, 'grant', credits from made
"""
TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> $1"
DIGEST = """
select format('select count(*) || '' '' || coalesce(md5(string_agg(t::text, '','' order by t::text)), '''') from %I as t',
    $1::text)
"""


@dataclass
class Studio:
    """``config`` leads to it; its pictures are files under ``pictures``, and its backups under ``backups``."""

    config: Config
    dsn: str

    @property
    def pictures(self) -> Path:
        return self.config.pictures_folder

    @property
    def backups(self) -> Path:
        return self.config.backups_folder

    def environment(self, **changes: str) -> dict[str, str]:
        """For a process that is to see this studio."""
        return {
            "LIMNER_DATABASE_URL": self.dsn, "LIMNER_DATA_DIR": str(self.config.data_dir),
            "LIMNER_VAULT_KEYS": VAULT_KEYS, "LIMNER_SECRET_KEY": "s" * 40, "LIMNER_LEASE": "3", "LIMNER_DRAIN": "2",
        } | changes  # fmt: skip

    async def limner(self, *arguments: str, **changes: str) -> Result:
        """Run a command as an operator would."""
        runner = CliRunner(env=self.environment(**changes))
        return await asyncio.to_thread(runner.invoke, cli.main, arguments)

    async def report(self, *arguments: str, **changes: str) -> tuple[int, dict[str, str], str]:
        """Run a command that reports: its exit code, the state of each line by its code, and all words."""
        done = await self.limner(*arguments, "--json", **changes)
        lines = json.loads(done.stdout.splitlines()[-1])["lines"]
        assert json.loads(done.stdout.splitlines()[-1])["verdict"] == done.exit_code, done.output
        return (
            done.exit_code,
            {each["code"]: each["state"] for each in lines},
            " ".join(each["words"] for each in lines),
        )

    def process(self, *arguments: str, **changes: str) -> subprocess.Popen[bytes]:
        """The same command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "limner.runtime.cli", *arguments], env=_clean() | self.environment(**changes),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    async def rows(self, dsn: str = "") -> dict[str, str]:
        """Each table's number of rows and digest; the archivist's own notes are left out."""
        connection = await asyncpg.connect(dsn or self.dsn)
        try:
            names = [row["relname"] for row in await connection.fetch(TABLES, "backup_run")]
            return {name: await connection.fetchval(await connection.fetchval(DIGEST, name)) for name in names}
        finally:
            await connection.close()

    def objects(self) -> dict[str, str]:
        """The SHA-256 of every picture in the storage, by its key."""
        return digests(self.pictures)

    def names(self) -> list[str]:
        """The backups that count."""
        return sorted(path.parent.name for path in self.backups.glob("*/manifest.json"))

    async def ask(self, sql: str, *arguments: object) -> object:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def databases(self) -> set[str]:
        """Every database of the server that has this one's name in its own."""
        name = tools.database_of(self.dsn)
        connection = await asyncpg.connect(tools.at_database(self.dsn, "postgres"))
        try:
            found = await connection.fetch("select datname from pg_database where datname ~ $1", f"^{name}(_|$)")
            return {row["datname"] for row in found}
        finally:
            await connection.close()


@pytest.fixture
async def studio(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """Alice has bought, ordered and got pictures, and sent one in; one job failed; a key is in the pool."""
    monkeypatch.delenv("LIMNER_BACKUP_FOLDER", raising=False)
    found = Studio(settings(dsn, tmp_path), dsn)
    async with open_database(dsn, role="test", pool=3) as db:
        await furnish(db, found.config)
    return found


async def furnish(db: Database, config: Config) -> None:
    """Give it a history; the worker who did it has said goodbye."""
    alice = await accounts.find(db, "alice@example.com")
    assert alice
    await keys.add(db, Vault.from_config(config), "simulator", "brush", "simulated-1", actor="test")
    await db.execute(INVOICE, alice.id)
    for _ in range(2):
        await generations.order(db, Order(alice.id, "a barn", "simulator", Size(512, 512), count=6), deadline=120)
    await db.execute("update message set partition_limit = null")  # all at once, whatever the plan says
    worker = Presence(db, "worker", lease=3)
    await worker.beat()
    items = await mailbox.claim_fairly(db, "painting", worker.id, PICTURES)
    begun = [await jobs.start(db, item.payload["job_id"], item.fence) for item in items]
    async with open_storage(config) as storage:
        for number, job in enumerate(begun[:-1]):
            assert job
            await jobs.deliver(db, job, await _paint(storage, f"pictures/{job.id}/{number}", number))
        await db.execute("update image set thumbed_at = now()")
        await db.execute("delete from message where mailbox = 'framing'")
        assert begun[-1]
        await jobs.fail(db, begun[-1], "the brush broke")
        sent = await storage.put("uploads/one.webp", _picture(77), "image/webp")
        await uploads.keep(db, begun[0].id, alice.id, sent.key, sent.sha256, "image/webp", 64, 64, sent.size)
    await worker.leave()


async def _paint(storage: Storage, name: str, number: int) -> Painted:
    stored = await storage.put(f"{name}.webp", _picture(number), "image/webp")
    thumb = await storage.put(f"{name}.thumb.webp", _picture(number + 100), "image/webp")
    return Painted(stored.key, thumb.key, stored.sha256, "image/webp", 64, 64, stored.size)


def _picture(number: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (number * 2 % 256, number * 7 % 256, 90)).save(data, "WEBP")
    return data.getvalue()


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below, half-written ones left out."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "~incoming" not in path.parts]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def programs(folder: Path, name: str, script: str) -> Path:
    """A folder of Postgres' own programs, but for one, which is a Python script. REAL is the folder with the real ones."""
    folder.mkdir()
    real = tools.find(Config()).folder
    for program in ("pg_dump", "pg_restore"):
        if program != name:
            (folder / program).symlink_to(real / program)
    path = folder / name
    path.write_text(f"#!{sys.executable} -P\nimport os, subprocess, sys\nREAL = {str(real)!r}\n{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def _clean() -> dict[str, str]:
    return tools.environment() | {"PYTHONSAFEPATH": "1"}
