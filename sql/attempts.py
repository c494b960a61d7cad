"""Attempts: one try of one job with one key, written down before the call and closed after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db, affected


@dataclass(frozen=True)
class Lease:
    """A key in use for one attempt. ``sealed_secret`` opens with ``bound_to``."""

    attempt_id: int
    number: int
    key_id: int
    label: str
    kind: str
    base_url: str
    switch: str
    sealed_secret: str
    proxy_id: int | None
    sealed_proxy: str | None
    failures: int
    settings: dict[str, object]
    is_local: bool


# One leaser at a time per provider, so that slots, counted from rows, hold among all workers. The lock is a statement of
# its own: the next one then has a fresh snapshot.
LINE_UP = "select pg_advisory_xact_lock(hashtextextended('keys of provider ' || $1::bigint, 0))"

# Least recently used first, by weight. A key that comes back from its rest gets one attempt at a time (half-open).
CHOOSE = """
select k.id, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, k.proxy_id, x.sealed_url as sealed_proxy,
    k.failures, p.settings, p.is_local
from provider_key as k
join provider as p on p.id = k.provider_id
left join proxy as x on x.id = k.proxy_id
where k.provider_id = $1 and p.active and not k.id = any($3::bigint[])
    and (k.state = 'active' or k.state = 'cooldown' and k.rests_until <= now())
    and (x.id is null or x.state = 'active' or x.state = 'cooldown' and x.rests_until <= now())
    and not exists (select from key_rest as r where r.key_id = k.id and r.model_id = $2 and r.until > now())
    and (
        select count(*) from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > now()
    ) < case when k.state = 'cooldown' then 1 else k.concurrency end
order by coalesce(extract(epoch from now() - k.last_used_at), 1e12) * k.weight desc, k.id
limit 1
"""

OPEN = """
with used as (
    update provider_key set last_used_at = now() where id = $2
)
insert into attempt (job_id, number, key_id, proxy_id, model_id, expires_at)
select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5 from attempt where job_id = $1
returning id, number
"""


async def lease(
    db: Db, provider_id: int, model_id: str, job_id: UUID, *, tried: list[int], until: datetime
) -> Lease | None:
    """The key to try next, with its attempt written down before the call. None when no key is free right now."""
    async with db.transaction() as tx:
        await tx.execute(LINE_UP, provider_id)
        key = await tx.fetchrow(CHOOSE, provider_id, model_id, tried)
        if key is None:
            return None
        attempt = await tx.fetchrow(OPEN, job_id, key["id"], key["proxy_id"], model_id, until)
        assert attempt is not None
        fields = {name: value for name, value in key.items() if name != "id"}
        return Lease(attempt_id=attempt["id"], number=attempt["number"], key_id=key["id"], **fields)


# When the first key could be free again: the end of its rest, or "soon" where one is only busy.
FREE_IN = """
select min(case
    when k.state in ('active', 'cooldown') then greatest(
        extract(epoch from coalesce(k.rests_until, now()) - now()),
        extract(epoch from coalesce((
            select r.until from key_rest as r where r.key_id = k.id and r.model_id = $2
        ), now()) - now()), 0)
end)::float
from provider_key as k where k.provider_id = $1 and not k.id = any($3::bigint[])
"""


async def free_in(db: Db, provider_id: int, model_id: str, *, tried: list[int]) -> float | None:
    """Seconds until a key could be free: 0 means that all are merely busy; None that none will come back by itself."""
    return await db.fetchval(FREE_IN, provider_id, model_id, tried)  # type: ignore[no-any-return]


NOTE_REF = "update attempt set upstream_ref = $2, is_resumable = true where id = $1 and finished_at is null"


async def note_ref(db: Db, attempt_id: int, ref: str) -> None:
    """The upstream's name for its job, written down while we wait: who comes after a crash can ask for it again."""
    await db.execute(NOTE_REF, attempt_id, ref)


CLOSE = """
update attempt set finished_at = now(), fault = $2, detail = $3, cost_micros = $4,
    upstream_ref = coalesce($5, upstream_ref)
where id = $1 and finished_at is null
"""


async def close(
    db: Db,
    attempt_id: int,
    *,
    fault: str | None,
    detail: str = "",
    cost_micros: int = 0,
    upstream_ref: str | None = None,
) -> None:
    """The attempt is over; ``fault`` is None when it painted."""
    await db.execute(CLOSE, attempt_id, fault, detail[:1000], cost_micros, upstream_ref)


CLOSE_LEFT = """
update attempt set finished_at = now(), fault = 'timeout_unknown', detail = 'its worker died or let go'
where job_id = $1 and finished_at is null
"""


async def close_left_open(db: Db, job_id: UUID) -> int:
    """Attempts that a crash left open: their outcome will never be known. Returns how many."""
    return affected(await db.execute(CLOSE_LEFT, job_id))
