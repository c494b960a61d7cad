"""Inside the target image: what it finds when it looks at the live database and settings, changing nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg

from limner.runtime import placement
from limner.runtime.config import Config, ConfigError
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.sql import migrating, schema


async def look() -> dict[str, Any]:
    """Fit for JSON: ``head``, ``client`` (pg_dump's version here, or ""), ``mistakes`` (lines about settings),
    ``database`` (None when it cannot be asked, with ``trouble``): schema, oldest_image, server, folder; ``pending``
    migrations with their steps; ``sizes`` of the tables that these touch.
    """
    found: dict[str, Any] = {
        "head": schema.head(),
        "client": _client(),
        "mistakes": [],
        "database": None,
        "trouble": "",
    }
    try:
        found |= await _database(Config.load())
    except ConfigError as error:
        found["mistakes"] = error.mistakes
    except (*TROUBLE, asyncpg.PostgresError) as error:
        found["trouble"] = f"the database cannot be asked: {error or type(error).__name__}"
    return found


async def _database(config: Config) -> dict[str, Any]:
    async with open_database(config.migration_dsn, role="preflight", pool=2) as pool, pool.transaction() as db:
        await db.execute("set transaction read only")
        current = await schema.current(db)
        pending = migrating.pending(current)
        touched = sorted({step.table for each in pending for step in each.steps if step.table})
        server = await migrating.server(db)
        return {
            "database": asdict(server) | {"schema": current, "oldest_image": await migrating.oldest_image(db)},
            "pending": [asdict(each) for each in pending],
            "sizes": {name: asdict(size) for name, size in (await migrating.sizes(db, touched)).items()},
        }


def _client() -> str:
    """The version of the pg_dump that a backup would use here, such as 18.6; "" when there is none."""
    chosen = os.environ.get("LIMNER_PG_BIN")
    try:
        program = shutil.which("pg_dump", path=placement.find_binaries(Path(chosen) if chosen else None))
    except Refused:
        program = None
    program = program or shutil.which("pg_dump")
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    words = said.stdout.split()
    return words[2] if said.returncode == 0 and len(words) > 2 else ""
