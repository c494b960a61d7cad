"""Leases: things that only one process at a time may do, by the database's clock."""

from __future__ import annotations

from uuid import UUID

from limner.runtime.database import Db

TAKE = """
insert into lease (name, owner, expires_at) values ($1, $2, now() + make_interval(secs => $3))
on conflict (name) do update set owner = excluded.owner, expires_at = excluded.expires_at
where lease.owner = excluded.owner or lease.expires_at < now()
returning true
"""

LEAVE = "delete from lease where name = $1 and owner = $2"


async def take(db: Db, name: str, owner: UUID, seconds: float) -> bool:
    """Take or renew the lease for ``seconds``. False while somebody else holds it."""
    return bool(await db.fetchval(TAKE, name, owner, float(seconds)))


async def leave(db: Db, name: str, owner: UUID) -> None:
    """Give the lease up, so that the next one need not wait for its end."""
    await db.execute(LEAVE, name, owner)
