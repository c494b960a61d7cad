"""Key events: what happened to each key, with its cause. The database writes them down itself (V0005, V0014, V0044)."""

from __future__ import annotations

from typing import Any

from limner.runtime.database import Db, affected

KEPT = "180 days"

# Key by key: from the newest of all backwards a quiet one would be looked for among everybody's.
EVENTS = """
select e.created_at, e.key_id, k.label, k.last_four as last4, e.model_id, e.state_before, e.state_after, e.cause
from provider_key as k
cross join lateral (select * from key_event where key_id = k.id order by id desc limit $3) as e
where ($1::bigint is null or k.id = $1) and ($2::bigint is null or k.provider_id = $2)
order by e.id desc limit $3
"""


async def events(
    db: Db, key_id: int | None = None, count: int = 50, *, provider_id: int | None = None
) -> list[dict[str, Any]]:
    """What happened to a key, to those of a provider, or to all of them, the newest first."""
    return [dict(row) for row in await db.fetch(EVENTS, key_id, provider_id, count)]


# The oldest ones lie at the beginning; among them stay as many as there are keys: how each came to the state that it is in.
FORGET = f"""
delete from key_event where id in (
    select e.id from (select * from key_event order by id limit 5000 + (select count(*) from provider_key)) as e
    join provider_key as k on k.id = e.key_id
    where e.created_at < now() - interval '{KEPT}' and e.id is distinct from (
        select v.id from key_event as v where v.key_id = k.id and v.model_id is null and v.state_after = k.state
        order by v.id desc limit 1
    )
)
"""


async def forget_old(db: Db) -> int:
    """Those of half a year ago, but for each key's last change to its present state. Returns how many went."""
    return affected(await db.execute(FORGET))
