"""Reports: what visitors say should not be shown, grouped by picture, until an admin dismisses them or takes it down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Database, Db, affected
from limner.runtime.errors import Refused
from limner.sql import audit, lists
from limner.sql.shares import NotShared
from limner.sql.takedowns import ALL, LONGEST_REASON, NotAsBelieved, Sought

KINDS = {
    "illegal": "It is against the law",
    "sexual": "Sexual content",
    "violence": "Violence or cruelty",
    "hate": "Hate against people",
    "person": "It shows me, or somebody I know, without consent",
    "rights": "It uses work that is mine",
    "other": "Something else",
}
LONGEST_WORDS = 1000

# Whoever takes the picture down meanwhile waits for this, and settles it, or this finds it down. The same household again
# makes no second report.
FILE = """
insert into report as r (image_id, kind, words, address, account_id)
select i.id, $2, $3, $4, $5
from (select id from image where id = $1 and deleted_at is null and taken_down_at is null for share) as i
on conflict (image_id, address) where settled_at is null and address <> '' do update set
    times = r.times + 1, last_at = now(), kind = excluded.kind,
    words = case when excluded.words = '' then r.words else excluded.words end,
    account_id = coalesce(excluded.account_id, r.account_id)
"""


async def file(db: Db, image_id: UUID, kind: str, words: str, *, address: str, account_id: UUID | None = None) -> None:
    """Somebody reports a picture. Raises Refused for what was chosen or written, NotShared when it is gone."""
    if kind not in KINDS:
        raise Refused("Please choose what is wrong with it.", field="kind")
    if len(words) > LONGEST_WORDS:
        raise Refused(f"At most {LONGEST_WORDS} characters, not {len(words)}.", field="words")
    if kind == "other" and not words:
        raise Refused("Please say what is wrong with it.", field="words")
    if not affected(await db.execute(FILE, image_id, kind, words, address, account_id)):
        raise NotShared


@dataclass(frozen=True)
class Case:
    """A picture with all reports on it that are open, or that were settled together."""

    image_id: UUID
    account_id: UUID
    email: str
    prompt: str
    people: int
    times: int
    kinds: list[str]
    words: list[str]
    first_at: datetime
    last_at: datetime
    settled_at: datetime | None
    outcome: str | None
    reason: str
    is_down: bool


# Oldest first: who waits longest is looked at first. Which pictures those are is settled before anything is gathered. Owner and
# prompt are looked up picture by picture: for an "exists" Postgres would read all pictures there are.
OPEN = """
with next as materialized (
    select image_id, min(created_at) as first_at from report as r where settled_at is null group by image_id
    having ($1::timestamptz is null or (min(created_at), image_id) > ($1, $2::uuid))
        and ($5::timestamptz is null or min(created_at) >= $5) and ($6::timestamptz is null or min(created_at) < $6)
        and ($3::text is null and $4::uuid is null or image_id = $4 or bool_or(lower(words) like lower($3)) or (
            select lower(a.email) like lower($3) or lower(g.prompt) like lower($3)
            from image as i join account as a on a.id = i.account_id join generation as g on g.id = i.generation_id
            where i.id = r.image_id
        ))
    order by min(created_at), image_id limit $7
)
select n.image_id, n.first_at, c.*, i.account_id, a.email, g.prompt, i.taken_down_at is not null as is_down,
    null::timestamptz as settled_at, null as outcome, '' as reason
