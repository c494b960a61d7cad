"""A painter whose every stroke the test makes itself: what a page shows then depends on nobody's speed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from limner.runtime import mailbox
from limner.runtime.database import Database
from limner.runtime.mailbox import Fence
from limner.sql import images, jobs, progress
from limner.sql.jobs import Job, Painted
from tests.http.conftest import Browser, Site, drawn


@dataclass
class Easel:
    """A picture being painted."""

    site: Site
    job: Job

    async def show(self, line: str, percent: int) -> None:
        await progress.show(self.site.db, self.job, line, percent, ("image/png", drawn()))

    async def deliver(self, *, framed: bool = True) -> UUID:
        """Returns the picture's id. ``framed``: its small copy hangs at once."""
        name = f"pictures/{self.job.id}/1"
        kept = await self.site.storage.put(f"{name}.png", drawn("PNG", 512, 512), "image/png")
        painted = Painted(kept.key, f"{name}.thumb.webp", kept.sha256, "image/png", 512, 512, kept.size)
        await jobs.deliver(self.site.db, self.job, painted)
        picture: UUID = await self.site.db.fetchval("select id from image where job_id = $1", self.job.id)
        if framed:
            await self.site.storage.put(painted.thumb_key, drawn("WEBP"), "image/webp")
            await images.framed(self.site.db, picture)
        return picture

    async def fail(self, reason: str) -> None:
        await jobs.fail(self.site.db, self.job, reason)


async def take_up(site: Site) -> Easel:
    """Begin the picture that waits longest."""
    owner = await _owner(site.db)
    claimed = (await mailbox.claim_fairly(site.db, "painting", owner, 1))[0]
    fence: Fence = claimed.fence
    job = await jobs.start(site.db, UUID(claimed.payload["job_id"]), fence)
    assert job is not None
    return Easel(site, job)


async def _owner(db: Database) -> UUID:
    owner = uuid4()
    await db.execute("insert into worker (id, role, host, pid) values ($1, 'worker', 'here', 1)", owner)
    return owner


async def ordered(browser: Browser, **fields: str) -> str:
    """Order something; returns the thread's id."""
    return (await browser.order(**fields)).location.partition("#")[0].rpartition("/")[2]
