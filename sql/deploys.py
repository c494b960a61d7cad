"""One deployment at a time: an advisory lock that the server itself gives back when its holder is gone."""

from __future__ import annotations

from typing import Any

LOCK = 4_710_018_531
"""Any number that nobody else uses; schema.LOCK is the migrators'."""
TAKE = "select pg_try_advisory_lock($1)"


async def take(connection: Any) -> bool:
    """Whether this session has the lock now; then until it ends."""
    return bool(await connection.fetchval(TAKE, LOCK))


HOLDER = """
select a.application_name || ', since ' || to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
    || ' (server process ' || a.pid || ')'
from pg_locks as l inner join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and (l.classid::bigint << 32 | l.objid::bigint) = $1
    and l.database = (select oid from pg_database where datname = current_database())
"""


async def holder(connection: Any) -> str:
    """Who has it, in words."""
    return str(await connection.fetchval(HOLDER, LOCK) or "somebody who is just leaving")
