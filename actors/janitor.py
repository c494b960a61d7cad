"""The Janitor: pictures past their time, sessions and buckets nobody needs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from limner.actors.pool import Pool
from limner.actors.timekeeper import end_lost_jobs
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.runtime.storage import Storage, StorageUnavailable
from limner.runtime.supervisor import contained
from limner.sql import (
    assents,
    chain,
    erasure,
    images,
    key_events,
    links,
    mails,
    notices,
    pending_sign_ins,
    progress,
    proxies,
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

T = TypeVar("T")

WIPING = 240.0
"""Seconds that each kind of wiping may take at a time; the next tick goes on with it."""
MOST_STUCK = 20
"""Files that cannot be deleted, after which the storage itself is taken to be away."""


@dataclass(frozen=True)
class EndLostJobs(Message):
    """What a release before the Timekeeper sends for it, while both are there."""

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
                await end_lost_jobs(self.db, self.pool)
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
        """Every chore has its turn, whatever becomes of the others. Raises the first trouble in the end."""
        first = None
        for chore in self._chores():
            trouble = await contained(partial(_done, chore))
            if trouble is not None:
                log.warning("chore_failed", chore=getattr(chore, "__qualname__", ""), why=repr(trouble))
                first = first or trouble
        if first is not None:
            raise first

    def _chores(self) -> list[Callable[[], Awaitable[object]]]:
        db = self.db
        forgetting = (
            sessions.forget_ended,
            sign_ins.forget_old,
            visits.end_overdue,
            erasure.forget_farewells,
            pending_sign_ins.forget_ended,
            links.forget_spent,
            throttles.forget_old,
            tokens.forget_rates,
            progress.forget_previews,
            mails.forget_old,
            notices.forget_old,
            tickets.forget_old,
            shares.forget_old,
            reports.forget_old,
            assents.forget_old,
            key_events.forget_old,
            proxies.forget_events,
        )
        storing = (self._wipe_images, self._wipe_uploads, self.sweep, self.forget_uploads)
        return [partial(images.retire, db), *storing, *(partial(forget, db) for forget in forgetting)]

    async def _wipe_images(self) -> None:
        await self._until_none(images.to_wipe, self._wipe_image, lambda doomed: doomed.id)

    async def _wipe_image(self, doomed: images.Doomed) -> None:
        await self.storage.delete(doomed.storage_key)
        await self.storage.delete(doomed.thumb_key)
        await images.wiped(self.db, doomed.id)

    async def _wipe_uploads(self) -> None:
        await self._until_none(uploads.to_wipe, self._wipe_upload, lambda doomed: doomed[0])

    async def _wipe_upload(self, doomed: tuple[UUID, str]) -> None:
        upload_id, storage_key = doomed
        await self.storage.delete(storage_key)
        await uploads.wiped(self.db, upload_id)

    async def sweep(self) -> None:
        """Remove the bytes that a worker left when it died between storing and delivering."""
        await self._until_none(images.to_sweep, self._sweep, lambda job_id: job_id)

    async def _sweep(self, job_id: UUID) -> None:
        kept = await images.kept_keys(self.db, job_id)
        for prefix in images.prefixes(job_id):
            async for key in self.storage.list(prefix):
                if key not in kept:
                    log.info("stray_removed", key=key)
                    await self.storage.delete(key)
        await images.swept(self.db, job_id)

    async def _until_none(
        self,
        find: Callable[[Database, Sequence[UUID]], Awaitable[list[T]]],
        wipe: Callable[[T], Awaitable[None]],
        name: Callable[[T], UUID],
    ) -> None:
        """Batch after batch, as long as there is time. What cannot be deleted is passed over, and tried at the next tick."""
        until, stuck = time.monotonic() + WIPING, list[UUID]()
        while time.monotonic() < until and (found := await find(self.db, stuck)):
            for each in found:
                try:
                    await wipe(each)
                except StorageUnavailable as error:
                    log.warning("not_wiped", what=str(name(each)), why=str(error))
                    stuck.append(name(each))
                    if len(stuck) >= MOST_STUCK:
                        raise

    async def forget_uploads(self) -> None:
        """Remove the reference pictures of orders that came to nothing. First the bytes: without them the row is found again."""
        while True:
            async with self.db.transaction() as tx:
                upload = await uploads.forget_one(tx)
                if upload is None:
                    return
                await self.storage.delete(upload.storage_key)


async def _done(chore: Callable[[], Awaitable[object]]) -> None:
    await chore()
