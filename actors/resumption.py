"""Resumption: what an earlier worker began at an upstream is waited for again or called off, never ordered twice."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from limner.actors.providers.base import Access, Resumable, UpstreamError, provider
from limner.runtime import faults
from limner.runtime.database import TROUBLE, Database
from limner.runtime.errors import Busy
from limner.runtime.log import logger
from limner.runtime.mailbox import backoff
from limner.runtime.storage import Storage
from limner.sql import attempts, errands, images
from limner.sql.attempts import Lease
from limner.sql.errands import Errand
from limner.sql.jobs import Job

log = logger(__name__)

PATIENCE = 5.0
"""Seconds that an upstream gets to hear that a job is not wanted any more."""


async def note(db: Database, job: Job, attempt_id: int, ref: str) -> None:
    """Write down the upstream's name for its job, over an outage too: without it the job would be ordered again."""
    for attempt in range(1, 20):
        try:
            await attempts.note_ref(db, attempt_id, ref)
            break
        except TROUBLE as error:
            log.warning("note_waits", job=str(job.id), error=str(error) or type(error).__name__)
            await anyio.sleep(backoff(attempt, first=0.2, most=5))
    faults.point("after-note", job.id)


async def taken_over(db: Database, storage: Storage, job: Job) -> Errand | None:
    """What a worker that is gone left to wait for, without the bytes that it may have put already."""
    errand = await errands.left(db, job.id) if job.has_errand else None
    if errand is None:
        return None
    log.info("taken_over", job=str(job.id), key=errand.lease.label, attempt=errand.lease.number)
    for prefix in images.prefixes(job.id):
        async for key in storage.list(prefix):
            await storage.delete(key)  # nothing of a job that has not ended is anybody's picture
    return errand


async def call_off(db: Database, job: Job, access: Callable[[Lease], Access]) -> None:
    """Tell the upstream that the job is not wanted any more, if there is one: best effort, and soon over."""
    errand = await errands.left(db, job.id)
    if errand is not None:
        await cancel(errand, access, str(job.id))


async def cancel(errand: Errand, access: Callable[[Lease], Access], job: str) -> None:
    """The same of an errand that is at hand."""
    with anyio.move_on_after(PATIENCE, shield=True):
        try:
            painter = provider(errand.lease.kind)
            if isinstance(painter, Resumable):
                await painter.cancel(errand.ref, access(errand.lease))
                log.info("called_off", job=job, key=errand.lease.label)
        except (UpstreamError, Busy) as error:
            log.warning("not_called_off", job=job, key=errand.lease.label, why=str(error))
