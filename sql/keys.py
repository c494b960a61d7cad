"""Provider keys: which one paints next, which ones rest, and why."""

from __future__ import annotations

import hashlib
from typing import Any

import asyncpg

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.runtime.vault import Vault, last_four
from limner.sql import audit
from limner.sql.attempts import Lease
from limner.sql.channels import KEY_CHANGED

STATES = ("active", "cooldown", "out_of_funds", "manual_review", "disabled")


PRAISE = """
update provider_key set state = 'active', why = 'it painted again', failures = 0, rests_until = null
where id = $1 and (failures > 0 or state = 'cooldown') and state in ('active', 'cooldown') returning id
"""


PRAISE_PROXY = (
    "update proxy set state = 'active', failures = 0, rests_until = null where id = $1 and state = 'cooldown'"
)


async def praise(db: Db, lease: Lease, model_id: str) -> None:
    """It painted: whatever was held against the key or its proxy is forgotten."""
    key_id = lease.key_id
    await db.execute("delete from key_rest where key_id = $1 and model_id = $2", key_id, model_id)
    if lease.proxy_id is not None:
        await db.execute(PRAISE_PROXY, lease.proxy_id)
    if await db.fetchval(PRAISE, key_id):
        db.tell(KEY_CHANGED, str(key_id))


REST_MODEL = """
insert into key_rest (key_id, model_id, until, cause) values ($1, $2, now() + make_interval(secs => $3), $4)
on conflict (key_id, model_id) do update set until = greatest(key_rest.until, excluded.until), cause = excluded.cause
"""


async def rest(db: Db, key_id: int, model_id: str, seconds: float, cause: str) -> None:
    """The key rests from one model."""
    async with db.transaction() as tx:
        await tx.execute(REST_MODEL, key_id, model_id, float(seconds), cause)
        await tx.execute("update provider_key set failures = failures + 1 where id = $1", key_id)
        tx.tell(KEY_CHANGED, str(key_id))


REVIEW = """
update provider_key set state = 'manual_review', why = $3 where id = $1 and failures > $2 and state in ('active', 'cooldown')
returning id
"""


async def review_if_hopeless(db: Db, key_id: int, most: int) -> None:
    """More than ``most`` failures in a row: somebody should look at it."""
    if await db.fetchval(REVIEW, key_id, most, f"more than {most} failures in a row"):
        db.tell(KEY_CHANGED, str(key_id))


DRY = """
update provider_key set state = 'out_of_funds', why = $2
where state in ('active', 'cooldown') and (
    id = $1 or account_group <> '' and (provider_id, account_group) = (
        select provider_id, account_group from provider_key where id = $1
    )
)
"""


async def run_dry(db: Db, key_id: int, cause: str) -> None:
    """No money: the whole billing account goes, and the request goes on with the next key."""
    await db.execute(DRY, key_id, cause)
    db.tell(KEY_CHANGED, str(key_id))


REST_PROXY = """
update proxy set state = 'cooldown', failures = failures + 1,
    rests_until = now() + make_interval(secs => least(30 * 2 ^ failures, 600))
where id = $1 and state in ('active', 'cooldown')
"""


async def rest_proxy(db: Db, proxy_id: int) -> None:
    """The way there is broken, not the key: the proxy rests from 30 s to 10 min, growing."""
    await db.execute(REST_PROXY, proxy_id)


DIE = "update provider_key set state = 'disabled', why = $2 where id = $1 and state <> 'disabled' returning id"


async def die(db: Db, key_id: int, cause: str) -> None:
    """The provider does not accept it any more."""
    if await db.fetchval(DIE, key_id, cause):
        db.tell(KEY_CHANGED, str(key_id))


NEW = """
insert into provider_key (provider_id, label, fingerprint, last_four, account_group, concurrency, weight, switch)
select id, $2, $3, $4, $5, $6, $7, $8 from provider where code = $1
returning id
"""


async def add(
    db: Db,
    vault: Vault,
    provider: str,
    label: str,
    secret: str,
    *,
    actor: str,
    account_group: str = "",
    concurrency: int = 2,
    weight: int = 1,
    switch: str = "",
    ip: str = "",
) -> int:
    """Keep a key, sealed and bound to its row. Raises Refused when it is known already or the provider is not."""
    if not secret.strip():
        raise Refused("A key cannot be empty.", field="secret")
    fingerprint = hashlib.sha256(secret.encode()).hexdigest()
    try:
        async with db.transaction() as tx:
            shown = last_four(secret)
            key_id = await tx.fetchval(
                NEW, provider, label, fingerprint, shown, account_group, concurrency, weight, switch
            )
            if key_id is None:
                raise Refused(f"There is no provider {provider!r}.", field="provider")
            sealed = vault.seal(secret, bound_to=bound_to(key_id))
            await tx.execute("update provider_key set sealed_secret = $2 where id = $1", key_id, sealed)
            await audit.record(tx, actor, "key.add", f"{provider} {shown}", None, {"label": label}, ip=ip)
            tx.tell(KEY_CHANGED, str(key_id))
            return int(key_id)
    except asyncpg.UniqueViolationError as error:
        raise Refused("This key is in the pool already.", field="secret") from error
    except asyncpg.CheckViolationError as error:
        raise Refused(f"That is out of range: {error.constraint_name}.", field="concurrency") from error


def bound_to(key_id: int) -> str:
    """The one place where a key's sealed secret opens."""
    return f"provider_key/{key_id}/sealed_secret"


def proxy_bound_to(proxy_id: int) -> str:
    return f"proxy/{proxy_id}/sealed_url"


SET_STATE = """
update provider_key set state = $2, why = $3, rests_until = null, failures = 0 where id = $1 and state <> $2 returning id
"""


async def set_state(db: Db, key_id: int, state: str, reason: str, *, actor: str, ip: str = "") -> None:
    """By hand: "active" wakes it from everything, "disabled" takes it out. Raises Refused or NotFound."""
    if state not in ("active", "disabled"):
        raise Refused(f"A key can be set to active or disabled by hand, not to {state[:40]!r}.", field="state")
    async with db.transaction() as tx:
        row = await tx.fetchrow("select label, last_four, state from provider_key where id = $1 for update", key_id)
        if row is None:
            raise NotFound("There is no such key.")
        await tx.execute("delete from key_rest where key_id = $1", key_id)
        if await tx.fetchval(SET_STATE, key_id, state, reason):
            subject = f"key {key_id} {row['last_four']}"
            after = {"state": state, "reason": reason}
            await audit.record(tx, actor, "key.state", subject, {"state": row["state"]}, after, ip=ip)
        tx.tell(KEY_CHANGED, str(key_id))


LIST = """
select k.id, p.code as provider, k.label, k.last_four as last4, k.state, k.why, k.concurrency, k.weight, k.last_used_at,
    greatest(k.rests_until, (select max(r.until) from key_rest as r where r.key_id = k.id and r.until > now())) as rests_until,
    (select string_agg(r.model_id || ': ' || r.cause, '; ') from key_rest as r
        where r.key_id = k.id and r.until > now()) as rests,
    (select count(*) from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > now()) as in_use
from provider_key as k join provider as p on p.id = k.provider_id
order by p.code, k.id
"""


async def listing(db: Db) -> list[dict[str, Any]]:
    """All keys with their states, never their secrets."""
    return [dict(row) for row in await db.fetch(LIST)]
