"""The Generator sees each picture to its end: delivered and charged, or failed and released."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import Counter

import anyio

from limner.actors import failover, resumption
from limner.actors.pool import NoKey, Pool
from limner.actors.providers import base, details
from limner.actors.providers.base import Access, Fault, JobGone, Picture, Resumable, Step, UpstreamError, provider
from limner.actors.stopwatch import Stopwatch
from limner.runtime import faults, outline, raster, tracing
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import OUTAGE, Database
from limner.runtime.errors import Busy, FenceLost, Hopeless, LimnerError, Refused, as_raised
from limner.runtime.log import follow, logger
from limner.runtime.lull import Lull
from limner.runtime.mailbox import Claimed, Fence, backoff
from limner.runtime.presence import Presence
from limner.runtime.storage import Storage, StorageUnavailable, Stored
from limner.runtime.together import ONES_OWN
from limner.runtime.vault import Vault
from limner.sql import attempts, errands, images, jobs, progress
from limner.sql.attempts import Lease
from limner.sql.generations import PaintPicture
from limner.sql.jobs import Job, Painted

log = logger(__name__)

BREATH = 2.0
"""Seconds between two bare figures of its progress, and between the end of a call and its job's deadline."""
ATTEMPT = 600.0
"""Seconds that one attempt may take in all (PROTOCOLS §0), where nothing goes on over there that could be called off."""
NEARLY = 0.9
"""From here on a bare figure of its progress is not worth a commit: the picture is there."""


class CalledOff(LimnerError):
    """Its owner asked to stop before this worker had it."""


