"""Token buckets in Postgres: how often somebody may try, across all processes."""

from __future__ import annotations

from dataclasses import dataclass

from limner.runtime.database import Db, affected
from limner.runtime.errors import TooMany


@dataclass(frozen=True)
class Rate:
    """``burst`` tries at once, refilled evenly over ``seconds``."""

    burst: int
    seconds: float


LOGIN_BY_ACCOUNT = Rate(5, 15 * 60)
LOGIN_BY_ADDRESS = Rate(20, 15 * 60)
REGISTER_BY_ADDRESS = Rate(5, 60 * 60)
MAIL_BY_ACCOUNT = Rate(3, 60 * 60)
"""Links that somebody asks for: to confirm an address, to choose a new password, to change the address."""
MAIL_BY_ADDRESS = Rate(20, 60 * 60)
EXPORT_BY_ACCOUNT = Rate(3, 60 * 60)
GUESS_BY_ACCOUNT = Rate(10, 15 * 60)
GUESS_BY_ADDRESS = Rate(30, 15 * 60)
GIFT_BY_ACCOUNT = Rate(20, 60 * 60)
SHARE_BY_ACCOUNT = Rate(60, 60 * 60)
"""Links, and offers to the wall."""
REPORT_BY_ADDRESS = Rate(10, 60 * 60)
ORDER_BY_ACCOUNT = Rate(60, 60)
CODE_BY_ACCOUNT = Rate(5, 15 * 60)
"""Of a second factor: five of a million guesses, and who may guess knows the password."""

# Refill by the time that passed, then take one. No row is returned when less than one token is there.
TAKE = """
insert into throttle as t (key, tokens) values ($1, $2 - 1)
on conflict (key) do update set
    tokens = least($2, t.tokens + extract(epoch from now() - t.touched_at) * $2 / $3) - 1,
    touched_at = now()
where least($2, t.tokens + extract(epoch from now() - t.touched_at) * $2 / $3) >= 1
returning true
"""


async def take(db: Db, rate: Rate, what: str) -> None:
    """Take one token of bucket ``what``. Raises TooMany with the seconds until the next one."""
    if not await db.fetchval(TAKE, what, float(rate.burst), float(rate.seconds)):
        after = rate.seconds / rate.burst
        raise TooMany(f"That was too often. Please try again in {_plainly(after)}.", after=after)


async def clear(db: Db, what: str) -> None:
    """Forget the failures, after a success."""
    await db.execute("delete from throttle where key = $1", what)


async def forget_old(db: Db) -> int:
    return affected(await db.execute("delete from throttle where touched_at < now() - interval '1 day'"))


def _plainly(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
