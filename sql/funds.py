"""Funds: what is left on each account over there, how many days that lasts, and what operators put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit
from limner.sql.probes import Probe

FRESH = 600.0
"""Seconds for which a balance that a provider told is good."""


@dataclass(frozen=True)
class Fund:
    """An account: ``name`` is the account group of its keys, or "key 7". Money is in millionths of a US dollar."""

    id: int
    provider: str
    name: str
    left: int
    source: str
    alert_below: int | None
    spent_in_week: int
    days_left: float | None
    fewest_days: float
    """With less than this left, at the pace of the last week, somebody is told: the rule balance_low says so."""

    @property
    def is_low(self) -> bool:
        return self.is_under or (self.days_left is not None and self.days_left < self.fewest_days)

    @property
    def is_under(self) -> bool:
        """Less than what the operator wants to be told of."""
        return self.alert_below is not None and self.left < self.alert_below


# What a provider told is true at that moment; what attempts have cost since, and may have cost, comes off.
LIST = """
with spent as (
    select k.provider_id, coalesce(nullif(k.account_group, ''), 'key ' || k.id) as name, a.finished_at,
        a.cost_micros + a.possible_micros as micros
    from attempt as a join provider_key as k on k.id = a.key_id
    where a.finished_at > now() - interval '7 days' and exists (select from fund)
),
summed as (
    select f.id, f.micros - coalesce(sum(s.micros) filter (where s.finished_at > f.counted_to), 0)::bigint as remaining,
        coalesce(sum(s.micros), 0)::bigint as week
    from fund as f left join spent as s on s.provider_id = f.provider_id and s.name = f.name group by f.id
)
select f.id, p.code as provider, f.name, s.remaining as "left", f.source, f.alert_below_micros as alert_below,
    s.week as spent_in_week, case when s.week > 0 then greatest(s.remaining, 0) * 7.0 / s.week end::float as days_left,
    coalesce((select begins from alert_rule where code = 'balance_low'), 0) as fewest_days
from fund as f join summed as s on s.id = f.id join provider as p on p.id = f.provider_id order by p.code, f.name
"""


async def listing(db: Db) -> list[Fund]:
    return [Fund(**row) for row in await db.fetch(LIST)]


KNOWN = """
select p.id from provider as p
where p.code = $1 and exists (
    select from provider_key as k where k.provider_id = p.id and coalesce(nullif(k.account_group, ''), 'key ' || k.id) = $2
)
"""
MINE = "select id, micros, alert_below_micros from fund where provider_id = $1 and name = $2 for update"
PUT_IN = """
insert into fund as f (provider_id, name, micros, source) values ($1, $2, $3, 'entered')
on conflict (provider_id, name) do update set micros = f.micros + case when f.source = 'entered' then excluded.micros else 0 end
returning id, micros
"""
NOTE = "insert into top_up (fund_id, micros, note, actor) values ($1, $2, $3, $4)"


async def top_up(
    db: Db, provider: str, name: str, micros: int, note: str, *, actor: str, reason: str = "", ip: str = ""
) -> None:
    """An operator has paid in, or corrects the estimate with a negative amount. Raises Refused."""
    if micros == 0 or abs(micros) > 10**13:
        raise Refused("An amount is not zero, and at most ten million dollars.", field="amount")
    async with db.transaction() as tx:
        provider_id = await _provider(tx, provider, name)
        known = await tx.fetchrow(MINE, provider_id, name)
        fund = await tx.fetchrow(PUT_IN, provider_id, name, micros)
        assert fund is not None
        await tx.execute(NOTE, fund["id"], micros, note, actor)
        before = {"counted": known["micros"]} if known else None
        after: dict[str, object] = {"counted": fund["micros"], "micros": micros, "note": note}
        await audit.record(tx, actor, "fund.top_up", f"{provider} {name}", before, after, reason=reason, ip=ip)


async def _provider(tx: Db, provider: str, name: str) -> int:
    provider_id = await tx.fetchval(KNOWN, provider, name)
    if provider_id is None:
        raise Refused(
            f'No key of {provider[:40]!r} belongs to the account {name[:80]!r}; a key without a group is "key ID".',
            field="account",
        )
    return int(provider_id)


ACCOUNT = """
select p.code as provider, coalesce(nullif(k.account_group, ''), 'key ' || k.id) as name
from provider_key as k join provider as p on p.id = k.provider_id where k.id = $1
"""


async def of_key(db: Db, key_id: int) -> tuple[str, str, Fund | None]:
    """The account that a key draws on: provider, name, and what is known of it. Raises NotFound."""
    row = await db.fetchrow(ACCOUNT, key_id)
    if row is None:
        raise NotFound("There is no such key.")
    mine = (each for each in await listing(db) if (each.provider, each.name) == (row["provider"], row["name"]))
    return row["provider"], row["name"], next(mine, None)


SET_LEFT = """
insert into fund as f (provider_id, name, micros, source) values ($1, $2, $3, 'entered')
on conflict (provider_id, name) do update set micros = excluded.micros, counted_to = now() where f.source = 'entered'
returning id
"""


async def set_left(db: Db, key_id: int, micros: int, note: str, *, actor: str, ip: str = "") -> None:
    """An operator read over there what is left on a key's account. Raises Refused where the provider tells it itself."""
    if not 0 <= micros <= 10**13:
        raise Refused("A balance is between zero and ten million dollars.", field="amount")
    async with db.transaction() as tx:
        provider, name, known = await of_key(tx, key_id)
        fund_id = await tx.fetchval(SET_LEFT, await _provider(tx, provider, name), name, micros)
        if fund_id is None:
            raise Refused("This provider tells what is left by itself.", field="amount")
        left = known.left if known else 0
        if micros != left:
            await tx.execute(NOTE, fund_id, micros - left, note, actor)
        before = {"micros": known.left} if known else None
        await audit.record(tx, actor, "fund.set", f"{provider} {name}", before, {"micros": micros, "note": note}, ip=ip)


