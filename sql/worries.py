"""Worries: what about the pool an operator should know before users notice. Reading only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from limner.runtime.database import Db

DEAD_AFTER = 3
"""Failures in a row after which a proxy counts as dead, unless a rule says otherwise."""
EVERYDAY = 60.0
"""Seconds of rest that nobody need be told of: the same."""


@dataclass(frozen=True)
class Cooled:
    """A model that nobody can paint for a while. ``back``: when the first key could, when that is known."""

    id: str
    name: str
    provider: str
    back: datetime | None


# Keys that an operator took out do not count, and when all the others have fallen out each was told by itself. A minute's
# rest is everyday.
COOLED = """
select m.id, m.name, p.code as provider, min(v.until) filter (where v.comes_back) as back
from model as m join provider as p on p.id = m.provider_id
cross join lateral key_verdicts(p.id, m.id, '{}', null, now()) as v
join provider_key as k on k.id = v.key_id
where m.active and p.active and (m.retires_at is null or m.retires_at > now()) and not k.by_hand
group by m.id, m.name, p.code
having bool_and(
    coalesce(v.verdict, 'free') in ('disabled', 'manual_review', 'out_of_funds', 'proxy_disabled')
    or coalesce(v.verdict, 'free') in ('rests', 'rests_for_model', 'group_rests', 'proxy_rests', 'region_blocked')
        and v.until > now() + make_interval(secs => $1)
) and bool_or(v.verdict not in ('disabled', 'manual_review', 'out_of_funds'))
order by m.id
"""


async def cooled(db: Db, seconds: float = EVERYDAY) -> list[Cooled]:
    """Those that nobody can paint for more than so many seconds."""
    return [Cooled(**row) for row in await db.fetch(COOLED, seconds)]


@dataclass(frozen=True)
class DeadProxy:
    id: int
    label: str
    why: str
    keys: int


DEAD = """
select x.id, x.label, x.why, (select count(*) from provider_key as k where k.proxy_id = x.id) as keys
from proxy as x where x.state = 'cooldown' and x.failures >= $1 and x.retired_at is null order by x.id
"""


async def dead_proxies(db: Db, failures: int = DEAD_AFTER) -> list[DeadProxy]:
    """Those that failed at least so many times in a row."""
    return [DeadProxy(**row) for row in await db.fetch(DEAD, failures)]


@dataclass(frozen=True)
class Retiring:
    """A model whose end is near; ``replacement`` paints what is asked of it from then on."""

    id: str
    name: str
    retires_at: datetime
    replacement: str | None


RETIRING = """
select m.id, m.name, m.retires_at, m.replacement from model as m join provider as p on p.id = m.provider_id
where m.active and p.active and m.retires_at between now() and now() + make_interval(secs => $1::float8 * 86400)
    and exists (select from provider_key as k where k.provider_id = p.id)
order by m.retires_at
"""


async def retiring(db: Db, days: float) -> list[Retiring]:
    """Those whose end is at most so many days away."""
    return [Retiring(**row) for row in await db.fetch(RETIRING, days)]


@dataclass(frozen=True)
class LostKey:
    """A key that paints no more until somebody acts. ``by_hand``: an admin took it out."""

    id: int
    provider: str
    label: str
    last_four: str
    state: str
    why: str
    by_hand: bool


LOST_KEYS = """
select k.id, p.code as provider, k.label, k.last_four, k.state, k.why, k.by_hand
from provider_key as k join provider as p on p.id = k.provider_id
where k.state in ('out_of_funds', 'manual_review', 'disabled')
    and exists (select from key_event as v where v.key_id = k.id and v.state_after = k.state)
order by k.id
"""


async def lost_keys(db: Db) -> list[LostKey]:
    return [LostKey(**row) for row in await db.fetch(LOST_KEYS)]