class Generator(Actor):
    """Paints what is asked for, several pictures at a time."""

    mailbox = "painting"
    messages = (PaintPicture,)

    def __init__(
        self, db: Database, bus: Bus, presence: Presence, *, config: Config, storage: Storage, vault: Vault, lull: Lull
    ) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self.lull = lull
        self.storage = storage
        self.pool = Pool(db, config, vault)
        self.stopwatch = Stopwatch(db)
        self.concurrency = config.worker_slots
        self._begun: dict[Fence, Job] = {}
        """Begun with their claim, and not yet received."""

    async def run(self) -> None:
        with as_raised():
            async with anyio.create_task_group() as group:
                group.start_soon(self.stopwatch.run)
                try:
                    await super().run()
                finally:
                    await self._let_go()
                group.cancel_scope.cancel()

    async def _let_go(self) -> None:
        """What was begun and put back before anybody received it has asked no painter."""
        with anyio.move_on_after(3, shield=True):
            try:
                for job in self._begun.values():
                    if isinstance(job.key, Lease):
                        await attempts.close(self.db, job.key.attempt_id, fault="cancelled", detail=attempts.LET_GO)
            except OUTAGE as error:
                log.warning("not_let_go", count=len(self._begun), error=str(error) or type(error).__name__)

    async def take_turns(self, room: int, *, humbly: bool) -> tuple[list[Claimed], bool]:
        """With their jobs begun; one that cannot be begun with the others hinders none of them."""
        try:
            taken, begun, is_all = await jobs.take(self.db, self.presence.id, room, humbly=humbly)
        except ONES_OWN as error:
            log.warning("not_begun_together", error=repr(error))
            return await super().take_turns(room, humbly=humbly)
        in_hand = {fence: job for fence, job in self._begun.items() if fence.id in self.in_hand}  # others were put back
        self._begun = in_hand | {job.fence: job for job in begun}
        return taken, is_all

    async def receive(self, message: PaintPicture) -> None:
        faults.point("after-claim", message.job_id)
        self.lull.stir()
        follow(None)
        job = self._begun.pop(message.fence, None)
        if job is None:
            job = await jobs.start(self.db, message.job_id, message.fence, wants_key=True)
        if job is None:
            return
        follow(job.request_id)  # beyond the end of this block: the line about a crash is written after it
        with tracing.span("paint", attributes={"limner.model": job.model_id}, parent=job.traceparent):
            await self._see_through(job)

    async def _see_through(self, job: Job) -> None:
        stop, trouble = await self.stopwatch.over(job, lambda: self._paint_and_deliver(job))
        if isinstance(trouble, CalledOff):
            stop.cancel()
        if trouble is not None:
            tracing.here().failed(type(trouble).__name__)
        if stop.reason:
            await resumption.call_off(self.db, job, lambda lease: self._access(lease, job))
            await jobs.fail(self.db, job, stop.reason, state=stop.state, fault=stop.fault)
        elif isinstance(trouble, UpstreamError):
            await jobs.fail(self.db, job, trouble.words)
        elif isinstance(trouble, Refused):
            await jobs.fail(self.db, job, str(trouble))
        elif isinstance(trouble, Hopeless):
            log.error("cannot_paint", job=str(job.id), why=str(trouble))
            await jobs.fail(self.db, job, "it could not be painted; the people who run this place were told")
        elif isinstance(trouble, Busy):
            await errands.close_others(self.db, job.id)
            await self._put_off(job, trouble)
        elif trouble is not None:
            raise trouble

    async def _put_off(self, job: Job, why: Busy) -> None:
        """What a store or a database says is not for its owner to read."""
        if isinstance(why, NoKey):
            line, back = str(why), why.back
        else:
            log.warning("put_off", job=str(job.id), why=str(why))
            line, back = "waiting for its turn", None
        await jobs.postpone(self.db, job, why.after or 1.0, line, back=back)
        self.acknowledged(job.fence)  # it is back in the line: nobody else may acknowledge it

    async def _paint_and_deliver(self, job: Job) -> None:
        await self._deliver(job, await self.paint(job))

    async def paint(self, job: Job) -> Painted:
        """Key after key, until one paints it. Raises UpstreamError when no other key can help, Busy when all rest."""
        if job.references and await jobs.is_of_taken_down(self.db, job):
            raise Refused("a reference picture was taken down")
        references = tuple([await self.storage.get(key) for key in job.references])
        order = base.Order(
            job.prompt,
            job.upstream_id,
            job.width,
            job.height,
            job.seed,
            references,
            mask=await self.storage.get(job.mask) if job.mask else None,
            user=self._pseudonym(job),
            parameters=job.parameters,
            partial_images=job.partial_images,
        )
        ways: Counter[int] = Counter()
        first = None
        errand, found = await resumption.taken_over(self.db, self.storage, job), job.key
        tried = await self._look_back(job) if job.was_tried and not errand else []
        while True:
            lease = errand.lease if errand else await self.pool.lease(job, tried, first, found=found)
            try:
                return await self._try(job, order, lease, errand.ref if errand else None)
            except UpstreamError as error:
                goes_on = await self.pool.blame(job, lease, error)
                if not (errand and isinstance(error, JobGone)):  # the same key may begin anew what is gone
                    if not goes_on:
                        raise
                    ways[lease.key_id] += 1
                    first = lease.key_id
                    if not failover.may_go_another_way(error.fault) or ways[first] >= failover.MOST_WAYS:
                        tried.append(first)
            if errand:
                tried += await self.pool.spent(job)
            errand = found = None
            await self._show(job, "trying another painter", 0, anew=True)

    async def _look_back(self, job: Job) -> list[int]:
        if await jobs.asked_to_stop(self.db, [job.id]):
            raise CalledOff
        return await self.pool.look_back(job)

    async def _try(self, job: Job, order: base.Order, lease: Lease, ref: str | None) -> Painted:
        started = told = time.monotonic()

        async def on_step(step: Step) -> None:
            nonlocal told
            is_bare = step.ref is None and step.preview is None and step.partial is None
            if is_bare and (step.done >= NEARLY or time.monotonic() - told < BREATH):
                return
            told = time.monotonic()
            if step.ref is not None:
                await resumption.note(self.db, job, lease.attempt_id, details.printable(step.ref))
            await self._show(job, "painting", round(step.done * 100), step)

        faults.point("before-provider", job.id)
        picture = await self._ask(job, order, lease, ref, on_step)
        faults.point("after-provider", job.id)
        painted = await self._keep(job, lease, picture)
        log.info("painted", job=str(job.id), key=lease.label, seconds=round(time.monotonic() - started, 2))
        return painted

    async def _show(self, job: Job, line: str, percent: int, step: Step | None = None, *, anew: bool = False) -> None:
        """How it goes is decoration: no picture is lost over it."""
        preview = partial = None
        if step is not None and step.preview:
            preview = raster.sniff(step.preview) or "image/jpeg", step.preview
        if step is not None and step.partial is not None and job.partial_images:
            partial = raster.sniff(step.partial) or "image/png", step.partial
        try:
            if anew and job.partial_images:
                await progress.forget_partials(self.db, job)
            if partial is not None:
                await progress.keep_partial(self.db, job, *partial)
            await progress.show(self.db, job, line, percent, preview)
        except OUTAGE as error:
            log.warning("not_shown", job=str(job.id), error=str(error) or type(error).__name__)

    async def _ask(self, job: Job, order: base.Order, lease: Lease, ref: str | None, on_step: base.OnStep) -> Picture:
        about: tracing.Attributes = {
            "limner.provider": lease.kind,
            "limner.model": job.model_id,
            "limner.attempt": lease.number,
        }
        with tracing.span("attempt", "client", about) as span:
            try:
                painter, access = provider(lease.kind), self._access(lease, job)
                if ref is not None and isinstance(painter, Resumable):
                    return await painter.resume(ref, order, access, on_step)
                return await painter.paint(order, access, on_step)
            except UpstreamError as error:
                span.failed(error.fault)
                raise

    async def _keep(self, job: Job, lease: Lease, picture: Picture) -> Painted:
        """See that it is all there, and make it durable under a name of this attempt and this worker alone."""
        try:
            shape = await outline.examine(picture.data)
        except raster.BadImage as error:
            why = f"not a whole picture: {error}"
            raise UpstreamError(Fault.NO_IMAGE, why, cost_micros=picture.cost_micros) from error
        name = f"{images.prefixes(job.id)[0]}{lease.attempt_id}-{job.fence.owner.hex[:8]}"
        faults.point("before-put", job.id)
        stored = await self._put(job, f"{name}.{shape.mime.rpartition('/')[2]}", picture.data, shape.mime)
        faults.point("after-put", job.id)
        return Painted(
            stored.key,
            f"{name}.thumb.webp",
            stored.sha256,
            shape.mime,
            shape.width,
            shape.height,
            stored.size,
            attempt_id=lease.attempt_id,
            cost_micros=picture.cost_micros or job.cost_micros,
            upstream_ref=None if picture.upstream_id is None else details.printable(picture.upstream_id),
            usage=picture.usage,
        )

    async def _put(self, job: Job, name: str, data: bytes, mime: str) -> Stored:
        """Over an outage too, as long as the job may take: it is painted, and to paint it again costs again."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.storage.put(name, data, mime)
            except StorageUnavailable as error:
                log.warning("storing_waits", job=str(job.id), error=str(error))
                await anyio.sleep(backoff(attempt, first=0.2, most=5))

    async def _deliver(self, job: Job, painted: Painted) -> None:
        """With what is delivered at the same time. Over an outage too: the fence makes a second try harmless."""
        for attempt in itertools.count(1):
            try:
                if await self.db.together(jobs.deliver_all, (job, painted)):
                    self.lull.stir()
                    self.pool.freed()
                    return self.acknowledged(job.fence)
            except OUTAGE as error:
                log.warning("delivery_waits", job=str(job.id), error=str(error) or type(error).__name__)
                await anyio.sleep(backoff(attempt, first=0.2, most=5))
            else:
                if not await images.is_kept(self.db, painted.storage_key):
                    await self.storage.delete(painted.storage_key)
                raise FenceLost(f"job {job.id} is not ours any more")

    def _access(self, lease: Lease, job: Job) -> Access:
        """What goes on over there may take all the time that is left: at its end the stop-watch is first, and calls it off."""
        goes_on = base.is_resumable(type(provider(lease.kind)))
        timeout = job.left + BREATH if goes_on else min(ATTEMPT, job.left - BREATH)
        texts = tuple(value for value in job.parameters.values() if isinstance(value, str))
        return self.pool.access(lease, timeout, job.prompt, texts)

    def _pseudonym(self, job: Job) -> str:
        secret = self.config.secret_keys[0]
        return hashlib.sha256(f"{secret} {job.account_id}".encode()).hexdigest()[:32]
