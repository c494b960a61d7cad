"""Tokens: what lets a program order in somebody's name, within caps that its owner set. Never wider than the owner."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused, TooMany
from limner.sql import audit
from limner.sql.accounts import Account

SCOPES = ("images:write", "images:read", "models:read")
MOST = 50
"""Living tokens of one account."""
SHAPE = re.compile(r"lim_[A-Za-z0-9_-]{43}")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CapReached(Refused):
    """The token's own cap is in the way; the plan may have more."""

    status = 402


@dataclass(frozen=True)
class Caps:
    """What a token may do. None is no cap but the plan's own."""

    scopes: tuple[str, ...] = SCOPES
    credits_per_day: int | None = None
    credits_per_month: int | None = None
    models: tuple[str, ...] | None = None
    networks: tuple[Network, ...] | None = None
    expires_at: datetime | None = None

    def check(self) -> None:
        """Raises Refused, naming the field and the value."""
        if not self.scopes:
            raise Refused("Choose at least one thing that it may do.", field="scopes")
        for scope in self.scopes:
            if scope not in SCOPES:
                raise Refused(f"There is no scope {scope[:40]!r}: it is one of {', '.join(SCOPES)}.", field="scopes")
        for name in ("credits_per_day", "credits_per_month"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 10**9:
                raise Refused(f"From 1 to {10**9:,} credits, not {value}.", field=name)
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            raise Refused(f"{self.expires_at:%Y-%m-%d} is over.", field="expires")


def networks(text: str) -> tuple[Network, ...] | None:
    """From "203.0.113.7, 2001:db8::/32"; None for nothing. Raises Refused."""
    found = []
    for part in re.split(r"[\s,]+", text.strip()):
        try:
            found += [ipaddress.ip_network(part, strict=False)] if part else []
        except ValueError:
            raise Refused(f"{part[:60]!r} is no address and no network.", field="networks") from None
    if len(found) > 50:
        raise Refused(f"At most 50 networks, not {len(found)}.", field="networks")
    return tuple(found) or None


CREATE = """
insert into api_token (
    account_id, name, token_hash, last_four, scopes, credits_per_day, credits_per_month, models, networks, expires_at
)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
where (select count(*) from api_token where account_id = $1 and revoked_at is null) < $11
returning id
"""


async def create(db: Db, owner: Account, name: str, caps: Caps, *, actor: str, ip: str = "") -> str:
    """A new token: 256 random bits behind "lim_", to be shown once; only the hash is kept. Raises Refused."""
    caps.check()
    if not 1 <= len(name) <= 80:
        raise Refused(f"A name has 1 to 80 characters, not {len(name)}.", field="name")
    await _exist(db, caps.models or ())
    token = f"lim_{secrets.token_urlsafe(32)}"
    async with db.transaction() as tx:
        token_id = await tx.fetchval(
            CREATE, owner.id, name, hashed(token), token[-4:], list(caps.scopes), caps.credits_per_day,
            caps.credits_per_month, caps.models and list(caps.models), caps.networks and list(caps.networks),
            caps.expires_at, MOST,
        )  # fmt: skip
        if token_id is None:
            raise Refused(f"At most {MOST} tokens; revoke one that is not used any more.", field="name")
        about = {"scopes": list(caps.scopes), "last_four": token[-4:]}
        await audit.record(tx, actor, "token.create", f"{owner.email} {token_id}", None, about, ip=ip)
    return token


async def _exist(db: Db, models: Sequence[str]) -> None:
    known = {row["id"] for row in await db.fetch("select id from model where id = any($1::text[])", list(models))}
    for model in models:
        if model not in known:
            raise Refused(f"There is no model {model[:80]!r}.", field="models")


@dataclass(frozen=True)
class Token:
    """A living token, as a request finds it. ``left`` of its account's requests, a fraction too; None: too many."""

    id: UUID
    account_id: UUID
    email: str
    scopes: list[str]
    models: list[str] | None
    networks: list[Network] | None
    left: float | None
    held: int

    def allows_address(self, address: str) -> bool:
        if self.networks is None:
            return True
        try:
            found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)

    def allows_model(self, model_id: str) -> bool:
        return self.models is None or model_id in self.models


LOOK = """
with token as (
    select t.id, t.account_id, a.email, t.scopes, t.models, t.networks,
        t.last_used_at is null or t.last_used_at < now() - interval '1 minute' as is_stale
    from api_token as t join account as a on a.id = t.account_id
    where t.token_hash = $1 and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
        and a.banned_at is null
),
used as (
    update api_token as t set last_used_at = now(), last_used_ip = $2
    from token where t.id = token.id and token.is_stale
)
select token.id, token.account_id, token.email, token.scopes, token.models, token.networks,
    least($3::float8, coalesce(r.left_over + extract(epoch from now() - r.touched_at) * $3::float8 / 60, $3)) as left,
    0::bigint as held
from token left join api_rate as r on r.account_id = token.account_id
"""
# V0026 has the function. Whoever comes in with others locks in the order of the accounts.
ENTER = """
with asked as materialized (
    select t.* from unnest($1::bytea[], $2::text[]) with ordinality as t (hash, ip, place)
    order by (select k.account_id from api_token as k where k.token_hash = t.hash)
)
select asked.place, e.id, e.account_id, e.email, e.scopes, e.models, e.networks, e.left_over as left, e.held
from asked cross join lateral token_enter(asked.hash, asked.ip, $3) as e
"""


