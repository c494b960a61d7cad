"""Ledger: credits, as entries that are only ever added. The schema has the last word on every rule here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db
from limner.runtime.errors import Refused


class QuotaExhausted(Refused):
    """There are not enough credits left in this period."""

    status = 402

    def __init__(self) -> None:
        super().__init__("There are not enough credits left in this period for that.", code="quota_exhausted")


@dataclass(frozen=True)
class Balance:
    available: int
    held: int
    spent: int


BALANCE = "select available, held, spent from balance where account_id = $1"


async def balance(db: Db, account_id: UUID) -> Balance:
    row = await db.fetchrow(BALANCE, account_id)
    return Balance(0, 0, 0) if row is None else Balance(**row)


# With its first entry a balance is opened; whoever comes first must have something to lock.
OPEN = "insert into balance (account_id) values ($1) on conflict do nothing"
LOCK = f"{BALANCE} for update"


async def locked(tx: Db, account_id: UUID) -> Balance:
    """As it is until the transaction ends: nobody takes or gives anything meanwhile."""
    await tx.execute(OPEN, account_id)
    return Balance(**await tx.fetchrow(LOCK, account_id))  # type: ignore[arg-type]


FROM_RESERVE = """
insert into ledger_entry (account_id, job_id, kind, credits, why)
select account_id, job_id, $2, credits, $3 from ledger_entry where job_id = $1 and kind = 'reserve'
returning id
"""


async def release(db: Db, job_id: UUID, why: str) -> None:
    """The picture will not come: what was held is available again."""
    await _end_reserve(db, job_id, "release", why)


REFUND = """
insert into ledger_entry (account_id, job_id, kind, credits, why)
select account_id, job_id, 'refund', credits, $2 from ledger_entry where job_id = $1 and kind = 'settle'
returning credits
"""


async def refund(db: Db, job_id: UUID, why: str) -> int:
    """What was charged for a picture comes back, once, by constraint. Returns the credits."""
    credits = await db.fetchval(REFUND, job_id, why)
    if credits is None:
        raise AssertionError(f"job {job_id} was never charged")
    return int(credits)


GRANT = "insert into ledger_entry (account_id, invoice_id, kind, credits, why) values ($1, $2, 'grant', $3, $4) returning id"


async def grant(db: Db, account_id: UUID, credits: int, why: str, *, invoice_id: UUID | None = None) -> int:
    """Give credits; for an invoice at most once, by constraint. Returns the entry's id."""
    return await db.fetchval(GRANT, account_id, invoice_id, credits, why)  # type: ignore[no-any-return]


ADJUST = "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', $2, $3)"


async def adjust(db: Db, account_id: UUID, credits: int, why: str) -> None:
    """Correct by hand, up or down. Raises QuotaExhausted when less than that is there."""
    with covered():
        await db.execute(ADJUST, account_id, credits, why)


# Locked before it is read: what somebody takes or gives back meanwhile is seen.
RESET = """
with left_over as (select account_id, available from balance where account_id = $1 and available > 0 for update)
insert into ledger_entry (account_id, kind, credits, why) select account_id, 'cycle_reset', available, $2 from left_over
"""


async def reset(db: Db, account_id: UUID, why: str) -> None:
    """What is left of an old period ends."""
    await db.execute(RESET, account_id, why)


@dataclass(frozen=True)
class Entry:
    id: int
    kind: str
    credits: int
    why: str
    job_id: UUID | None
    created_at: datetime

    @property
    def line(self) -> str:
        """One plain line for the statement."""
        word = {
            "grant": "received",
            "reserve": "reserved",
            "settle": "charged",
            "release": "released, nothing charged",
            "refund": "refunded",
            "cycle_reset": "expired with the period",
            "adjust": "corrected",
        }[self.kind]
        return f"{self.why} – {word}" if self.why else word

    @property
    def change(self) -> int:
        """What it did to the available credits."""
        return {"settle": 0, "reserve": -self.credits, "cycle_reset": -self.credits}.get(self.kind, self.credits)


ENTRIES = "select id, kind, credits, why, job_id, created_at from ledger_entry where account_id = $1 order by id desc limit $2"


async def entries(db: Db, account_id: UUID, count: int = 20) -> list[Entry]:
    """Newest first."""
    return [Entry(**row) for row in await db.fetch(ENTRIES, account_id, count)]


def receipt(entries: Sequence[tuple[str, int]]) -> str:
    """What a picture cost, as its owner reads it: "reserved 1, delivered, charged 1"."""
    says = {
        "reserve": "reserved {}",
        "settle": "delivered, charged {}",
        "release": "not delivered, nothing charged",
        "refund": "refunded {}",
    }
    return ", ".join(says[kind].format(credits) for kind, credits in entries)


def bucket(available: int, cycle_credits: int) -> int:
    """What pages show of the quota: per cent left, rounded up to 100/80/60/40/20, and 0 only at zero."""
    if available <= 0:
        return 0
    if cycle_credits <= 0:
        return 100
    return min(100, -(-(available * 100) // (cycle_credits * 20)) * 20)


async def _end_reserve(db: Db, job_id: UUID, kind: str, why: str) -> None:
    if await db.fetchval(FROM_RESERVE, job_id, kind, why) is None:
        raise AssertionError(f"job {job_id} has no reserve to {kind}")


async def must_cover(db: Db, account_id: UUID, credits: int) -> None:
    """Raises QuotaExhausted when so many are not available now: the schema has the last word when they are taken."""
    if (await balance(db, account_id)).available < credits:
        raise QuotaExhausted


@contextmanager
def covered() -> Iterator[None]:
    """Around what takes credits: the schema has the last word. Raises QuotaExhausted."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "balance_covers_it":
            raise
        raise QuotaExhausted from error
