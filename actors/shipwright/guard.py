"""Inside an image: one deployment at a time, by a lock in the database, and what became of it in the audit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import asyncpg

from limner.runtime.config import Config
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Hopeless
from limner.runtime.opening import open_database
from limner.sql import audit, deploys


async def guard(config: Config, who: str, doing: str) -> int:
    """Hold the lock until standard input ends. Says whether it has it; records the line of JSON that it is told.

    A line has ``action``, ``before`` and ``after``. An end without a line is recorded as interrupted. Returns the exit
    code: 1 when somebody else deploys. Raises Hopeless when the database cannot be reached.
    """
    began = time.monotonic()
    async with _session(config, who, doing) as connection:
        if not await deploys.take(connection):
            return _say({"held": False, "holder": await deploys.holder(connection)}) or 1
        _say({"held": True})
        told = await asyncio.to_thread(sys.stdin.readline)
        line = json.loads(told) if told.strip() else {"action": "release.interrupted", "before": None, "after": {}}
        line["after"] = line["after"] | {"doing": doing, "seconds": round(time.monotonic() - began, 1)}
        await _record(config, who, line)
        return _say({"recorded": True})


@contextlib.asynccontextmanager
async def _session(config: Config, who: str, doing: str) -> Any:
    name = f"limner-deploy {who}: {doing}".encode("ascii", "replace").decode()[:63]
    try:
        connection = await asyncpg.connect(
            config.migration_dsn, timeout=10, command_timeout=10, server_settings={"application_name": name}
        )
    except (*TROUBLE, asyncpg.PostgresError) as error:
        raise Hopeless(f"the database cannot be reached: {error or type(error).__name__}") from None
    try:
        yield connection
    finally:
        connection.terminate()


async def _record(config: Config, who: str, line: dict[str, Any]) -> None:
    # On a connection of its own: the one with the lock may have been lost to a restart of Postgres meanwhile.
    async with open_database(config.migration_dsn, role="deploy", pool=2) as db:
        await audit.record(db, f"cli {who}", line["action"], "release", line["before"], line["after"])


def _say(line: dict[str, Any]) -> int:
    print(json.dumps(line), flush=True)
    return 0
