"""What the studio and the gallery show: threads, generations with their jobs, pictures. Reading only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound
from limner.sql import ledger, models
from limner.sql.takedowns import TakenDown


@dataclass(frozen=True)
class Picture:
    id: UUID
    width: int
    height: int


@dataclass(frozen=True)
class ShownJob:
    id: UUID
    position: int
    state: str
    line: str
    reason: str
    percent: int | None
    preview_step: int | None
    picture: Picture | None
    receipt: str
    takedown: str | None
    """Why its picture was taken down, while it is."""


@dataclass(frozen=True)
class ShownReference:
    """``kind`` is "uploads" or "pictures"."""

    id: UUID
    kind: str


@dataclass(frozen=True)
class ShownGeneration:
    id: UUID
    thread_id: UUID
    account_id: UUID
    prompt: str
    model_id: str
    model_name: str
    width: int
    height: int
    count: int
    credits: int
    state: str
    reason: str
    created_at: datetime
    jobs: list[ShownJob]
    references: list[ShownReference]

    @property
    def ratio(self) -> str:
        return models.ratio(self.width, self.height)

    @property
    def is_done(self) -> bool:
        return self.state in ("delivered", "failed", "canceled")


GENERATIONS = """
select g.id, g.thread_id, g.account_id, g.prompt, g.model_id, m.name as model_name, g.width, g.height, g.count, g.credits,
    g.state, g.reason, g.created_at
from generation as g join model as m on m.id = g.model_id
"""
IN_THREAD = GENERATIONS + "where g.thread_id = $1 and g.hidden_at is null order by g.created_at desc, g.id limit $2"
ONE = GENERATIONS + "where g.id = $1"

# A waiting job's place is the number of older ones before it, in the whole house.
JOBS = """
select j.id, j.generation_id, j.position, j.state, j.line, j.reason, j.percent, p.step as preview_step,
    i.id as image_id, i.width, i.height, i.deleted_at is not null or i.taken_down_at is not null as is_gone,
    case when i.taken_down_at is not null and i.deleted_at is null
        then (select t.reason from takedown as t where t.image_id = i.id and t.restored_at is null) end as takedown,
    case when j.state = 'queued' and j.waits_until is null
        then (select count(*) from job as q where q.state = 'queued' and q.created_at < j.created_at) end as before_it,
    extract(epoch from j.waits_until - now())::float as waits_for,
    array(select l.kind || ' ' || l.credits from ledger_entry as l where l.job_id = j.id order by l.id) as entries
from job as j
left join image as i on i.job_id = j.id
left join preview as p on p.job_id = j.id
where j.generation_id = any($1::uuid[])
order by j.position
"""
REFERENCES = """
select generation_id, coalesce(upload_id, image_id) as id,
    case when upload_id is null then 'pictures' else 'uploads' end as kind
from generation_reference as r where generation_id = any($1::uuid[]) and not exists (
    select from image as i where i.id = r.image_id and (i.deleted_at is not null or i.taken_down_at is not null)
) order by position
"""


async def thread(db: Db, thread_id: UUID, count: int = 30) -> list[ShownGeneration]:
    """The newest ``count`` generations of a thread, oldest first."""
    return (await _filled(db, await db.fetch(IN_THREAD, thread_id, count)))[::-1]


async def generation(db: Db, generation_id: UUID) -> ShownGeneration:
    """Raises NotFound."""
    found = await _filled(db, await db.fetch(ONE, generation_id))
    if not found:
        raise NotFound
    return found[0]


async def _filled(db: Db, rows: Sequence[Any]) -> list[ShownGeneration]:
    ids = [row["id"] for row in rows]
    jobs: defaultdict[UUID, list[ShownJob]] = defaultdict(list)
    for row in await db.fetch(JOBS, ids) if ids else []:
        jobs[row["generation_id"]].append(_job(row))
    references: defaultdict[UUID, list[ShownReference]] = defaultdict(list)
    for row in await db.fetch(REFERENCES, ids) if ids else []:
        references[row["generation_id"]].append(ShownReference(row["id"], row["kind"]))
    return [ShownGeneration(jobs=jobs[row["id"]], references=references[row["id"]], **row) for row in rows]


def _job(row: Any) -> ShownJob:
    entries = [(kind, int(credits)) for kind, credits in (entry.split(" ") for entry in row["entries"])]
    has_picture = row["image_id"] is not None and not row["is_gone"]
    return ShownJob(
        row["id"],
        row["position"],
        row["state"],
        _line(row),
        row["reason"],
        row["percent"],
        row["preview_step"],
        Picture(row["image_id"], row["width"], row["height"]) if has_picture else None,
        ledger.receipt(entries),
        row["takedown"],
    )


def _line(row: Any) -> str:
    """One honest line about a job that is not over."""
    if row["state"] != "queued":
        return row["line"] if row["state"] == "running" else ""
    if row["waits_for"] is not None and row["waits_for"] > 0:
        return f"{row['line']}, back in {_soon(row['waits_for'])}" if row["waits_for"] >= 1 else row["line"]
    place = (row["before_it"] or 0) + 1
    return "next in line" if place == 1 else f"{place}{_ordinal(place)} in line"


def _soon(seconds: float) -> str:
    """Seconds as people say them: 40 s, 14 min, 3 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _ordinal(number: int) -> str:
    return "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