async def find(db: Db, token: str, *, ip: str, per_minute: int, takes: bool) -> Token | None:
    """The living token; None when it is none, ended, was revoked, or its owner was banned.

    ``takes``: the request counts; else it only learns how many of ``per_minute`` are left.
    """
    if not SHAPE.fullmatch(token):
        return None
    if takes:
        return await db.together(_entered, (hashed(token), ip[:64], float(per_minute)))
    row = await db.fetchrow(LOOK, hashed(token), ip[:64], float(per_minute))
    return None if row is None else Token(**row)


async def _entered(db: Db, asked: Sequence[tuple[bytes, str, float]]) -> list[Token | None]:
    hashes, addresses, (per_minute, *_) = zip(*asked, strict=True)
    found: list[Token | None] = [None] * len(asked)
    for row in await db.fetch(ENTER, hashes, addresses, per_minute):
        fields = dict(row)
        place = fields.pop("place") - 1
        found[place] = Token(**fields)
    return found


QUEUED = "select count(*) from job where account_id = $1 and state in ('queued', 'running')"


async def unfinished(db: Db, account_id: UUID) -> int:
    """How many pictures of this account are not done yet."""
    return await db.fetchval(QUEUED, account_id)  # type: ignore[no-any-return]


class QueueFull(TooMany):
    """The account has too many unfinished pictures."""


REFUSALS = {
    "api_token_day": "This token has spent what it may spend in a day.",
    "api_token_month": "This token has spent what it may spend in a month.",
}


@contextmanager
def capped() -> Iterator[None]:
    """Around an order: the schema has the last word on a token's credits and the queue. Raises CapReached and QueueFull."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "account_queue":
            raise QueueFull("This account has as many pictures under way as it may have.", after=5) from error
        if error.constraint_name not in REFUSALS:
            raise
        raise CapReached(REFUSALS[error.constraint_name], code=error.constraint_name) from error


@dataclass(frozen=True)
class Listed:
    """A token as its owner sees it; never the token itself."""

    id: UUID
    name: str
    last_four: str
    scopes: list[str]
    credits_per_day: int | None
    credits_per_month: int | None
    models: list[str] | None
    networks: list[Network] | None
    expires_at: datetime | None
    is_expired: bool
    last_used_at: datetime | None
    last_used_ip: str
    created_at: datetime
    revoked_at: datetime | None
    spent_today: int
    spent_this_month: int

    @property
    def state(self) -> str:
        return "revoked" if self.revoked_at else "expired" if self.is_expired else "active"


LIST = """
select t.id, t.name, t.last_four, t.scopes, t.credits_per_day, t.credits_per_month, t.models, t.networks, t.expires_at,
    t.expires_at is not null and t.expires_at <= now() as is_expired, t.last_used_at, t.last_used_ip, t.created_at,
    t.revoked_at, u.today as spent_today, u.month as spent_this_month
from api_token as t cross join lateral (
    select coalesce(sum(credits) filter (where day = (now() at time zone 'utc')::date), 0)::bigint as today,
        coalesce(sum(credits), 0)::bigint as month
    from api_token_use where token_id = t.id and day >= date_trunc('month', now() at time zone 'utc')::date
) as u
where t.account_id = $1 and (t.revoked_at is null or t.revoked_at > now() - interval '30 days')
order by t.revoked_at is not null, t.created_at desc limit 100
"""


async def of_account(db: Db, account_id: UUID) -> list[Listed]:
    """The living ones first, newest first; those revoked in the last month after them."""
    return [Listed(**row) for row in await db.fetch(LIST, account_id)]


REVOKE = """
update api_token as t set revoked_at = now() from account as a
where t.id = $1 and a.id = t.account_id and ($2::uuid is null or t.account_id = $2) and t.revoked_at is null
returning a.email, t.name, t.last_four
"""


async def revoke(db: Db, token_id: UUID, *, owner: UUID | None, actor: str, ip: str = "") -> str:
    """At once and for ever; ``owner`` None: whoever's it is. Returns its name. Raises NotFound."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(REVOKE, token_id, owner)
        if row is None:
            raise NotFound("There is no such token, or it is revoked already.")
        about = {"last_four": row["last_four"]}
        await audit.record(tx, actor, "token.revoke", f"{row['email']} {token_id}", about, None, ip=ip)
        return row["name"]  # type: ignore[no-any-return]


FORGET = "delete from api_rate where touched_at < now() - interval '1 hour'"


async def forget_rates(db: Db) -> int:
    return affected(await db.execute(FORGET))


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