from next as n
cross join lateral (
    select count(*) as people, sum(times)::bigint as times, array_agg(distinct kind order by kind) as kinds,
        (array_agg(words order by last_at desc) filter (where words <> ''))[1:3] as words, max(last_at) as last_at
    from report where image_id = n.image_id and settled_at is null
) as c
join image as i on i.id = n.image_id
join account as a on a.id = i.account_id
join generation as g on g.id = i.generation_id
order by n.first_at, n.image_id
"""
SETTLED = """
select c.*, i.account_id, a.email, g.prompt, i.taken_down_at is not null as is_down
from (
    select image_id, settled_at, outcome, reason, count(*) as people, sum(times)::bigint as times,
        array_agg(distinct kind order by kind) as kinds,
        (array_agg(words order by last_at desc) filter (where words <> ''))[1:3] as words,
        min(created_at) as first_at, max(last_at) as last_at
    from report as r
    where settled_at is not null and ($1::timestamptz is null or (settled_at, image_id) < ($1, $2::uuid))
        and ($5::timestamptz is null or settled_at >= $5) and ($6::timestamptz is null or settled_at < $6)
    group by settled_at, image_id, outcome, reason
    having $3::text is null and $4::uuid is null or image_id = $4 or lower(reason) like lower($3)
        or bool_or(lower(words) like lower($3)) or (
            select lower(a.email) like lower($3) or lower(g.prompt) like lower($3)
            from image as i join account as a on a.id = i.account_id join generation as g on g.id = i.generation_id
            where i.id = r.image_id
        )
    order by settled_at desc, image_id desc limit $7
) as c
join image as i on i.id = c.image_id
join account as a on a.id = i.account_id
join generation as g on g.id = i.generation_id
order by c.settled_at desc, c.image_id desc
"""

Place = tuple[datetime | None, UUID | None]


async def open_cases(db: Db, sought: Sought = ALL, *, after: Place = (None, None), count: int = 25) -> list[Case]:
    """What waits for an admin, by the moment of its first report, oldest first, by keyset."""
    return [_case(row) for row in await lists.read(db, OPEN, *after, *sought.arguments, count)]


async def settled_cases(db: Db, sought: Sought = ALL, *, before: Place = (None, None), count: int = 25) -> list[Case]:
    """By the moment at which they were settled, newest first, by keyset."""
    return [_case(row) for row in await lists.read(db, SETTLED, *before, *sought.arguments, count)]


def _case(row: object) -> Case:
    fields = dict(row)  # type: ignore[call-overload]
    return Case(**{**fields, "words": fields["words"] or []})


@dataclass(frozen=True)
class Report:
    kind: str
    words: str
    address: str
    email: str | None
    times: int
    created_at: datetime
    settled_at: datetime | None
    outcome: str | None
    reason: str


OF_IMAGE = """
select r.kind, r.words, r.address, a.email, r.times, r.created_at, r.settled_at, r.outcome, r.reason
from report as r left join account as a on a.id = r.account_id
where r.image_id = $1 order by r.settled_at desc nulls first, r.id desc limit $2
"""


async def of_image(db: Db, image_id: UUID, count: int = 100) -> list[Report]:
    """All on one picture, the open ones first."""
    return [Report(**row) for row in await db.fetch(OF_IMAGE, image_id, count)]


WAITING = "select pictures, oldest from reports_waiting()"


async def waiting(db: Db) -> tuple[int, datetime | None]:
    """How many pictures wait to be looked at, and since when the first one does."""
    row = await db.fetchrow(WAITING)
    assert row is not None
    return row["pictures"], row["oldest"]


DISMISS = """
update report set settled_at = now(), outcome = 'dismissed', reason = $2 where image_id = $1 and settled_at is null
"""


async def dismiss(db: Database, image_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """The picture may stay. Raises NotAsBelieved when no report on it is open, Refused for the reason."""
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise Refused(f"Please say why, in at most {LONGEST_REASON} characters.", field="reason")
    async with db.transaction() as tx:
        count = affected(await tx.execute(DISMISS, image_id, reason))
        if not count:
            raise NotAsBelieved("No report on this picture is open: somebody was faster.")
        before, after = {"reports": count}, {"reports": 0, "reason": reason}
        await audit.record(tx, actor, "report.dismiss", f"image {image_id}", before, after, ip=ip)


FORGET_OLD = """
update report set address = '', account_id = null
where settled_at < now() - interval '30 days' and (address <> '' or account_id is not null)
"""


async def forget_old(db: Db) -> int:
    """Who reported, a month after it was settled. What was said and decided stays."""
    return affected(await db.execute(FORGET_OLD))
