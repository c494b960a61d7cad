"""Statements: an account's ledger as its owner reads it, newest first, with what was left after each line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import Refused


@dataclass(frozen=True)
class Line:
    """One entry. ``change``: what it did to the credits that can be spent; ``left``: how many there were afterwards.

    ``prompt`` and ``thread_id`` are of the picture that it is about; ``image_id``: the picture itself, while it is there.
    """

    id: int
    created_at: datetime
    kind: str
    credits: int
    why: str
    change: int
    charged: int
    left: int
    prompt: str | None
    thread_id: UUID | None
    image_id: UUID | None

    @property
    def words(self) -> str:
        """One plain sentence."""
        why = " ".join(self.why.split())
        picture = f"“{_short(self.prompt)}”" if self.prompt is not None else "A picture"
        because = f": {why}" if why else ""
        return {
            "grant": f"Received{because}",
            "reserve": f"{picture} ordered: {_credits(self.credits)} reserved",
            "settle": f"{picture} delivered: the reserved {_credits(self.credits)} charged",
            "release": f"{picture} not delivered, nothing charged{because}",
            "refund": f"{picture} refunded{because}",
            "cycle_reset": f"Ended with its period{because}",
            "adjust": f"Corrected{because}",
        }[self.kind]


def _credits(number: int) -> str:
    return f"{number} credit" if number == 1 else f"{number} credits"


def _short(prompt: str) -> str:
    words = " ".join(prompt.split())
    return words if len(words) <= 60 else words[:59] + "…"


@dataclass(frozen=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month | None:
        """From "2026-11"; None for nothing. Raises Refused."""
        if not text:
            return None
        found = re.fullmatch(r"(20[0-9]{2})-(0[1-9]|1[0-2])", text)
        if found is None:
            raise Refused(f"A month looks like 2026-11, not {text[:20]!r}.", field="month")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"

    @property
    def name(self) -> str:
        return f"{date(self.year, self.number, 1):%B %Y}"

    @property
    def before(self) -> Month:
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Its first moment, and the first after it."""
        end = Month(self.year + self.number // 12, self.number % 12 + 1)
        return tuple(datetime(each.year, each.number, 1, tzinfo=UTC) for each in (self, end))  # type: ignore[return-value]


# What was left after the newest line shown is what is left now, less what changed since; or the caller knows ($6).
LINES = """
with shown as materialized (
    select * from statement
    where account_id = $1 and ($2::bigint is null or id < $2)
        and ($3::timestamptz is null or created_at >= $3 and created_at < $4)
    order by id desc limit $5
),
newest as materialized (
    select coalesce($6::bigint, (select available from balance where account_id = $1) - (
        select coalesce(sum(s.change), 0) from statement as s where s.account_id = $1 and s.id > (select max(id) from shown)
    )) as left_over
)
select s.id, s.created_at, s.kind, s.credits, s.why, s.change, s.charged, g.prompt, g.thread_id, i.id as image_id,
    (newest.left_over - coalesce(
        sum(s.change) over (order by s.id desc rows between unbounded preceding and 1 preceding), 0
    ))::bigint as left
from shown as s cross join newest
left join job as j on j.id = s.job_id
left join generation as g on g.id = j.generation_id and g.hidden_at is null
left join image as i on i.job_id = s.job_id and i.deleted_at is null
order by s.id desc
"""


async def lines(
    db: Db, account_id: UUID, *, before: int | None = None, month: Month | None = None, count: int = 50,
    left: int | None = None,
) -> list[Line]:  # fmt: skip
    """Newest first, by keyset. ``left``: what was left after the newest of these, where the caller knows."""
    start, end = month.bounds if month else (None, None)
    rows = await db.fetch(LINES, account_id, before, start, end, count, left)
    return [Line(**row) for row in rows]


async def all_lines(db: Db, account_id: UUID, month: Month | None = None, batch: int = 1000) -> AsyncIterator[Line]:
    """Every line, newest first, read in batches."""
    before = left = None
    while found := await lines(db, account_id, before=before, month=month, count=batch, left=left):
        for line in found:
            yield line
        before, left = found[-1].id, found[-1].left - found[-1].change


@dataclass(frozen=True)
class Sums:
    """What happened in a month, or ever. ``pictures``: delivered and not refunded."""

    received: int
    charged: int
    pictures: int


SUMS = """
select coalesce(sum(change) filter (where kind in ('grant', 'adjust')), 0)::bigint as received,
    coalesce(sum(charged), 0)::bigint as charged,
    count(*) filter (where kind = 'settle') - count(*) filter (where kind = 'refund') as pictures
from statement
where account_id = $1 and ($2::timestamptz is null or created_at >= $2 and created_at < $3)
"""


async def sums(db: Db, account_id: UUID, month: Month | None = None) -> Sums:
    start, end = month.bounds if month else (None, None)
    row = await db.fetchrow(SUMS, account_id, start, end)
    assert row is not None
    return Sums(**row)


SPAN = "select min(created_at), now() from statement where account_id = $1"
MOST_MONTHS = 120


async def months(db: Db, account_id: UUID) -> list[Month]:
    """From now back to the first entry, newest first."""
    row = await db.fetchrow(SPAN, account_id)
    assert row is not None
    first, now = (None if at is None else at.astimezone(UTC) for at in row.values())
    found = [Month(now.year, now.month)]
    while first and found[-1].bounds[0] > first and len(found) < MOST_MONTHS:
        found.append(found[-1].before)
    return found
