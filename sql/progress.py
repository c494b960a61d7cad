"""What is seen of a picture while it is painted: how it goes, its preview, and its unfinished pictures."""

from __future__ import annotations

from uuid import UUID

from limner.runtime.database import Db, affected
from limner.sql import jobs
from limner.sql.jobs import Job

SHOW = """
update job set line = case when cancel_asked then line else $2 end, percent = $3 where id = $1 and state = 'running'
"""
SHOW_PREVIEW = f"""
with shown as ({SHOW} returning id)
insert into preview (job_id, step, mime, data) select id, 1, $4, $5 from shown
on conflict (job_id) do update set step = preview.step + 1, mime = excluded.mime, data = excluded.data, created_at = now()
"""


async def show(
    db: Db, job: Job, line: str, percent: int | None = None, preview: tuple[str, bytes] | None = None
) -> None:
    """Say how it goes; ``preview`` is a mime type and at most 64 KiB. Whoever sees one of the three sees all."""
    if preview is not None and len(preview[1]) <= 65536:
        await db.execute(SHOW_PREVIEW, job.id, line, percent, *preview)
    else:
        await db.execute(SHOW, job.id, line, percent)
    jobs.tell(db, job)


KEEP_PARTIAL = """
insert into partial (job_id, number, mime, data)
select id, (select count(*) from partial as p where p.job_id = job.id), $2, $3 from job
where id = $1 and state = 'running'
on conflict (job_id, number) do nothing
"""


async def keep_partial(db: Db, job: Job, mime: str, data: bytes) -> None:
    """An unfinished picture, for whoever streams this job; numbers count from 0. One beyond 8 MiB is not kept."""
    if len(data) <= 8 * 2**20:
        await db.execute(KEEP_PARTIAL, job.id, mime, data)
        jobs.tell(db, job)


async def forget_partials(db: Db, job: Job) -> None:
    """Those of an earlier attempt: it is painted anew, and its unfinished pictures count from 0 again."""
    await db.execute("delete from partial where job_id = $1", job.id)


PREVIEW = """
select p.mime, p.data from preview as p join job as j on j.id = p.job_id where p.job_id = $1 and j.account_id = $2
"""


async def preview(db: Db, job_id: UUID, account_id: UUID) -> tuple[str, bytes] | None:
    row = await db.fetchrow(PREVIEW, job_id, account_id)
    return None if row is None else (row["mime"], row["data"])


async def forget_previews(db: Db) -> int:
    """Previews and unfinished pictures of jobs that have ended; whoever streams one has its time to read them."""
    gone = "delete from preview where not exists (select from job where job.id = preview.job_id and state = 'running')"
    ended = """
    delete from partial where created_at < now() - interval '10 minutes'
        and not exists (select from job where job.id = partial.job_id and state = 'running')
    """
    return affected(await db.execute(gone)) + affected(await db.execute(ended))
