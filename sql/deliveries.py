"""Deliveries: how it ended when somebody set out with a notice, be it a mail or a Telegram message."""

from __future__ import annotations

from typing import Protocol

from limner.runtime.database import Db, affected


class Taken(Protocol):
    """A notice, or the mail it became, that somebody has set out with; who sets out next has more ``attempts``."""

    @property
    def id(self) -> int: ...

    @property
    def attempts(self) -> int: ...


# A code in a mail is worth money, and has reached whom it was for.
SENT = """
update notice set sent_at = now(), error = '', details = details - 'code'
where id = $1 and attempts = $2 and sent_at is null and failed_at is null
"""


async def sent(db: Db, taken: Taken) -> bool:
    """The other side has it. False: somebody else set out with it meanwhile, or gave it up."""
    return affected(await db.execute(SENT, taken.id, taken.attempts)) == 1


FAILED = """
update notice set failed_at = now(), error = $3
where id = $1 and attempts = $2 and sent_at is null and failed_at is null
"""


async def failed(db: Db, taken: Taken, why: str) -> None:
    """It can never be delivered."""
    await db.execute(FAILED, taken.id, taken.attempts, why[:300])


LET_GO = """
update notice set attempts = attempts - 1, next_at = null
where id = $1 and attempts = $2 and sent_at is null and failed_at is null
"""


async def let_go(db: Db, taken: Taken) -> None:
    """It did not get out: it is as if nobody had set out with it."""
    await db.execute(LET_GO, taken.id, taken.attempts)