ALERT = """
insert into fund as f (provider_id, name, micros, source, alert_below_micros) values ($1, $2, 0, 'entered', $3)
on conflict (provider_id, name) do update set alert_below_micros = excluded.alert_below_micros
"""


async def alert_below(
    db: Db, provider: str, name: str, micros: int | None, *, actor: str, reason: str = "", ip: str = ""
) -> None:
    """When somebody is told; None: only by the days that are left. Raises Refused."""
    async with db.transaction() as tx:
        provider_id = await _provider(tx, provider, name)
        known = await tx.fetchrow(MINE, provider_id, name)
        await tx.execute(ALERT, provider_id, name, micros)
        before = {"alert_below_micros": known["alert_below_micros"]} if known else None
        after: dict[str, object] = {"alert_below_micros": micros}
        await audit.record(tx, actor, "fund.alert", f"{provider} {name}", before, after, reason=reason, ip=ip)


TELL = """
insert into fund as f (provider_id, name, micros, source)
select provider_id, coalesce(nullif(account_group, ''), 'key ' || id), $2, 'told' from provider_key where id = $1
on conflict (provider_id, name) do update set micros = excluded.micros, source = 'told', counted_to = now()
"""
MONEY_IS_BACK = """
update provider_key as k set probe_at = now() from provider_key as mine
where mine.id = $1 and k.provider_id = mine.provider_id and k.state = 'out_of_funds' and k.returns_by_probe
    and (k.id = mine.id or k.account_group = mine.account_group and k.account_group <> '')
"""


async def told(db: Db, key_id: int, micros: int, *, enough: int = 10_000) -> None:
    """The provider says what is left. With ``enough`` of it a key that ran dry is probed at once."""
    await db.execute(TELL, key_id, micros)
    if micros > enough:
        await db.execute(MONEY_IS_BACK, key_id)


# A moment behind, so that no attempt that is being written down is missed.
COUNT = """
with cost as (
    select f.id, coalesce(sum(a.cost_micros + a.possible_micros), 0)::bigint as micros
    from fund as f
    join provider_key as k on k.provider_id = f.provider_id
        and coalesce(nullif(k.account_group, ''), 'key ' || k.id) = f.name
    left join attempt as a on a.key_id = k.id and a.finished_at > f.counted_to
        and a.finished_at <= now() - interval '1 minute'
    where f.source = 'entered' and f.counted_to < now() - interval '1 hour'
    group by f.id
)
update fund as f set micros = f.micros - c.micros, counted_to = now() - interval '1 minute' from cost as c where f.id = c.id
"""


async def count(db: Db) -> None:
    """Take what was spent off what was paid in, now and then, so that nobody has to add up years."""
    await db.execute(COUNT)


DUE = """
select distinct on (k.provider_id, coalesce(nullif(k.account_group, ''), 'key ' || k.id))
    k.id as key_id, k.state, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, p.settings, p.is_local,
    w.via as proxy_id, x.sealed_url as sealed_proxy
from provider_key as k join provider as p on p.id = k.provider_id
cross join lateral key_route(k.id, k.proxy_id, false, now()) as w left join proxy as x on x.id = w.via
left join fund as f on f.provider_id = k.provider_id and f.name = coalesce(nullif(k.account_group, ''), 'key ' || k.id)
where p.active and p.kind = any($1::text[]) and k.state in ('active', 'cooldown', 'out_of_funds') and w.shut is null
    and (f.id is null or f.source = 'entered' or f.counted_to < now() - make_interval(secs => $2))
order by k.provider_id, coalesce(nullif(k.account_group, ''), 'key ' || k.id), k.state, k.id
"""


async def due(db: Db, kinds: Sequence[str]) -> list[Probe]:
    """One key of each account that these kinds of painters could be asked about, with its way."""
    return [Probe(**row) for row in await db.fetch(DUE, kinds, FRESH)]


KINDS = "select distinct p.kind from provider as p join provider_key as k on k.provider_id = p.id where p.active"


async def kinds(db: Db) -> list[str]:
    """The kinds of painters that have keys."""
    return [row["kind"] for row in await db.fetch(KINDS)]
