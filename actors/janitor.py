"""The Janitor: jobs that would never end, pictures past their time, sessions and buckets nobody needs."""

from __future__ import annotations

from dataclasses import dataclass

from limner.actors import resumption
from limner.actors.pool import Pool
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.runtime.storage import Storage
from limner.sql import (
    chain,
    erasure,
    errands,
    images,
    jobs,
    links,
    mails,
    notices,
    pending_sign_ins,
    reports,
    sessions,
    shares,
    sightings,
    sign_ins,
    throttles,
    tickets,
    tokens,
    uploads,
    visits,
)

log = logger(__name__)

PATIENCE = 10.0
"""Seconds that a call over there may take."""


@dataclass(frozen=True)
class EndLostJobs(Message):
    """Fail and release the jobs that are overdue, or that nobody works on any more."""

    mailbox = "tidying"


@dataclass(frozen=True)
class Tidy(Message):
    """Wipe what was deleted, and forget what is over."""

    mailbox = "tidying"


@dataclass(frozen=True)
class AnchorAudit(Message):
    """Walk the audit's chain, and write where it stands into the log, which is kept elsewhere."""

    mailbox = "tidying"


class Janitor(Actor):
    mailbox = "tidying"
    messages = (EndLostJobs, Tidy, AnchorAudit)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, storage: Storage, pool: Pool) -> None:
        super().__init__(db, bus, presence)
        self.storage = storage
        self.pool = pool

    async def receive(self, message: EndLostJobs | Tidy | AnchorAudit) -> None:
        match message:
            case EndLostJobs():
                if ended := await jobs.end_lost(self.db):
                    log.warning("lost_jobs_ended", count=len(ended))
                    for errand in await errands.ended(self.db, ended):
                        await resumption.cancel(errand, lambda lease: self.pool.access(lease, PATIENCE), "lost")
            case Tidy():
                await self.tidy()
            case AnchorAudit():
                await self.anchor_audit()

    async def anchor_audit(self) -> None:
        """The watchman reads what was found, and tells."""
        found = await chain.verify(self.db)
        await sightings.note(self.db, "audit", float(not found.is_whole), found.words)
        if found.is_whole:
            log.info("audit_anchored", head=str(found.head), links=found.links)
        else:
            log.error("audit_broken", words=found.words, links=found.links)

    async def tidy(self) -> None:
        await images.retire(self.db)
        for doomed in await images.to_wipe(self.db):
            await self.storage.delete(doomed.storage_key)
            await self.storage.delete(doomed.thumb_key)
            await images.wiped(self.db, doomed.id)
        for upload_id, storage_key in await uploads.to_wipe(self.db):
            await self.storage.delete(storage_key)
            await uploads.wiped(self.db, upload_id)
        await self.sweep()
        await self.forget_uploads()
        await sessions.forget_ended(self.db)
        await sign_ins.forget_old(self.db)
        await visits.end_overdue(self.db)
        await erasure.forget_farewells(self.db)
        await pending_sign_ins.forget_ended(self.db)
        await links.forget_spent(self.db)
        await throttles.forget_old(self.db)
        await tokens.forget_rates(self.db)
        await jobs.forget_previews(self.db)
        await mails.forget_old(self.db)
        await notices.forget_old(self.db)
        await tickets.forget_old(self.db)
        await shares.forget_old(self.db)
        await reports.forget_old(self.db)

    async def forget_uploads(self) -> None:
        """Remove the reference pictures of orders that came to nothing. First the bytes: without them the row is found again."""
        while True:
            async with self.db.transaction() as tx:
                upload = await uploads.forget_one(tx)
                if upload is None:
                    return
                await self.storage.delete(upload.storage_key)

    async def sweep(self) -> None:
        """Remove the bytes that a worker left when it died between storing and delivering."""
        for job_id in await images.to_sweep(self.db):
            kept = await images.kept_keys(self.db, job_id)
            async for key in self.storage.list(f"pictures/{job_id}/"):
                if key not in kept:
                    log.info("stray_removed", key=key)
                    await self.storage.delete(key)
            await images.swept(self.db, job_id)
