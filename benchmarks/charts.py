"""Every chart of the admin before a crowd, over HTTP, and how long each took: `python -m benchmarks.charts --folder FOLDER`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.crowd import __main__ as studio
from benchmarks.crowd import looking, seeding
from limner.http.admin.drawings import KINDS
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.storage import open_storage
from limner.runtime.vault import Vault
from limner.sql import closings, seeds

MOST_MS = 500.0
RANGES = ("24h", "7", "30", "90", "365")
HOURS = """
insert into studio_hour (
    at, samples, last_at, waiting, running, slots, busy, free, most_waiting, longest_wait, least_free
)
select date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 60, now(), 120, 90, 60 * (select count(*) from provider_key),
    90, 60, 5, 20, 1
from generate_series(1, 9000) as n on conflict do nothing
"""
POOL = """
insert into pool_hour (at, key_id, samples, slots, busy, free, least_free)
select date_trunc('hour', now(), 'UTC') - n * interval '1 hour', k.id, 60, 120, 60, 60, 0
from generate_series(1, 9000) as n cross join provider_key as k on conflict do nothing
"""
ANALYZE = "analyze work_day, wait_day, takings_day, studio_hour, pool_hour"


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.charts", description=__doc__)
    options.add_argument("--people", type=int, default=100_000)
    options.add_argument("--entries", type=int, default=1_000_000, help="of the ledger, at the least")
    options.add_argument("--rounds", type=int, default=20, help="how often each chart is asked for")
    options.add_argument("--folder", type=Path, help="where `benchmarks.crowd` keeps a studio; empty: a new one")
    chosen = options.parse_args()
    with studio._folder(chosen.folder) as folder:
        config = studio._settings(folder)
        with studio._postgres():
            report = asyncio.run(_report(config, chosen))
    print(json.dumps(report))
    sys.exit(report["slow"] > 0)


async def _report(config: Config, chosen: argparse.Namespace) -> dict[str, Any]:
    await studio._arrival(config)
    await seeds.migrate_and_sow(config)
    async with (
        open_database(config.dsn, role="crowd", pool=4, patience=studio.PATIENCE) as db,
        open_storage(config) as storage,
    ):
        if await db.fetchval("select count(*) from account") < chosen.people:
            await seeding.seed(db, Vault.from_config(config), storage, chosen.people, chosen.entries, studio._say)
        await _put_down(db)
        with studio._web(config):
            return {"counts": dict(await db.fetchrow(seeding.COUNTS) or {})} | await _look(config, db, chosen.rounds)


async def _put_down(db: Database) -> None:
    """What a worker would have done in that year: the figures of each day, and what it saw of pool and queue."""
    began, days = time.monotonic(), 0
    while closed := await closings.close(db):
        days += closed
    await db.execute(HOURS)
    await db.execute(POOL)
    await db.execute(ANALYZE)
    studio._say(f"{days} days put down in {time.monotonic() - began:.0f} s")


async def _look(config: Config, db: Database, rounds: int) -> dict[str, Any]:
    """Every chart by every range, and of one plan, model and key, ``rounds`` times, all of them in turn."""
    looks = await _looks(db)
    async with aiohttp.ClientSession(cookies=await looking._carol(db)) as client:
        await looking._until_up(client, config.public_url)
        times: dict[str, list[float]] = {name: [] for name in looks}
        for turn in range(looking.WARM_UP + rounds):
            for name, path in looks.items():
                took = await looking._took(client, config.public_url + path)
                if turn >= looking.WARM_UP:
                    times[name].append(took)
    p95 = {name: looking._p95(each) for name, each in times.items()}
    for name, each in times.items():
        studio._say(f"{p95[name]:7.1f} ms p95 {statistics.median(each):7.1f} ms median  {name}")
    slow = {name: took for name, took in p95.items() if took > MOST_MS and not name.startswith("all")}
    load = {"average": os.getloadavg()[0], "cores": os.cpu_count() or 1}
    return {"p95_ms": p95, "slow": len(slow), "too_slow": slow, "looks": len(looks), "rounds": rounds, "load": load}


async def _looks(db: Database) -> dict[str, str]:
    """Name to path. Those that begin with "all" show many charts at once: they are measured, and not judged."""
    plan = await db.fetchval("select plan_id from subscription group by plan_id order by count(*) desc limit 1")
    model = await db.fetchval("select model_id from attempt limit 1")
    key = await db.fetchval("select key_id from attempt limit 1")
    found = {f"{kind.code}: {name}": f"/admin/charts/{kind.code}?range={name}" for kind in KINDS for name in RANGES}
    for words, query in (
        ("of a plan", f"plan={plan}"), ("of a model", f"model={model}"), ("of a key", f"key={key}"),
        ("of a plan and a model", f"plan={plan}&model={model}"),
    ):  # fmt: skip
        found |= {f"{kind.code}: 365 {words}": f"/admin/charts/{kind.code}?range=365&{query}" for kind in KINDS}
    found |= {f"all: {name}": f"/admin/charts?range={name}" for name in RANGES}
    return found | {"all: overview": "/admin"}


if __name__ == "__main__":
    main()
