"""Lists: long tables read a page at a time, by filters of which most are empty."""

from __future__ import annotations

from typing import Any

import asyncpg

from limner.runtime.database import Db

# A plan for all values walks the whole table for a rare one: what is asked for decides which index is right.
ANEW = "set local plan_cache_mode = force_custom_plan"


async def read(db: Db, sql: str, *args: Any) -> list[asyncpg.Record]:
    """Rows of a statement whose filters are parameters, planned for these very values."""
    async with db.transaction() as tx:
        await tx.execute(ANEW)
        return await tx.fetch(sql, *args)


def part(text: str) -> str:
    """A pattern for ``like`` that finds this text anywhere, whatever it is made of; "" for nothing.

    ``lower(it) like lower(pattern)``, not ``ilike``, which makes the pattern small again for each row. Addresses are made
    small by the rules of "C", which know no letters but ASCII's, in a tenth of the time.
    """
    for char in ("\\", "%", "_"):
        text = text.replace(char, f"\\{char}")
    return f"%{text}%" if text else ""
