"""Twenty secrets, echoed by upstreams and proxies wherever they can: nobody finds them anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import os

from limner.actors.locksmith import Locksmith
from limner.runtime import embedded
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.metrics import Metrics
from limner.runtime.presence import Presence
from limner.runtime.vault import Vault
from limner.sql import gauges, generations, keys, providers, proxies
from limner.sql.generations import Order
from limner.sql.keys import LookAfterKeys
from limner.sql.models import Size
from tests.conftest import held
from tests.faults.crew import SETTLED, crew_at, until
from tests.http.conftest import serving
from tests.upstreams.openai import FakeOpenAI, Script
from tests.upstreams.proxy import fake_proxy

KEYS = [f"sk-proj-seeded-{n}-Zx9{'abcdef'[n % 6]}QwErTy{n:04d}" for n in range(10)]
PASSWORDS = [f"sEcReT-pass-{n}-{n * 7919:06d}" for n in range(10)]
SECRETS = [*KEYS, *PASSWORDS]
FAULTS = [(401, "invalid_api_key"), (429, "rate_limit_exceeded"), (500, "server_error"), (400, "invalid_request_error"),
          (403, "country unsupported"), (404, "model_not_found"), (429, "insufficient_quota"), (503, "overloaded"),
          (200, "not a picture"), (418, "whatever")]  # fmt: skip


async def test_twenty_secrets_are_found_nowhere(dsn, tmp_path, db, cast, capfd):
    async with (
        held(serving(dsn, tmp_path, db)) as site,
        FakeOpenAI().serve() as upstream,
        fake_proxy() as way,
        crews(dsn, tmp_path) as crew,
    ):
        await _furnish(site, cast, upstream, way)
        carol, alice = await site.browser(cast.carol), await site.browser(cast.alice)
        told = [await _work(site, crew)]
        pages = [await browser.get(path) for browser, path in await _paths(site, db, carol, alice)]
        assert all(page.status == 200 for page in pages)
        told += [page.text for page in pages]
        told.append(await _dump(dsn, site.config))
        told.append(await _metrics(site))
    logged = capfd.readouterr()
    told += [logged.out, logged.err]
    assert "attempt_detail" in told[0], "it was logged in full"
    assert len(upstream.asked) >= 10
    assert await db.fetchval("select count(*) from attempt where detail like '%***%'") >= 5, (
        "they were said, and cut out"
    )
    for secret in SECRETS:
        for place in told:
            assert secret not in place, f"{secret} in {place[max(0, place.find(secret) - 200) :][:400]}"


@contextlib.asynccontextmanager
async def crews(dsn, folder):
    with crew_at(dsn, folder) as crew:
        yield crew


async def _furnish(site, cast, upstream, way) -> None:
    await seed(site, upstream, way)
    for _ in range(3):
        asked = Order(cast.alice.id, "a fox in the snow", "gpt-image-2", Size(1024, 1024), 8)
        await generations.order(site.db, asked, deadline=600)


async def seed(site, upstream, way) -> None:
    """Ten keys, each by a proxy of its own with a password; each upstream answer says both."""
    db, vault = site.db, Vault.from_config(site.config)
    await providers.change(db, "openai", actor="test", base_url=upstream.base_url, is_local=True)
    for n, (secret, password) in enumerate(zip(KEYS, PASSWORDS, strict=True)):
        proxy = await proxies.add(db, vault, f"way {n}", way.url(f"me:{password}"), actor="test")
        await keys.add(db, vault, "openai", f"key {n}", secret, actor="test", proxy_id=proxy)
        status, code = FAULTS[n]
        words = f"Bearer {secret} through http://me:{password}@proxy is no good: {secret}"
        body = {"error": {"message": words, "type": code, "code": code, "param": secret}}
        upstream.script(secret, *[Script(status, body, {"x-request-id": f"req {secret}"})] * 40)


async def _work(site, crew) -> str:
    """Every key is tried by a real worker that logs all it can, and a locksmith looks at what fell out. Its log."""
    crew.start("worker", log_level="debug", log_format="json")
    tried = "select count(distinct key_id) >= 10 from attempt where fault is not null"
    await until(site.db.dsn, f"select ({tried}) or ({SETTLED})", within=90)
    await site.db.execute("update provider_key set probe_at = now()")
    presence, vault = Presence(site.db, "worker", lease=site.config.lease), Vault.from_config(site.config)
    await Locksmith(site.db, Bus(site.db), presence, config=site.config, vault=vault).receive(LookAfterKeys())
    return crew.log("worker").read_text()


async def _paths(site, db, carol, alice):
    found = [(carol, f"/admin{path}") for path in ("", "/keys", "/proxies", "/providers", "/models", "/audit", "/margins",
                                                   "/generations", "/margins?by=key")]  # fmt: skip
    own = await db.fetch("select id from provider_key where label like 'key %'")
    found += [(carol, f"/admin/keys/{row['id']}") for row in own]
    for row in await db.fetch("select id from generation"):
        found += [(carol, f"/admin/generations/{row['id']}"), (carol, f"/admin/generations/{row['id']}/explain")]
        found.append((alice, f"/studio/{row['id']}"))
    return found


async def _dump(dsn: str, config: Config) -> str:
    program = embedded.binaries(config) / "pg_dump"
    made = await asyncio.create_subprocess_exec(
        program, "--data-only", "--inserts", "-d", dsn, stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    text, _ = await made.communicate()
    assert made.returncode == 0
    assert b"provider_key" in text
    return text.decode()


async def _metrics(site) -> str:
    page = await Metrics(dict, lambda: gauges.read(site.db, site.config.lease)).page()
    assert b"limner_provider_keys" in page
    return page.decode()
