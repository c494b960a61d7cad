"""Attempts: one try of one job with one key, written down before the call and closed after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Database, Db, affected
from limner.sql.channels import KEY_CHANGED


@dataclass(frozen=True, kw_only=True)
class Way:
    """A key and the way in. ``sealed_secret`` opens with keys.bound_to; no ``proxy_id``: straight."""

    key_id: int
    label: str
    kind: str
    base_url: str
    switch: str
    sealed_secret: str
    proxy_id: int | None
    sealed_proxy: str | None
    settings: dict[str, object]
    is_local: bool


@dataclass(frozen=True, kw_only=True)
class Lease(Way):
    """A key in use for one attempt."""

    attempt_id: int
    number: int
    failures: int


@dataclass(frozen=True)
class Wait:
    """No key is free. ``back``: seconds until one could be, 0 when all are merely busy, None when none comes back by itself.

    ``is_busy``: a key that this request has not tried is at work, and may be free in a moment.
    """

    back: float | None
    is_busy: bool


BEYOND = 30.0
"""Seconds beyond its job's deadline after which an attempt that nobody has closed holds its key no longer."""

# How it is chosen, and why one at a time: sql/migrations/V0014. Who comes first: V0049.
# The provider's line moves on before the attempt is on the disk; its painter is asked afterwards.
LEASE = """
with quickly as materialized (
    select set_config('synchronous_commit', case when $2::boolean then 'off' else current_setting('synchronous_commit') end, true)
),
asked as materialized (
    select t.* from quickly, jsonb_to_recordset($1) as t (
        place integer, provider_id bigint, model_id text, job_id uuid, tried bigint [], first bigint, until timestamptz
    ) order by t.provider_id, t.place
)
select asked.place, l.* from asked
cross join lateral key_in_turn(asked.provider_id, asked.model_id, asked.job_id, asked.tried, asked.first, asked.until) as l
order by asked.place
"""


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
    """The key to try next, with its attempt on the disk before the call.

    ``tried``: keys that this request is done with; ``first``: one that may go on by another way.
    """
    wanted = {
        "provider_id": provider_id,
        "model_id": model_id,
        "job_id": str(job_id),
        "tried": list(tried),
        "first": first,
        "until": until.isoformat(),
    }
    found = await db.together(_leases, wanted)
    if isinstance(found, Lease) and isinstance(db, Database):
        await db.harden()
    return found


async def _leases(db: Db, wanted: Sequence[dict[str, object]]) -> list[Lease | Wait]:
    asked = [each | {"place": place} for place, each in enumerate(wanted)]
    rows = [dict(row) for row in await db.fetch(LEASE, asked, isinstance(db, Database))]
    return [from_fields({name: value for name, value in row.items() if name != "place"}) for row in rows]


def from_fields(fields: dict[str, Any]) -> Lease | Wait:
    """What key_in_turn returned."""
    wait = Wait(fields.pop("back"), fields.pop("is_busy"))
    return wait if fields["attempt_id"] is None else Lease(**fields)


FREE_IN = """
select min(case
    when v.verdict is null or v.verdict in ('no_slot', 'rpm') or v.verdict like '%on_trial%' then 0
    when v.comes_back then greatest(extract(epoch from v.until - now()), 0)
end)::double precision
from key_verdicts($1, $2, $3, null, now()) as v where v.verdict is distinct from 'tried'
"""


async def free_in(db: Db, provider_id: int, model_id: str, tried: Sequence[int] = ()) -> float | None:
    """Seconds until a key, none of those ``tried``, could take an order: 0 when one is free or merely busy, None when none comes
    back by itself."""
    return await db.fetchval(FREE_IN, provider_id, model_id, list(tried))  # type: ignore[no-any-return]


NOTE_REF = "update attempt set upstream_ref = $2, is_resumable = true where id = $1 and finished_at is null"


async def note_ref(db: Db, attempt_id: int, ref: str) -> None:
    """The upstream's name for its job, written down while we wait: who comes after a crash can ask for it again."""
    await db.execute(NOTE_REF, attempt_id, ref)


NOTE_BLAME = """
update attempt set param = nullif($2, ''), categories = nullif($3::text[], '{}') where id = $1
"""


