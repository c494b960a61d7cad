"""Provider keys: the pool as an admin sees and changes it. What faults do to them: sql/rests.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import asyncpg

from limner.runtime import mailbox
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.runtime.mailbox import Message
from limner.runtime.vault import Vault, last_four
from limner.sql import audit
from limner.sql.channels import KEY_CHANGED

STATES = ("active", "cooldown", "out_of_funds", "manual_review", "disabled")


@dataclass(frozen=True)
class LookAfterKeys(Message):
    """Probe the keys and proxies whose time has come, and count what accounts have left."""

    mailbox = "locksmith"


NEW = """
insert into provider_key (
    provider_id, label, fingerprint, last_four, account_group, concurrency, weight, switch, rpm, proxy_id, may_go_direct,
    returns_by_probe
)
select id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 from provider where code = $1
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
    rpm: int | None = None,
    proxy_id: int | None = None,
    may_go_direct: bool = False,
    returns_by_probe: bool = True,
    reason: str = "",
    ip: str = "",
) -> int:
    """Keep a key, sealed and bound to its row. Raises Refused when it is known already or the provider is not."""
    if not secret.strip():
        raise Refused("A key cannot be empty.", field="secret")
    fingerprint = hashlib.sha256(secret.encode()).hexdigest()
    try:
        async with db.transaction() as tx:
            await _must_be_usable(tx, proxy_id)
            shown = last_four(secret)
            more = (account_group, concurrency, weight, switch, rpm, proxy_id, may_go_direct, returns_by_probe)
            key_id = await tx.fetchval(NEW, provider, label, fingerprint, shown, *more)
            if key_id is None:
                raise Refused(f"There is no provider {provider!r}.", field="provider")
            sealed = vault.seal(secret, bound_to=bound_to(key_id))
            await tx.execute("update provider_key set sealed_secret = $2 where id = $1", key_id, sealed)
            await audit.record(
                tx, actor, "key.add", f"{provider} {shown}", None, {"label": label}, reason=reason, ip=ip
            )
            tx.tell(KEY_CHANGED, str(key_id))
            return int(key_id)
    except asyncpg.UniqueViolationError as error:
        raise Refused("This key is in the pool already.", field="secret") from error
    except asyncpg.CheckViolationError as error:
        raise Refused(f"That is out of range: {error.constraint_name}.", field="concurrency") from error


async def _must_be_usable(tx: Db, proxy_id: int | None) -> None:
    there = "select true from proxy where id = $1 and retired_at is null"
    if proxy_id is not None and not await tx.fetchval(there, proxy_id):
        raise Refused(f"There is no proxy {proxy_id}.", field="proxy")


def bound_to(key_id: int) -> str:
    """The one place where a key's sealed secret opens."""
    return f"provider_key/{key_id}/sealed_secret"


def proxy_bound_to(proxy_id: int) -> str:
    return f"proxy/{proxy_id}/sealed_url"


@dataclass(frozen=True)
class Terms:
    """How a key is used; an admin may change all of it at any time."""

    label: str
    account_group: str
    concurrency: int
    weight: int
    rpm: int | None
    proxy_id: int | None
    may_go_direct: bool
    returns_by_probe: bool


TERMS = """
select label, account_group, concurrency, weight, rpm, proxy_id, may_go_direct, returns_by_probe
from provider_key where id = $1
"""


async def terms(db: Db, key_id: int) -> Terms:
    """Raises NotFound."""
    row = await db.fetchrow(TERMS, key_id)
    if row is None:
        raise NotFound("There is no such key.")
    return Terms(**row)


CHANGE = """
update provider_key set label = $2, account_group = $3, concurrency = $4, weight = $5, rpm = $6, proxy_id = $7,
    may_go_direct = $8, returns_by_probe = $9
where id = $1 returning last_four
"""


async def change(db: Db, key_id: int, to: Terms, *, actor: str, reason: str = "", ip: str = "") -> None:
    """Raises NotFound and Refused."""
    async with db.transaction() as tx:
        before = await terms(tx, key_id)
        await _must_be_usable(tx, to.proxy_id)
        try:
            shown = await tx.fetchval(CHANGE, key_id, *vars(to).values())
        except asyncpg.CheckViolationError as error:
            raise Refused(f"That is out of range: {error.constraint_name}.", field="concurrency") from error
        await audit.record(
            tx, actor, "key.change", f"key {key_id} {shown}", vars(before), vars(to), reason=reason, ip=ip
        )
        tx.tell(KEY_CHANGED, str(key_id))


SET_STATE = """
update provider_key set state = $2, why = $3, rests_until = null, failures = 0, by_hand = $2 = 'disabled', probe_at = null
where id = $1 and (state <> $2 or by_hand <> ($2 = 'disabled') or $2 = 'active' and failures > 0) returning id
"""
# What its account rests from is over for all keys of it, so only waking one says so.
FORGET_RESTS = """
with own as (delete from key_rest where key_id = $1 returning model_id),
ways as (delete from route_rest where key_id = $1 returning proxy_id),
account as (
    delete from group_rest as g using provider_key as k
    where $2 and k.id = $1 and g.provider_id = k.provider_id and g.account_group = k.account_group
    returning g.model_id
),
told as (
    insert into key_event (key_id, model_id, state_before, state_after, cause)
    select $1, a.model_id, 'rests', 'active', $3 from account as a, provider_key as k
    where k.id = $1 and k.state not in ('active', 'cooldown') -- V0044 tells it of those
)
select (select count(*) from own)::int as own, (select count(*) from ways)::int as ways,
    (select count(*) from account)::int as account
"""


