"""Postings: the whole ledger as admins look through it, by account, kind and day, each with what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.sql import lists

KINDS = ("grant", "reserve", "settle", "release", "refund", "cycle_reset", "adjust")
LOOKED = 5_000
"""Entries that are looked through at a time for a part of an address."""


@dataclass(frozen=True)
class Posting:
    """``change``: what it did to the credits that can be spent. ``generation_id``: of the picture that it is about."""

    id: int
    account_id: UUID
    email: str
    kind: str
    credits: int
    change: int
    why: str
    job_id: UUID | None
    generation_id: UUID | None
    invoice_id: UUID | None
    created_at: datetime


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``about``: the id of a picture's job or of an invoice."""

    part: str = ""
    account: UUID | None = None
    about: UUID | None = None
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None


Place = tuple[datetime | None, int | None]

COLUMNS = """
e.id, e.account_id, a.email, e.kind, e.credits, e.why, e.job_id, e.invoice_id, e.created_at, j.generation_id,
case e.kind when 'settle' then 0 when 'reserve' then -e.credits when 'cycle_reset' then -e.credits else e.credits end as change
"""
# Of a part of an address nobody knows how rare it is: so many entries are looked through, and the edge says where to go on.
LIST = f"""
with looked as materialized (
    select e.* from ledger_entry as e
    where ($1::uuid is null or e.account_id = $1)
        and ($2::uuid is null or e.job_id = $2 or e.kind = 'grant' and e.invoice_id = $2)
        and ($3 = '' or e.kind = $3)
        and ($4::timestamptz is null or e.created_at >= $4) and ($5::timestamptz is null or e.created_at < $5)
        and ($6::timestamptz is null or (e.created_at, e.id) < ($6, $7::bigint))
    order by e.created_at desc, e.id desc limit $8
),
kept as (
    select e.* from looked as e
    where $9 = '' or (select a.email_key like lower($9) from account as a where a.id = e.account_id)
    order by e.created_at desc, e.id desc limit $10
)
select edge.at as edge_at, edge.id as edge_id, edge.n as looked_at, {COLUMNS}
from (select created_at as at, id, (select count(*) from looked) as n from looked order by created_at, id limit 1) as edge
left join kept as e on true left join account as a on a.id = e.account_id left join job as j on j.id = e.job_id
order by e.created_at desc, e.id desc
"""
EDGE = ("edge_at", "edge_id", "looked_at")


async def listing(
    db: Db, sought: Sought, before: Place = (None, None), count: int = 50
) -> tuple[list[Posting], Place | None]:
    """Newest first; and how far it looked, when there is more to look through than that."""
    most = LOOKED if sought.part else count
    rows = await lists.read(
        db, LIST, sought.account, sought.about, sought.kind, sought.since, sought.until, *before, most,
        lists.part(sought.part), count,
    )  # fmt: skip
    fields = [{name: value for name, value in row.items() if name not in EDGE} for row in rows if row["id"] is not None]
    edge = (rows[0]["edge_at"], rows[0]["edge_id"]) if rows and sought.part and rows[0]["looked_at"] == most else None
    return [Posting(**each) for each in fields], edge


ONE = f"""
select {COLUMNS} from ledger_entry as e join account as a on a.id = e.account_id left join job as j on j.id = e.job_id
where e.id = $1
"""


async def get(db: Db, entry_id: int) -> Posting:
    """Raises NotFound."""
    row = await db.fetchrow(ONE, entry_id)
    if row is None:
        raise NotFound("There is no such entry.")
    return Posting(**row)


BESIDE = f"""
select {COLUMNS} from ledger_entry as e join account as a on a.id = e.account_id left join job as j on j.id = e.job_id
where e.job_id = $1 order by e.id
"""


async def of_job(db: Db, job_id: UUID) -> list[Posting]:
    """All that was written of one picture: reserved, then charged or released, perhaps refunded."""
    return [Posting(**row) for row in await db.fetch(BESIDE, job_id)]
