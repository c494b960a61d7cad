"""Programs: one comes in with its token to order, and hears the terms of what it wants, or orders it, in the same statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import asyncpg

from limner.runtime import mailbox
from limner.runtime.database import Database, Db
from limner.runtime.errors import LimnerError
from limner.sql import generations, terms, tokens
from limner.sql.generations import Order, PaintPicture
from limner.sql.terms import Offer
from limner.sql.tokens import Token

# V0026 has the function. Whoever comes in with others locks in the order of the accounts.
ENTER = f"""
with asked as materialized (
    select t.*
    from unnest((select $1::bytea[]), (select $2::text[]), (select $4::text[])) with ordinality as t (hash, ip, model_id, place)
    order by (select k.account_id from api_token as k where k.token_hash = t.hash)
)
select asked.place, e.id, e.account_id, e.email, e.scopes, e.models, e.networks, e.left_over as left, e.held,
    t.is_open, t.paused_at, t.plan, t.model
from asked
cross join lateral token_enter(asked.hash, asked.ip, $3) as e
cross join lateral {terms.OFFER.replace("asked.account_id", "e.account_id")} as t
"""
Wanted = tuple[bytes, str, float, str]
"""A token's hash, the address, the requests of a minute, and a model."""
FIELDS = [field.name for field in fields(Token)]


async def enter(db: Db, token: str, *, ip: str, per_minute: int, model_id: str) -> tuple[Token, Offer] | None:
    """As ``tokens.find`` for a request that counts, with what its account may order of this model."""
    if not tokens.SHAPE.fullmatch(token):
        return None
    return await db.together(_entered, (tokens.hashed(token), ip[:64], float(per_minute), model_id))


async def _entered(db: Db, asked: Sequence[Wanted]) -> list[tuple[Token, Offer] | None]:
    hashes, addresses, (per_minute, *_), models = zip(*asked, strict=True)
    found: list[tuple[Token, Offer] | None] = [None] * len(asked)
    for row in await db.fetch(ENTER, hashes, addresses, per_minute, models):
        found[row["place"] - 1] = _token(row), row
    return found


SCOPE = "images:write"

# ENTER, and for whom nothing is unusual (a token without models or networks of its own, a plan that is open and has all
# models, a size that the model has) the order in the books, as generations.PLACE does it; these need their terms no more.
# A row without a generation_id has come in and not ordered. No row: it is no token. Raises what orders_place raises: then
# nobody has come in either. The counts of requests stay locked while orders_place waits for the balances.
ORDER = f"""
with asked as materialized (
    select t.item, t.place, decode(t.item ->> 'token_hash', 'hex') as hash
    from jsonb_array_elements((select $1::jsonb)) with ordinality as t (item, place)
    order by (select k.account_id from api_token as k where k.token_hash = decode(t.item ->> 'token_hash', 'hex'))
),
entered as materialized (
    select asked.place, asked.item, e.*, t.is_open, t.paused_at, t.plan, t.model
    from asked
    cross join lateral token_enter(asked.hash, asked.item ->> 'ip', $2) as e
    cross join lateral {
    terms.OFFER.replace("asked.account_id", "e.account_id").replace("asked.model_id", "asked.item ->> 'model_id'")
} as t
),
ready as materialized (
    select jsonb_agg(e.item || jsonb_build_object(
        'account_id', e.account_id, 'api_token_id', e.id, 'credits', e.model -> 'credits',
        'deadline', least((e.item ->> 'deadline')::float8, (e.plan ->> 'longest_wait_seconds')::float8),
        'concurrency', e.plan -> 'concurrency', 'priority', e.plan -> 'priority', 'plan_id', e.plan -> 'id',
        'plan_cents', e.plan -> 'price_cents', 'plan_currency', e.plan -> 'price_currency',
        'plan_credits', e.plan -> 'credits_per_cycle'
    ) order by e.account_id, e.place) as items
    from entered as e
    where e.left_over is not null and '{SCOPE}' = any(e.scopes) and e.models is null and e.networks is null
        and e.is_open and e.plan -> 'allowed_models' = 'null'
        and e.model -> 'sizes' ? ((e.item ->> 'width') || 'x' || (e.item ->> 'height'))
        and (select b.available from balance as b where b.account_id = e.account_id)
            >= (e.item ->> 'count')::bigint * (e.model ->> 'credits')::bigint
),
placed as materialized (
    select o.id from ready cross join lateral orders_place(ready.items) as o where ready.items is not null
),
quickly as materialized (
    select pg_notify($3, $4), set_config('synchronous_commit', 'off', true) where exists (select from placed)
)
select e.place, e.id, e.account_id, e.email, e.scopes, e.models, e.networks, e.left_over as left, e.held,
    e.is_open, e.paused_at, p.id as generation_id,
    case when p.id is null then e.plan end as plan, case when p.id is null then e.model end as model
from entered as e left join placed as p on p.id = (e.item ->> 'id')::uuid left join quickly on true
"""


class RefusedByTheBooks(LimnerError):
    """One of the schema's rules is in the way; who asks step by step hears which. The request has not counted."""


@dataclass(frozen=True)
class Entry:
    """A program that has come in. ``generation_id``: its order, in the books already; else the ``offer`` tells the terms."""

    token: Token
    offer: Offer
    generation_id: UUID | None


async def order(db: Database, token: str, asked: Order, *, ip: str, per_minute: int, deadline: int) -> Entry | None:
    """``enter``, and ``generations.order`` with ``hardens`` False where nothing is unusual. None: it is no token.

    ``asked``: checked, without references or a name of its own; its account is the token's. ``deadline``: seconds.
    Raises RefusedByTheBooks.
    """
    item = generations.as_item(asked, deadline) | {"token_hash": tokens.hashed(token).hex(), "ip": ip[:64]}
    try:
        found: Entry | None = await db.together(_ordered, (item, float(per_minute)))
    except asyncpg.IntegrityConstraintViolationError as error:
        raise RefusedByTheBooks(error.constraint_name) from error
    if found is not None and found.generation_id is not None:
        generations.taken(db, asked, found.generation_id)
    return found


async def _ordered(db: Db, asked: Sequence[tuple[dict[str, Any], float]]) -> list[Entry | None]:
    items, (per_minute, *_) = zip(*asked, strict=True)
    found: list[Entry | None] = [None] * len(asked)
    for row in await db.fetch(ORDER, items, per_minute, mailbox.SENT, PaintPicture.mailbox):
        found[row["place"] - 1] = Entry(_token(row), row, row["generation_id"])
    return found


def _token(row: asyncpg.Record) -> Token:
    return Token(*[row[name] for name in FIELDS])
