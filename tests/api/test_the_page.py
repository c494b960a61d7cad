"""The page "Use the API" works as it is printed: only the studio's address is another."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import anyio
import openai
import orjson
import pytest

from limner.runtime.vault import Vault
from limner.sql import keys
from tests.api.conftest import studio
from tests.conftest import held
from tests.docs.pages import blocks
from tests.http.conftest import drawn
from tests.upstreams.openai import FakeOpenAI

PAGE = "docs/how-to/use-the-api.md"
LIMNER = f"{sys.executable} -P -m limner.runtime.cli"


@pytest.fixture
async def site(dsn, tmp_path, db, cast):
    async with held(FakeOpenAI().serve()) as fake, held(studio(dsn, tmp_path, db, openai_url=fake.base_url)) as served:
        await keys.add(db, Vault.from_config(served.config), "openai", "main", "sk-1234567890", actor="test")
        yield served


def sh(site, script: str, folder, **env: str) -> str:
    script = re.sub(r"^limner ", f"{LIMNER} ", script.replace("https://studio.example.com", site.url))
    ours = {"LIMNER_DATABASE_URL": site.config.dsn, "LIMNER_DATA_DIR": str(folder), **env}
    done = subprocess.run(
        ["sh", "-euc", script], env=os.environ | ours, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_it_works_as_printed(site, tmp_path, db):
    printed = [block for block in blocks() if block.page == PAGE]
    shell = [block.script for block in printed if block.language == "sh"]
    python = [block.script for block in printed if block.language == "python"]
    token = (await anyio.to_thread.run_sync(sh, site, shell[0], tmp_path)).strip()
    assert re.fullmatch(r"lim_[\w-]{43}", token)
    said = await anyio.to_thread.run_sync(lambda: sh(site, shell[1], tmp_path, LIMNER_TOKEN=token))
    assert orjson.loads(said)["metadata"]["credits"] == 1
    (tmp_path / "hat.png").write_bytes(drawn())
    await anyio.to_thread.run_sync(follow, python, site.url, token, tmp_path)
    assert (tmp_path / "fox.png").read_bytes().startswith(b"\x89PNG")
    assert await db.fetchval("select count(*) from job where state = 'delivered'") == 4
    assert (
        await db.fetchval("select idempotency_key from generation where idempotency_key > ''") == "api fox-2026-11-28"
    )


def follow(parts: list[str], url: str, token: str, folder) -> None:
    """One part after another, as somebody would paste them."""
    world = {"token": token, "openai": openai}
    for part in parts:
        own = part.replace("https://studio.example.com", url).replace('open("', f'open("{folder}/')
        exec(compile(own, PAGE, "exec"), world)
