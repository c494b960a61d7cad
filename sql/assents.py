"""Assents: each yes on the page that asks once more, written down by the transaction that does what it is about."""

from __future__ import annotations

from uuid import UUID

from limner.runtime.database import Db, Transaction, affected
from limner.runtime.errors import Refused
from limner.sql import sessions


class DoneAlready(Refused):
    """The same yes was said before."""

    status = 409


# Who says it at the same moment waits here, and goes on only if nothing came of the other one.
GIVE = "insert into assent (id) values ($1) on conflict (id) do nothing returning id"


async def give(tx: Transaction, assent_id: UUID) -> None:
    """What the rest of the transaction does is done once for this yes. Raises DoneAlready."""
    if await tx.fetchval(GIVE, assent_id) is None:
        raise DoneAlready(
            "That is done already: look at what is there, and begin anew if it is to be done once more.", field="form"
        )


# A yes belongs to a session, and none lives longer.
FORGET = f"delete from assent where given_at < now() - interval '{sessions.ABSOLUTE}'"


async def forget_old(db: Db) -> int:
    return affected(await db.execute(FORGET))
