"""`limner health ROLE`: whether a role on this machine works, from its own heartbeats in the database."""

from __future__ import annotations

import socket
from typing import Any

from limner.runtime.config import Config
from limner.runtime.database import TROUBLE
from limner.runtime.opening import open_database
from limner.sql import schema

AILING = ("crashed", "degraded", "deaf", "conflict")
"""What a child says of itself when it does not do its work."""

LATEST = """
select state, children, extract(epoch from now() - seen_at)::float as silent from worker
where role = $1 and host = $2 order by seen_at desc limit 1
"""


async def problems(config: Config, role: str) -> list[str]:
    """What is wrong with the role's newest process on this host, a line each; empty when it is healthy."""
    try:
        async with open_database(config.dsn, role="health", pool=2, pooled=config.database_pooled) as db:
            found = [] if await schema.current(db) >= schema.head() else ["the schema is behind: run `limner migrate`"]
            row = await db.fetchrow(LATEST, role, socket.gethostname())
    except TROUBLE as error:
        return [f"the database cannot be reached: {error or type(error).__name__}"]
    return found + (["it never began to beat on this host"] if row is None else _ailments(row, config.lease))


def _ailments(row: Any, lease: float) -> list[str]:
    found = []
    if row["state"] == "stopped":
        found.append("it has stopped")
    elif row["silent"] > lease:
        found.append(f"no heartbeat for {row['silent']:.0f} s")
    found += [
        f"{child['name']} is {child['state']}: {child.get('last_error', '')}".removesuffix(": ")
        for child in row["children"]
        if child.get("state") in AILING
    ]
    return found