@dataclass(frozen=True)
class Thread:
    id: UUID
    title: str
    updated_at: datetime
    image_id: UUID | None


THREADS = """
select t.thread_id as id, first.prompt as title, t.updated_at, (
        select i.id from image as i join generation as g on g.id = i.generation_id
        where g.thread_id = t.thread_id and i.deleted_at is null and i.taken_down_at is null order by i.created_at desc limit 1
    ) as image_id
from (
    select thread_id, max(created_at) as updated_at from generation
    where account_id = $1 and hidden_at is null group by thread_id order by max(created_at) desc limit $2
) as t
join generation as first on first.id = t.thread_id
order by t.updated_at desc
"""


async def threads(db: Db, account_id: UUID, count: int = 30) -> list[Thread]:
    return [Thread(**row) for row in await db.fetch(THREADS, account_id, count)]


@dataclass(frozen=True)
class Hung:
    """A picture in the gallery; one that was taken down keeps its place there."""

    id: UUID
    width: int
    height: int
    prompt: str
    created_at: datetime
    is_down: bool

    @property
    def ratio(self) -> str:
        return models.ratio(self.width, self.height)


GALLERY = """
select i.id, i.width, i.height, g.prompt, i.created_at, i.taken_down_at is not null as is_down
from image as i join generation as g on g.id = i.generation_id
where i.account_id = $1 and i.deleted_at is null and ($2::timestamptz is null or (i.created_at, i.id) < ($2, $3))
order by i.created_at desc, i.id desc limit $4
"""


async def gallery(
    db: Db, account_id: UUID, *, before: tuple[datetime, UUID] | None = None, count: int = 40
) -> list[Hung]:
    """Newest first, by keyset."""
    at, last = before or (None, None)
    return [Hung(**row) for row in await db.fetch(GALLERY, account_id, at, last, count)]


@dataclass(frozen=True)
class Whole:
    """A picture with all that is known of it."""

    id: UUID
    storage_key: str
    thumb_key: str
    is_framed: bool
    mime: str
    width: int
    height: int
    bytes: int
    sha256: str
    created_at: datetime
    prompt: str
    model_id: str
    model_name: str
    asked_width: int
    asked_height: int
    seed: int
    credits: int
    thread_id: UUID
    takedown: str | None
    entries: list[str]

    @property
    def ratio(self) -> str:
        return models.ratio(self.width, self.height)

    @property
    def receipt(self) -> str:
        return ledger.receipt([(kind, int(n)) for kind, n in (entry.split(" ") for entry in self.entries)])


WHOLE = """
select i.id, i.storage_key, i.thumb_key, i.thumbed_at is not null as is_framed, i.mime, i.width, i.height, i.bytes,
    i.sha256, i.created_at, g.prompt, g.model_id, m.name as model_name, g.width as asked_width, g.height as asked_height,
    j.seed, j.credits, g.thread_id,
    (select t.reason from takedown as t where t.image_id = i.id and t.restored_at is null) as takedown,
    array(select l.kind || ' ' || l.credits from ledger_entry as l where l.job_id = j.id order by l.id) as entries
from image as i
join job as j on j.id = i.job_id
join generation as g on g.id = i.generation_id
join model as m on m.id = g.model_id
where i.id = $1 and i.account_id = $2 and i.deleted_at is null
"""


async def picture(db: Db, image_id: UUID, account_id: UUID) -> Whole:
    """Raises NotFound, for a stranger's picture as for a deleted one; TakenDown."""
    found = await record(db, image_id, account_id)
    if found.takedown is not None:
        raise TakenDown(found.takedown)
    return found


async def record(db: Db, image_id: UUID, account_id: UUID) -> Whole:
    """What is known of a picture, also of one that was taken down and is not to be seen. Raises NotFound."""
    row = await db.fetchrow(WHOLE, image_id, account_id)
    if row is None:
        raise NotFound("There is no such picture, or it is not yours.")
    return Whole(**row)


DELETE = "update image set deleted_at = now() where id = $1 and account_id = $2 and deleted_at is null"


async def delete_picture(db: Db, image_id: UUID, account_id: UUID) -> None:
    """Gone at once for its owner; the janitor wipes the bytes. Raises NotFound."""
    if not affected(await db.execute(DELETE, image_id, account_id)):
        raise NotFound("There is no such picture, or it is not yours.")
