"""Jobs: one picture each, from its claim to its single end. Whoever writes an end proves it with the fence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime import faults, mailbox
from limner.runtime.database import Db, Transaction
from limner.runtime.errors import FenceLost
from limner.runtime.log import following, logger
from limner.runtime.mailbox import Claimed, Fence
from limner.sql import answers, attempts, generations, ledger
from limner.sql.attempts import Lease, Wait
from limner.sql.channels import GENERATION_CHANGED, KEY_CHANGED
from limner.sql.images import FramePicture
from limner.sql.usages import Usage

log = logger(__name__)


@dataclass(frozen=True)
class Job:
    """A job at work. ``references`` and ``mask`` are storage keys; ``request_id`` and ``traceparent`` are of its order.

    ``was_tried``: it has attempts of before; ``has_errand``: one of them goes on over there without us (sql/errands.py).
    ``key``: the first one to paint with, or how it is with them; None: nobody has asked yet.
    """

    id: UUID
    fence: Fence
    generation_id: UUID
    thread_id: UUID
    account_id: UUID
    prompt: str
    model_id: str
    upstream_id: str
    provider_id: int
    cost_micros: int
    width: int
    height: int
    seed: int
    deadline: datetime
    seconds_left: float
    references: list[str]
    request_id: str | None
    traceparent: str | None
    parameters: dict[str, str | int | float | bool]
    mask: str | None
    partial_images: int
    was_tried: bool
    has_errand: bool
    key: Lease | Wait | None = None
    begun: float = field(default_factory=time.monotonic, compare=False)

    @property
    def left(self) -> float:
        """Seconds until its deadline, by now."""
        return self.seconds_left - (time.monotonic() - self.begun)


# V0049 has these functions.
START = "select * from jobs_begin($1::uuid[], $2, $3::uuid[], $4, $5, $6)"
Wanted = tuple[UUID, Fence, bool]


async def start(db: Db, job_id: UUID, fence: Fence, *, wants_key: bool = False) -> Job | None:
    """Begin, or begin again after a crash; on the disk. None when the job has ended meanwhile.

    ``wants_key``: with a key to paint with, if it is its first try, one is free, and all that it takes is at hand: see
    attempts.lease.
    """
    job = await db.together(_begun, (job_id, fence, wants_key))
    if job is not None:
        tell(db, job, can_wait=True)
    return job


async def _begun(db: Db, asked: Sequence[Wanted]) -> list[Job | None]:
    wanted = [(job_id, fence.id, fence.owner, fence.attempt, wants_key) for job_id, fence, wants_key in asked]
    rows = {row["message_id"]: row for row in await db.fetch(START, *zip(*wanted, strict=True), attempts.BEYOND)}
    return [_from_row(rows[fence.id], fence) if fence.id in rows else None for _, fence, _ in asked]


TAKE = "select * from jobs_take($1, $2, $3, $4)"


async def take(db: Db, owner: UUID, count: int, *, humbly: bool = False) -> tuple[list[Claimed], list[Job], bool]:
    """``mailbox.take_turns`` of pictures to be painted, with their jobs begun as by ``start`` with ``wants_key``.

    What has no job was not begun: ``start`` says why.
    """
    rows = await db.fetch(TAKE, owner, count, humbly, attempts.BEYOND)
    claimed, is_all = mailbox.as_taken(rows, owner)
    fences = {item.fence.id: item.fence for item in claimed}
    begun = [_from_row(row, fences[row["message_id"]]) for row in rows if row["id"] is not None]
    for job in begun:
        tell(db, job, can_wait=True)
    return claimed, begun, is_all


FIELDS = [field.name for field in fields(Job) if field.name not in ("fence", "key", "begun")]


def _from_row(row: Any, fence: Fence) -> Job:
    key = None if row["key"] is None else attempts.from_fields(dict(row["key"]))
    return Job(fence=fence, key=key, **{name: row[name] for name in FIELDS})


TAKEN_DOWN = """
select exists (
    select from generation_reference as r join image as i on i.id = r.image_id
    where r.generation_id = $1 and i.taken_down_at is not null
)
"""


async def is_of_taken_down(db: Db, job: Job) -> bool:
    """Whether a picture that it is to be painted from was taken down after it was ordered."""
    return bool(await db.fetchval(TAKEN_DOWN, job.generation_id))


ASKED = """
select id from job where id = any($1::uuid[]) and state <> 'delivered' and (cancel_asked or state <> 'running')
"""


async def asked_to_stop(db: Db, job_ids: Sequence[UUID]) -> set[UUID]:
    """Which of them: by their owners, or by whoever has ended them meanwhile."""
    return {row["id"] for row in await db.fetch(ASKED, job_ids)}


@dataclass(frozen=True)
class Painted:
    """A picture whose bytes are durable in the storage already; its small copy will be put under ``thumb_key``.

    ``attempt_id``: the attempt that it came from. Its delivery closes it, and whatever was held against its key is over.
    ``usage``: what the upstream told.
    """

    storage_key: str
    thumb_key: str
    sha256: str
    mime: str
    width: int
    height: int
    bytes: int
    attempt_id: int | None = None
    cost_micros: int = 0
    upstream_ref: str | None = None
    usage: Usage | None = None


# V0054 has the procedure, which commits, and tells then.
DELIVER = "call pictures_hand_over_and_tell($1, null)"
Delivery = tuple[Job, Painted]


async def deliver(db: Db, job: Job, picture: Painted) -> None:
    """Image row, charge, end of the job and of its message: one transaction, behind the fence. Raises FenceLost."""
    if not (await deliver_all(db, [(job, picture)]))[0]:
        raise FenceLost(f"job {job.id} is not ours any more")


async def deliver_all(db: Db, deliveries: Sequence[Delivery]) -> list[bool]:
    """``deliver`` of several, in one statement. False for those whose fence is lost: nothing of them was written.

    The database tells whoever waits. It commits for that, so never in somebody's transaction.
    """
    for job, _ in deliveries:
        faults.point("before-deliver-commit", job.id)
    rows = await db.fetchval(DELIVER, [_as_item(*each) for each in deliveries]) or []
    delivered = {row["job_id"] for row in rows}
    for job, _ in deliveries:
        if str(job.id) in delivered:
            faults.point("after-deliver-commit", job.id)
            with following(job.request_id):
                log.info("delivered", job=str(job.id), generation=str(job.generation_id))
    for key_id in {key_id for row in rows for key_id in row["changed_keys"]}:
        db.tell(KEY_CHANGED, str(key_id))
    if delivered:
        db.tell(mailbox.SENT, FramePicture.mailbox, can_wait=True)
    return [str(job.id) in delivered for job, _ in deliveries]


def _answer(job: Job, picture: Painted) -> answers.Told:
    """As answers.order would find it, but for what the database adds."""
    return {
        "id": job.generation_id,
        "job_id": job.id,
        "model_id": job.model_id,
        "asked_width": job.width,
        "asked_height": job.height,
        "parameters": job.parameters,
        "is_edit": bool(job.references),
        "storage_key": picture.storage_key,
        "mime": picture.mime,
        "width": picture.width,
        "height": picture.height,
        "usage": picture.usage,
    }


def _as_item(job: Job, picture: Painted) -> dict[str, object]:
    return {
        "job_id": str(job.id),
        "generation_id": str(job.generation_id),
        "account_id": str(job.account_id),
        "message_id": job.fence.id,
        "owner": str(job.fence.owner),
        "fence": job.fence.attempt,
        "thread_id": job.thread_id,
        "answer": _answer(job, picture),
        **vars(picture),
    }


END = """
update job set state = $2, reason = $3, line = '', percent = null, waits_until = null, finished_at = now()
where id = $1 and state = 'running' returning id
"""


async def fail(db: Db, job: Job, reason: str, *, state: str = "failed", fault: str = "cancelled") -> None:
    """It will not come, for ``reason`` in plain words: nothing is charged. Raises FenceLost.

    ``fault``: what an attempt that is still open came to; nobody's failure, as a rule.
    """
    async with db.transaction() as tx:
        await generations.lock(tx, job.generation_id)
        await _fail(tx, job, reason, state, fault)
    log.info("not_delivered", job=str(job.id), generation=str(job.generation_id), state=state, reason=reason)


async def _fail(tx: Transaction, job: Job, reason: str, state: str, fault: str = "cancelled") -> None:
    await mailbox.ack(tx, job.fence)
    await _end(tx, job, state, reason)
    await attempts.close_left_open(tx, job.id, fault=fault)
    await ledger.release(tx, job.id, reason)
    await generations.settle_state(tx, job.generation_id)


# It keeps its place among those that wait for a key, and none is kept for it meanwhile: V0049.
POSTPONE = """
with away as (update key_wait set is_away = true where job_id = $1)
update job set state = 'queued', line = $2, percent = null, waits_until = now() + make_interval(secs => $3)
where id = $1 and state = 'running' and not cancel_asked
returning id
"""


async def postpone(db: Db, job: Job, after: float, line: str, *, back: float | None = None) -> None:
    """Back into the line for ``after`` seconds, without blame; it is said to wait ``back`` seconds. Raises FenceLost.

    Whose owner asked to stop meanwhile ends here: nobody would look at that wish again.
    """
    async with db.transaction() as tx:
        await generations.lock(tx, job.generation_id)
        if await tx.fetchval(POSTPONE, job.id, line, float(after if back is None else back)) is None:
            await _fail(tx, job, "canceled before it was painted", "canceled")
        else:
            await mailbox.retry(tx, job.fence, after=after, error=line, blame=False)
            await generations.settle_state(tx, job.generation_id)


async def _end(tx: Db, job: Job, state: str, reason: str) -> None:
    if await tx.fetchval(END, job.id, state, reason) is None:
        raise FenceLost(f"job {job.id} is not running any more")
    await tx.execute("delete from preview where job_id = $1", job.id)


def tell(db: Db, job: Job, *, can_wait: bool = False) -> None:
    """Whoever watches it looks again."""
    db.tell(GENERATION_CHANGED, f"{job.thread_id} {job.generation_id}", can_wait=can_wait)
