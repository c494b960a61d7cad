"""Orders: generations as admins look through them, by who, what, state, failure, key and day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import lists

STATES = ("queued", "running", "delivered", "failed", "canceled")
FAULTS = (
    "auth_dead", "balance_exhausted", "rate_limited", "daily_quota", "model_unavailable", "region_blocked", "proxy_failed",
    "moderation_input", "moderation_output", "no_image", "invalid_request", "upstream_5xx", "timeout_unknown", "cancelled",
)  # fmt: skip
"""The classes of failure: how an attempt for it ended, once at the least."""
LOOKED = 5_000
"""Orders that are looked through at a time for what no index knows."""
LOOKED_CLOSELY = 2_000
"""The same when the attempts at each of them are looked at, too."""


@dataclass(frozen=True)
class Order:
    id: UUID
    account_id: UUID
    email: str
    prompt: str
    model_id: str
    state: str
    reason: str
    count: int
    credits: int
    delivered: int
    created_at: datetime
    seconds: float | None


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``words`` of the prompt, ``part`` of an address."""

    id: UUID | None = None
    account: UUID | None = None
    state: str = ""
    model: str = ""
    fault: str = ""
    key: int | None = None
    words: str = ""
    part: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def needs_looking(self) -> bool:
        return bool(self.state or self.model or self.fault or self.key or self.words or self.part)


Place = tuple[datetime | None, UUID | None]

# The unfinished are found by their jobs. The rest is looked through in order, so many at a time: the edge says where to go on.
# Not "exists": for that all attempts of a key are read first.
LIST = """
with looked as materialized (
    select g.id, g.account_id, g.prompt, g.model_id, g.state, g.reason, g.count, g.credits, g.created_at
    from generation as g
    where ($1::uuid is null or g.id = $1) and ($2::uuid is null or g.account_id = $2)
        and ($3 not in ('queued', 'running') or g.id = any(array(
            select j.generation_id from job as j where j.state in ('queued', 'running')
        )))
        and ($4::timestamptz is null or g.created_at >= $4) and ($5::timestamptz is null or g.created_at < $5)
        and ($6::timestamptz is null or (g.created_at, g.id) < ($6, $7::uuid))
    order by g.created_at desc, g.id desc limit $8
),
kept as (
    select g.* from looked as g
    where ($3 = '' or g.state = $3) and ($9 = '' or g.model_id = $9) and ($10 = '' or lower(g.prompt) like lower($10))
        and ($11 = '' or (select a.email_key like lower($11) from account as a where a.id = g.account_id))
        and ($12 = '' and $13::bigint is null or (
            select true from job as j join attempt as t on t.job_id = j.id
            where j.generation_id = g.id and ($12 = '' or t.fault = $12) and ($13 is null or t.key_id = $13) limit 1
        ))
    order by g.created_at desc, g.id desc limit $14
)
select edge.at as edge_at, edge.id as edge_id, edge.n as looked_at, g.*, a.email,
    (select count(*) from job as j where j.generation_id = g.id and j.state = 'delivered') as delivered,
    (select extract(epoch from max(j.finished_at) - g.created_at)::float8 from job as j where j.generation_id = g.id) as seconds
from (select created_at as at, id, (select count(*) from looked) as n from looked order by created_at, id limit 1) as edge
left join kept as g on true left join account as a on a.id = g.account_id
order by g.created_at desc, g.id desc
"""
NEWER = (
    LIST.replace("(g.created_at, g.id) < (", "(g.created_at, g.id) > (")
    .replace("order by created_at, id limit 1", "order by created_at desc, id desc limit 1")
    .replace("g.created_at desc, g.id desc", "g.created_at, g.id")
)
EDGE = ("edge_at", "edge_id", "looked_at")


async def listing(
    db: Db, sought: Sought, before: Place = (None, None), count: int = 50
) -> tuple[list[Order], Place | None]:
    """Newest first; and how far it looked, when there is more to look through than that."""
    return await _look(db, LIST, sought, before, count)


async def newer(db: Db, sought: Sought, than: Place, count: int) -> tuple[list[Order], Place | None]:
    """The next ones above this place, newest first; and how far up it looked, when there is more."""
    found, edge = await _look(db, NEWER, sought, than, count)
    return found[::-1], edge


async def _look(db: Db, statement: str, sought: Sought, place: Place, count: int) -> tuple[list[Order], Place | None]:
    most = (LOOKED_CLOSELY if sought.fault or sought.key else LOOKED) if sought.needs_looking else count
    rows = await lists.read(
        db, statement, sought.id, sought.account, sought.state, sought.since, sought.until, *place, most, sought.model,
        lists.part(sought.words), lists.part(sought.part), sought.fault, sought.key, count,
    )  # fmt: skip
    fields = [{name: value for name, value in row.items() if name not in EDGE} for row in rows if row["id"] is not None]
    edge = None
    if rows and sought.needs_looking and rows[0]["looked_at"] == most:
        edge = (rows[0]["edge_at"], rows[0]["edge_id"])
    return [Order(**each) for each in fields], edge
