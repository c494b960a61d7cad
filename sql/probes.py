"""Probes: which key or proxy is looked at next, by one looker at a time, and what follows from what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from limner.runtime.database import Db
from limner.sql.attempts import Way
from limner.sql.channels import KEY_CHANGED

LEASE = 90.0
"""Seconds after which a probe that nobody ended counts as given up."""


@dataclass(frozen=True, kw_only=True)
class Probe(Way):
    """A key to be looked at. ``state``: what it fell into."""

    state: str


ALONE = "select pg_advisory_xact_lock(hashtextextended('probes', 0))"

# One key of an account at a time; its siblings wait for what it finds.
TAKE = """
with due as (
    select k.id from provider_key as k join provider as p on p.id = k.provider_id
    where p.active and k.returns_by_probe and not k.by_hand and k.probe_at <= now()
        and k.state in ('out_of_funds', 'manual_review', 'disabled')
        and not exists (
            select from provider_key as s
            where s.probing_until > now()
                and (s.id = k.id or s.provider_id = k.provider_id and s.account_group = k.account_group and k.account_group <> '')
        )
    order by k.probe_at limit 1
),
later as (
    update provider_key as s set probe_at = now() + make_interval(secs => $2)
    from due join provider_key as k on k.id = due.id
    where s.id <> k.id and s.provider_id = k.provider_id and s.account_group = k.account_group and k.account_group <> ''
        and s.state = 'out_of_funds' and k.state = 'out_of_funds'
)
update provider_key as k set probing_until = now() + make_interval(secs => $1)
from due, provider as p
where k.id = due.id and p.id = k.provider_id
returning k.id as key_id, k.state, k.label, p.kind, p.base_url, k.switch, k.sealed_secret,
    (select w.via from key_route(k.id, k.proxy_id, false, now()) as w) as proxy_id,
    (select x.sealed_url from key_route(k.id, k.proxy_id, false, now()) as w join proxy as x on x.id = w.via) as sealed_proxy,
    k.proxy_id is not null and not exists (
        select from key_route(k.id, k.proxy_id, false, now()) as w where w.via is not null
    ) as is_shut, p.settings, p.is_local
"""


async def take(db: Db, again_in: float) -> Probe | None:
    """The key that is due longest, ours for LEASE seconds. None: none is due. No probe goes past a resting proxy."""
    while True:
        async with db.transaction() as tx:
            await tx.execute(ALONE)
            row = await tx.fetchrow(TAKE, LEASE, float(again_in))
            if row is None:
                return None
            fields = dict(row)
            if not fields.pop("is_shut"):
                return Probe(**fields)
            await tx.execute(PUT_OFF, fields["key_id"], float(again_in))


PUT_OFF = """
update provider_key set probing_until = null, probe_at = now() + make_interval(secs => $2) where id = $1
"""

ON_TRIAL = """
update provider_key set state = 'cooldown', why = 'its probe went well: one picture will tell', rests_until = now(),
    probing_until = null, probe_at = null
where id = $1 and state = $2 and not by_hand returning id
"""


async def passed(db: Db, probe: Probe) -> None:
    """It was accepted: it goes on trial, with one picture at a time until one is delivered."""
    if await db.fetchval(ON_TRIAL, probe.key_id, probe.state):
        db.tell(KEY_CHANGED, str(probe.key_id))


STILL = """
update provider_key set why = case when state = $2 then $3 else why end, probing_until = null,
    probe_at = now() + make_interval(secs => $4)
where id = $1
"""


async def failed(db: Db, probe: Probe, cause: str, again_in: float) -> None:
    """It is not back yet; it is looked at again in ``again_in`` seconds."""
    await db.execute(STILL, probe.key_id, probe.state, cause, float(again_in))


# A proxy on trial is looked at through a key that uses it, so that nobody has to order a picture for it.
TAKE_PROXY = """
with due as (
    select x.id from proxy as x
    where x.state = 'cooldown' and x.rests_until <= now() and x.retired_at is null
        and (x.probing_until is null or x.probing_until <= now())
        and not exists (
            select from attempt as a where a.proxy_id = x.id and a.finished_at is null and a.expires_at > now()
                and a.started_at >= x.rests_until
        )
    order by x.rests_until limit 1
)
update proxy as x set probing_until = now() + make_interval(secs => $1)
from due where x.id = due.id
returning x.id as proxy_id, x.sealed_url as sealed_proxy
"""
# With each failure it is another provider's turn: it may be that one that cannot be reached, and not the proxy.
THROUGH = """
with usable as (
    select k.id, k.proxy_id = $1 as is_own, dense_rank() over (order by k.provider_id) - 1 as place
    from provider_key as k join provider as p on p.id = k.provider_id
    left join proxy as own on own.id = k.proxy_id
    where p.active and $1 in (k.proxy_id, own.backup_id) and k.state in ('active', 'cooldown')
)
select k.id as key_id, k.state, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, p.settings, p.is_local
from usable as u join provider_key as k on k.id = u.id join provider as p on p.id = k.provider_id
where u.place = (select x.failures from proxy as x where x.id = $1) % (select max(place) + 1 from usable)
order by u.is_own desc, k.id limit 1
"""


async def take_proxy(db: Db) -> tuple[int, str, Probe | None] | None:
    """A proxy whose rest is over: its id, its sealed address, and a key to look through it with, when one uses it."""
    async with db.transaction() as tx:
        await tx.execute(ALONE)
        row = await tx.fetchrow(TAKE_PROXY, LEASE)
        if row is None:
            return None
        key = await tx.fetchrow(THROUGH, row["proxy_id"])
        probe = None if key is None else Probe(**key, **row)
        return row["proxy_id"], row["sealed_proxy"], probe


OF_KEY = """
select k.id as key_id, k.state, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, p.settings, p.is_local,
    w.via as proxy_id, x.sealed_url as sealed_proxy, w.shut, k.returns_by_probe and not k.by_hand as returns
from provider_key as k join provider as p on p.id = k.provider_id
cross join lateral key_route(k.id, k.proxy_id, false, now()) as w left join proxy as x on x.id = w.via
where k.id = $1 limit 1
"""


@dataclass(frozen=True)
class Trial:
    """A key to be tried by hand. ``shut``: no way leads out; ``returns``: a good probe may bring it back."""

    probe: Probe
    shut: bool
    returns: bool


async def of_key(db: Db, key_id: int) -> Trial | None:
    """None: it is gone."""
    row = await db.fetchrow(OF_KEY, key_id)
    if row is None:
        return None
    fields = dict(row)
    return Trial(shut=fields.pop("shut") is not None, returns=fields.pop("returns"), probe=Probe(**fields))


TRIED = "update provider_key set tried_at = now(), tried_words = $2 where id = $1"


async def tried(db: Db, key_id: int, words: str) -> None:
    """What came of a trial; no words: the provider takes it."""
    await db.execute(TRIED, key_id, words)


ANY_KEY = """
select k.id as key_id, k.state, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, p.settings, p.is_local,
    w.via as proxy_id, x.sealed_url as sealed_proxy
from provider_key as k join provider as p on p.id = k.provider_id
cross join lateral key_route(k.id, k.proxy_id, false, now()) as w left join proxy as x on x.id = w.via
where p.code = $1 and k.state in ('active', 'cooldown') and w.shut is null
order by k.state, k.id limit 1
"""


async def any_key(db: Db, provider: str) -> Probe | None:
    """A key of this provider to ask something with, when one can be used."""
    row = await db.fetchrow(ANY_KEY, provider)
    return None if row is None else Probe(**row)
