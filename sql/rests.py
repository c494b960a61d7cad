"""Rests: what each fault does to a key, its account and its way out. Who has rested comes back by one trial."""

from __future__ import annotations

from limner.runtime.database import Db
from limner.sql.channels import KEY_CHANGED

# Held against a key once in five seconds at the most: failures that follow each other faster are one and the same.
AGAIN = "(failures = 0 or failed_at is null or failed_at <= clock_timestamp() - interval '5 seconds')"

# $3: when the failed attempt began. One that began before the rest did belongs to the same cycle, and counts once.
REST_MODEL = f"""
with before as (select until from key_rest where key_id = $1 and model_id = $2),
counted as (
    update provider_key set failures = failures + 1, failed_at = clock_timestamp()
    where id = $1 and $7 and {AGAIN} and not exists (select from before where until > $3)
)
insert into key_rest as r (key_id, model_id, until, cause, day_hits)
values ($1, $2, now() + make_interval(secs => $4), $5, $6::int)
on conflict (key_id, model_id) do update set until = greatest(r.until, excluded.until), cause = excluded.cause,
    day_hits = case when $6::int = 0 then 0 when r.until > $3 then greatest(r.day_hits, 1) else r.day_hits + 1 end
returning r.day_hits
"""
REST_GROUP = f"""
with before as (
    select g.until from group_rest as g join provider_key as k using (provider_id, account_group)
    where k.id = $1 and g.model_id = $2
),
counted as (
    update provider_key set failures = failures + 1, failed_at = clock_timestamp()
    where id = $1 and $7 and {AGAIN} and not exists (select from before where until > $3)
)
insert into group_rest as r (provider_id, account_group, model_id, until, cause, day_hits)
select provider_id, account_group, $2, now() + make_interval(secs => $4), $5, $6::int from provider_key where id = $1
on conflict (provider_id, account_group, model_id) do update set until = greatest(r.until, excluded.until),
    cause = excluded.cause,
    day_hits = case when $6::int = 0 then 0 when r.until > $3 then greatest(r.day_hits, 1) else r.day_hits + 1 end
returning r.day_hits
"""
BEGAN = (
    "select a.started_at, k.account_group from attempt as a join provider_key as k on k.id = a.key_id where a.id = $1"
)


async def rest(
    db: Db,
    key_id: int,
    model_id: str,
    seconds: float,
    cause: str,
    *,
    attempt_id: int | None = None,
    by_group: bool = False,
    is_daily: bool = False,
    counts: bool = True,
) -> int:
    """The key, or with ``by_group`` all of its account group, rests from one model; never shorter than before.

    ``counts``: whether it is held against the key; the same of the same order is not a second time.

    Returns how many failures in a row named a quota of the day (``is_daily``).
    """
    async with db.transaction() as tx:
        began = await tx.fetchrow(BEGAN, attempt_id) if attempt_id is not None else None
        statement = REST_GROUP if by_group and began and began["account_group"] else REST_MODEL
        at = began["started_at"] if began else await tx.fetchval("select now()")
        hits = await tx.fetchval(statement, key_id, model_id, at, float(seconds), cause, int(is_daily), counts)
        tx.tell(KEY_CHANGED, str(key_id))
        return int(hits)


COUNT = f"update provider_key set failures = failures + 1, failed_at = clock_timestamp() where id = $1 and {AGAIN}"


async def count(db: Db, key_id: int) -> None:
    """It is held against the key, which does not rest."""
    await db.execute(COUNT, key_id)


REST_ROUTE = """
insert into route_rest as r (key_id, proxy_id, until, cause)
values ($1, coalesce($2, 0), now() + make_interval(secs => $3), $4)
on conflict (key_id, proxy_id) do update set until = greatest(r.until, excluded.until), cause = excluded.cause
"""


async def rest_route(db: Db, key_id: int, proxy_id: int | None, seconds: float, cause: str) -> None:
    """The key is not welcome where this way comes out; it may go by another one."""
    await db.execute(REST_ROUTE, key_id, proxy_id, float(seconds), cause)
    db.tell(KEY_CHANGED, str(key_id))


REVIEW = """
update provider_key set state = 'manual_review', why = $3, rests_until = null,
    probe_at = now() + make_interval(secs => $4)
where id = $1 and failures > $2 and state in ('active', 'cooldown')
returning id
"""


async def review_if_hopeless(db: Db, key_id: int, most: int, probe_in: float = 1800) -> None:
    """More than ``most`` failures in a row: somebody should look at it, and the locksmith in ``probe_in`` seconds."""
    if await db.fetchval(REVIEW, key_id, most, f"more than {most} failures in a row", float(probe_in)):
        db.tell(KEY_CHANGED, str(key_id))


DRY = """
update provider_key set state = 'out_of_funds', why = $2, rests_until = null,
    probe_at = now() + make_interval(secs => $3)
where state in ('active', 'cooldown') and (
    id = $1 or account_group <> '' and (provider_id, account_group) = (
        select provider_id, account_group from provider_key where id = $1
    )
)
"""


async def run_dry(db: Db, key_id: int, cause: str, probe_in: float = 1800) -> None:
    """No money: the whole billing account goes, and the request goes on with the next key."""
    await db.execute(DRY, key_id, cause, float(probe_in))
    db.tell(KEY_CHANGED, str(key_id))


DIE = """
update provider_key set state = 'disabled', why = $2, rests_until = null, probe_at = now() + make_interval(secs => $3)
where id = $1 and state <> 'disabled' returning id
"""


async def die(db: Db, key_id: int, cause: str, probe_in: float = 1800) -> None:
    """The provider does not accept it any more."""
    if await db.fetchval(DIE, key_id, cause, float(probe_in)):
        db.tell(KEY_CHANGED, str(key_id))