async def note_blame(db: Db, attempt_id: int, param: str, categories: Sequence[str]) -> None:
    """Which parameter the upstream blames, and which of its content rules, beside what the attempt came to."""
    await db.execute(NOTE_BLAME, attempt_id, param, categories)


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


ANSWERED = "select id from attempt_answered($1, $2, $3, $4, $5, $6) as t (id)"


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


SPENT = """
select key_id, (array_agg(fault order by number desc))[1] as fault from attempt
where job_id = $1 and fault = any($2) and detail <> $3 and not (is_resumable and fault = 'timeout_unknown')
group by key_id order by max(number)
"""


async def spent(db: Db, job_id: UUID, faults: Sequence[str]) -> dict[int, str]:
    """Keys that came to one of these faults with this job, each with its last one; those aside whose job over there may begin
    anew."""
    return {row["key_id"]: row["fault"] for row in await db.fetch(SPENT, job_id, list(faults), LET_GO)}


# Of a fault that is not held against a key, only a picture of the same model since then says that it paints for others.
OF_KEY = """
select count(*) filter (where a.key_id = $2) as often, coalesce(bool_or(a.key_id = $2 and s.paints), false) as here,
    coalesce(bool_or(a.key_id <> $2 and k.failures = 0 and s.paints), false) as elsewhere
from attempt as a join provider_key as k on k.id = a.key_id
cross join lateral (
    select not $5::boolean or exists (
        select from attempt as p
        where p.key_id = a.key_id and p.model_id = a.model_id and p.fault is null and p.finished_at > a.finished_at
            and p.started_at > a.finished_at
    ) as paints
) as s
where a.job_id = $1 and a.fault = $3 and a.detail <> $4
"""


async def of_key(db: Db, job_id: UUID, key_id: int, fault: str, *, is_vague: bool = False) -> tuple[int, bool, bool]:
    """How often this key came to this fault with this job; and whether it, and another one that did, paint for others.

    ``is_vague``: none is held against a key, and it takes a picture since then to know.
    """
    ((often, here, elsewhere),) = await db.fetch(OF_KEY, job_id, key_id, fault, LET_GO, is_vague)
    return often, here, elsewhere


RECENT = 20_000
"""Attempts of all keys that are looked at for what became of one: there is no index by key, and it has to end."""
OTHERS = """
with recent as materialized (
    select job_id, key_id, fault, finished_at from attempt where finished_at is not null order by finished_at desc limit $4
),
of_key as (select * from recent where key_id = $1)
select count(distinct j.account_id) from of_key as a join job as j on j.id = a.job_id
where a.fault = $3 and j.account_id <> $2
    and a.finished_at > coalesce((select max(p.finished_at) from of_key as p where p.fault is null), '-infinity')
"""


async def others(db: Db, key_id: int, account_id: UUID, fault: str) -> int:
    """How many other accounts this key came to this fault with, of late, since it painted anything."""
    return int(await db.fetchval(OTHERS, key_id, account_id, fault, RECENT))


CLOSE_LEFT = """
update attempt as a set finished_at = now(), fault = $2, detail = 'its worker died or let go',
    possible_micros = (select m.cost_micros from model as m where m.id = a.model_id)
where a.job_id = $1 and a.finished_at is null
"""


async def close_left_open(db: Db, job_id: UUID, *, fault: str = "timeout_unknown") -> int:
    """Attempts that a crash or an end from outside left open: their outcome will never be known. Returns how many."""
    return affected(await db.execute(CLOSE_LEFT, job_id, fault))


# Written down when its job had ended already: nobody calls, and nobody would close it.
CLOSE_FORGOTTEN = """
update attempt as a set finished_at = now(), detail = 'its worker died or let go',
    fault = case when j.state = 'canceled' then 'cancelled' else 'timeout_unknown' end,
    possible_micros = (select m.cost_micros from model as m where m.id = a.model_id)
from job as j
where j.id = a.job_id and a.finished_at is null and j.finished_at < now() - interval '30 seconds'
"""


async def close_forgotten(db: Db) -> int:
    """Attempts of jobs that ended a while ago hold slots of their keys for nothing. Returns how many there were."""
    return affected(await db.execute(CLOSE_FORGOTTEN))
