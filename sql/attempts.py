"""Attempts: one try of one job with one key, written down before the call and closed after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.sql.channels import KEY_CHANGED


@dataclass(frozen=True)
class Lease:
    """A key in use for one attempt. ``sealed_secret`` opens with ``bound_to``; no ``proxy_id``: straight."""

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


@dataclass(frozen=True)
class Wait:
    """No key is free. ``back``: seconds until one could be, 0 when all are merely busy, None when none comes back by itself.

    ``is_busy``: a key that this request has not tried is at work, and may be free in a moment.
    """

    back: float | None
    is_busy: bool


# How it is chosen, and why one at a time: sql/migrations/V0014.
LEASE = "select * from key_lease($1, $2, $3, $4, $5, $6)"


async def lease(
    db: Db,
    provider_id: int,
    model_id: str,
    job_id: UUID,
    *,
    tried: Sequence[int],
    until: datetime,
    first: int | None = None,
) -> Lease | Wait:
    """The key to try next, with its attempt written down before the call: one way there and back.

    ``tried``: keys that this request is done with; ``first``: one that may go on by another way.
    """
    row = await db.fetchrow(LEASE, provider_id, model_id, job_id, tried, first, until)
    assert row is not None
    fields = dict(row)
    wait = Wait(fields.pop("back"), fields.pop("is_busy"))
    return wait if fields["attempt_id"] is None else Lease(**fields)


FREE_IN = """
select min(case
    when v.verdict is null or v.verdict in ('no_slot', 'rpm') or v.verdict like '%on_trial%' then 0
    when v.comes_back then greatest(extract(epoch from v.until - now()), 0)
end)::double precision
from key_verdicts($1, $2, '{}', null, now()) as v
"""


async def free_in(db: Db, provider_id: int, model_id: str) -> float | None:
    """Seconds until a key could take a new order: 0 when one is free or merely busy, None when none comes back by itself."""
    return await db.fetchval(FREE_IN, provider_id, model_id)  # type: ignore[no-any-return]


NOTE_REF = "update attempt set upstream_ref = $2, is_resumable = true where id = $1 and finished_at is null"


async def note_ref(db: Db, attempt_id: int, ref: str) -> None:
    """The upstream's name for its job, written down while we wait: who comes after a crash can ask for it again."""
    await db.execute(NOTE_REF, attempt_id, ref)


CLOSE = """
update attempt set finished_at = now(), fault = $2, detail = $3, cost_micros = $4, possible_micros = $5,
    upstream_ref = coalesce($6, upstream_ref)
where id = $1 and finished_at is null
"""


async def close(
    db: Db,
    attempt_id: int,
    *,
    fault: str | None,
    detail: str = "",
    cost_micros: int = 0,
    possible_micros: int = 0,
    upstream_ref: str | None = None,
) -> None:
    """The attempt is over. ``possible_micros``: what it may have cost beyond that; nobody knows."""
    await db.execute(CLOSE, attempt_id, fault, detail[:1000], cost_micros, possible_micros, upstream_ref)


# The upstream took the key and the order: what was held against the key, its group, its proxy and its route, and had its
# time, is over. A rest that began after this attempt stays: the provider said how long. Money that came back to one key of
# an account is there for the others; each of them goes on trial.
ANSWERED = """
with done as (
    update attempt set finished_at = now(), fault = $2, detail = $3, cost_micros = $4, possible_micros = $5,
        upstream_ref = coalesce($6, upstream_ref)
    where id = $1 and finished_at is null
    returning key_id, proxy_id, model_id, started_at
),
rested as (
    delete from key_rest as r using done as d
    where r.key_id = d.key_id and r.model_id = d.model_id and r.until <= d.started_at returning r.key_id
),
group_rested as (
    delete from group_rest as g using done as d, provider_key as k
    where k.id = d.key_id and g.provider_id = k.provider_id and g.account_group = k.account_group
        and g.model_id = d.model_id and g.until <= d.started_at
),
route_rested as (
    delete from route_rest as r using done as d
    where r.key_id = d.key_id and r.proxy_id = coalesce(d.proxy_id, 0) and r.until <= d.started_at
),
proxied as (
    update proxy as x set state = 'active', why = 'it carried a picture again', failures = 0, rests_until = null
    from done as d where x.id = d.proxy_id and x.state = 'cooldown' and x.rests_until <= d.started_at
),
freed as (
    update provider_key as k set state = 'active', failures = 0, rests_until = null,
        why = case when k.state = 'cooldown' then 'it painted again' else k.why end
    from done as d where k.id = d.key_id and (
        k.state = 'active' and k.failures > 0 or k.state = 'cooldown' and k.rests_until <= d.started_at
    )
    returning k.id, k.provider_id, k.account_group
),
siblings as (
    update provider_key as s set state = 'cooldown', why = 'another key of its account painted again', rests_until = now(),
        probe_at = null
    from done as d join provider_key as k on k.id = d.key_id and k.state = 'cooldown' and k.rests_until <= d.started_at
    where s.provider_id = k.provider_id and s.account_group = k.account_group and k.account_group <> '' and s.id <> k.id
        and s.state = 'out_of_funds' and s.returns_by_probe
    returning s.id
)
select id from freed union select key_id from rested union select id from siblings
"""


async def answered(
    db: Db,
    attempt_id: int,
    *,
    fault: str | None = None,
    detail: str = "",
    cost_micros: int = 0,
    possible_micros: int = 0,
    upstream_ref: str | None = None,
) -> None:
    """The attempt is over and the key is good: it painted (no ``fault``), or the order itself was refused."""
    row = (attempt_id, fault, detail[:1000], cost_micros, possible_micros, upstream_ref)
    for changed in await db.fetch(ANSWERED, *row):
        db.tell(KEY_CHANGED, str(changed["id"]))


LET_GO = "its worker died or let go"
FAULTS = """
select fault from attempt where job_id = $1 and fault is not null and detail <> $2 order by number
"""


async def faults(db: Db, job_id: UUID) -> list[str]:
    """What the attempts of a job came to, in order, over all its waits; those that a worker let go of aside."""
    return [row["fault"] for row in await db.fetch(FAULTS, job_id, LET_GO)]


CLOSE_LEFT = """
update attempt as a set finished_at = now(), fault = 'timeout_unknown', detail = 'its worker died or let go',
    possible_micros = (select m.cost_micros from model as m where m.id = a.model_id)
where a.job_id = $1 and a.finished_at is null
"""


async def close_left_open(db: Db, job_id: UUID) -> int:
    """Attempts that a crash left open: their outcome will never be known. Returns how many."""
    return affected(await db.execute(CLOSE_LEFT, job_id))
