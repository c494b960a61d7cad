"""Jobs that would never end by themselves: what is overdue, and what has no message any more."""

from __future__ import annotations

from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.log import following, logger
from limner.sql import attempts, generations

log = logger(__name__)

# Overdue, or without a message (it died as a dead letter): such a job would never end by itself.
LOST = """
select j.id, j.generation_id, j.deadline <= now() as overdue, g.request_id,
    j.state = 'queued' and j.line like '%painter%' as found_nobody
from job as j join generation as g on g.id = j.generation_id
where j.state in ('queued', 'running') and (
    j.deadline <= now()
    or not exists (select from message as m where m.mailbox = 'painting' and m.key = 'job ' || j.id)
)
order by j.deadline limit $1
"""
END = """
update job set state = 'failed', reason = $2, line = '', percent = null, waits_until = null, finished_at = now()
where id = $1 and state in ('queued', 'running') returning id
"""


async def end(db: Db, count: int = 100) -> list[UUID]:
    """Fail what cannot end by itself any more, and release it. Its worker, should it live, finds its fence lost."""
    ended = list[UUID]()
    for row in await db.fetch(LOST, count):
        late = "no painter was free in time" if row["found_nobody"] else "it took too long"
        reason = late if row["overdue"] else "it could not be painted after several tries"
        async with db.transaction() as tx:
            await generations.lock(tx, row["generation_id"])
            if await tx.fetchval(END, row["id"], reason):
                await generations.release_all(tx, [row["id"]], reason)
                await attempts.close_left_open(tx, row["id"])
                await generations.settle_state(tx, row["generation_id"])
                ended.append(row["id"])
        with following(row["request_id"]):
            log.warning("not_delivered", job=str(row["id"]), generation=str(row["generation_id"]), reason=reason)
    await attempts.close_forgotten(db)
    return ended
