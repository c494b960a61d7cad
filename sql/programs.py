"""Programs: one comes in with its token to order, and hears the terms of what it wants in the same statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from limner.runtime.database import Db
from limner.sql import terms, tokens
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
        found[row["place"] - 1] = Token(*[row[name] for name in FIELDS]), row
    return found
