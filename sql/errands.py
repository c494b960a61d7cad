"""Errands: attempts whose jobs go on at the upstream without us, to be taken over or called off after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db
from limner.sql.attempts import LET_GO, Lease


@dataclass(frozen=True)
class Errand:
    """An open attempt, with the key and the way that it began with. ``ref``: the upstream's name for its job."""

    lease: Lease
    ref: str


# The proxy is the attempt's own: the key may have another by now.
ERRAND = """
select a.id as attempt_id, a.number, k.id as key_id, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, a.proxy_id,
    x.sealed_url as sealed_proxy, k.failures, p.settings, p.is_local, a.upstream_ref as ref
from attempt as a
join provider_key as k on k.id = a.key_id
join provider as p on p.id = k.provider_id
left join proxy as x on x.id = a.proxy_id
"""
LEFT = f"""
{ERRAND}
where a.job_id = $1 and a.finished_at is null and a.is_resumable and a.upstream_ref is not null
order by a.number desc limit 1
"""


async def left(db: Db, job_id: UUID) -> Errand | None:
    """The errand of this job that is still open. Only who holds the job's message may go on with it."""
    row = await db.fetchrow(LEFT, job_id)
    if row is None:
        return None
    fields = dict(row)
    return Errand(ref=fields.pop("ref"), lease=Lease(**fields))


ENDED = f"""
{ERRAND}
where a.job_id = any($1) and a.is_resumable and a.upstream_ref is not null and a.fault = 'timeout_unknown' and a.detail = $2
"""


async def ended(db: Db, job_ids: Sequence[UUID]) -> list[Errand]:
    """What goes on over there for jobs that were ended without their workers."""
    rows = [dict(row) for row in await db.fetch(ENDED, job_ids, LET_GO)]
    return [Errand(ref=fields.pop("ref"), lease=Lease(**fields)) for fields in rows]


CLOSE_OTHERS = "select attempts_let_go($1)"


async def close_others(db: Db, job_id: UUID) -> None:
    """Attempts that were left open and cannot be asked for again: their outcome will never be known."""
    await db.execute(CLOSE_OTHERS, job_id)