async def set_state(db: Db, key_id: int, state: str, reason: str, *, actor: str, ip: str = "") -> None:
    """By hand: "active" wakes it from everything, "disabled" takes it out. Raises Refused or NotFound."""
    if state not in ("active", "disabled"):
        raise Refused(f"A key can be set to active or disabled by hand, not to {state[:40]!r}.", field="state")
    async with db.transaction() as tx:
        row = await tx.fetchrow("select label, last_four, state from provider_key where id = $1 for update", key_id)
        if row is None:
            raise NotFound("There is no such key.")
        found = await tx.fetchrow(FORGET_RESTS, key_id, state == "active", reason)
        forgotten = {name: count for name, count in (found or {}).items() if count}
        if await tx.fetchval(SET_STATE, key_id, state, reason) or forgotten:
            subject = f"key {key_id} {row['last_four']}"
            after = {"state": state, "reason": reason} | ({"rests_ended": forgotten} if forgotten else {})
            await audit.record(tx, actor, "key.state", subject, {"state": row["state"]}, after, ip=ip)
        tx.tell(KEY_CHANGED, str(key_id))


REST = """
update provider_key set state = 'cooldown', why = $2, rests_until = now() + make_interval(mins => $3), probe_at = null
where id = $1 and state in ('active', 'cooldown') returning rests_until
"""


async def rest_by_hand(db: Db, key_id: int, minutes: int, reason: str, *, actor: str, ip: str = "") -> None:
    """It paints nothing for so long, and then one picture on trial. Raises Refused when it does not paint anyhow."""
    async with db.transaction() as tx:
        row = await tx.fetchrow("select last_four, state, why from provider_key where id = $1 for update", key_id)
        if row is None:
            raise NotFound("There is no such key.")
        until = await tx.fetchval(REST, key_id, reason, minutes)
        if until is None:
            raise Refused("Only a key that paints, or rests, can be put to rest.", field="state")
        before = {"state": row["state"], "why": row["why"]}
        after = {"state": "cooldown", "why": reason, "until": until.isoformat(timespec="seconds")}
        await audit.record(tx, actor, "key.rest", f"key {key_id} {row['last_four']}", before, after, ip=ip)
        tx.tell(KEY_CHANGED, str(key_id))


@dataclass(frozen=True)
class TryKey(Message):
    """Ask the provider, for nothing, whether it takes this key; what it said stands with the key."""

    mailbox = "locksmith"
    key_id: int


async def try_out(db: Db, key_id: int, *, actor: str, ip: str = "") -> None:
    """Have the locksmith try it, whatever its state. Raises NotFound."""
    async with db.transaction() as tx:
        shown = await tx.fetchval("select last_four from provider_key where id = $1", key_id)
        if shown is None:
            raise NotFound("There is no such key.")
        await audit.record(tx, actor, "key.try", f"key {key_id} {shown}", None, None, ip=ip)
        await mailbox.send(tx, TryKey(key_id), key=f"try {key_id}")


PROBE_NOW = """
update provider_key set probe_at = now()
where id = $1 and state in ('out_of_funds', 'manual_review', 'disabled') and not by_hand and returns_by_probe
returning last_four
"""


async def probe_now(db: Db, key_id: int, *, actor: str, ip: str = "") -> None:
    """Have the locksmith look at it at once. Raises Refused when a probe would not bring it back."""
    async with db.transaction() as tx:
        shown = await tx.fetchval(PROBE_NOW, key_id)
        if shown is None:
            raise Refused("Only a key that fell out by itself, and may return by a probe, is probed.", field="state")
        await audit.record(tx, actor, "key.probe", f"key {key_id} {shown}", None, None, ip=ip)
        await mailbox.send(tx, LookAfterKeys(), key="now")


LIST = """
select k.id, p.code as provider, k.label, k.last_four as last4, k.state, k.why, k.concurrency, k.weight, k.last_used_at,
    k.account_group, k.rpm, k.proxy_id, x.label as proxy, k.may_go_direct, k.returns_by_probe, k.by_hand, k.failures,
    k.tried_at, k.tried_words,
    case when k.returns_by_probe and not k.by_hand then k.probe_at end as probe_at,
    greatest(case when k.rests_until > now() then k.rests_until end,
        (select max(r.until) from key_rest as r where r.key_id = k.id and r.until > now()),
        (select max(g.until) from group_rest as g where g.provider_id = k.provider_id
            and g.account_group = k.account_group and k.account_group <> '' and g.until > now())) as rests_until,
    (select string_agg(r.model_id || ': ' || r.cause, '; ' order by r.model_id, r.cause) from (
        select model_id, cause from key_rest where key_id = k.id and until > now()
        union
        select model_id, cause from group_rest where provider_id = k.provider_id and account_group = k.account_group
            and account_group <> '' and until > now()
    ) as r) as rests,
    (select count(*) from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > now()) as in_use
from provider_key as k join provider as p on p.id = k.provider_id left join proxy as x on x.id = k.proxy_id
order by p.code, k.id
"""


async def listing(db: Db) -> list[dict[str, Any]]:
    """All keys with their states, never their secrets."""
    return [dict(row) for row in await db.fetch(LIST)]
