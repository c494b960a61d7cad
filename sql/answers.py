"""Answers: how an order stands, its pictures, and why one did not come. Reading only, for programs that ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.sql import subscriptions, usages
from limner.sql.generations import Value
from limner.sql.takedowns import TakenDown
from limner.sql.tokens import Token
from limner.sql.usages import Usage


@dataclass(frozen=True)
class Answer:
    """One picture of an order. ``credits``: what it costs, 0 once they were given back.

    ``image_id`` and what follows are None until it is delivered, and once it is deleted. ``waits_until``: no painter is free
    before. ``fault``: the class of the last attempt's failure, of a picture that failed; ``param`` and ``categories``: the
    parameter and the content rules that its upstream named. ``takedown``: why it is not to be seen. ``usage``: what the
    upstream told of it.
    """

    job_id: UUID
    state: str
    reason: str
    credits: int
    fault: str | None
    param: str | None
    categories: list[str] | None
    takedown: str | None
    waits_until: datetime | None
    image_id: UUID | None
    storage_key: str | None
    mime: str | None
    width: int | None
    height: int | None
    usage: Usage | None


@dataclass(frozen=True)
class Order:
    """A whole order, with an answer for each picture in its place. ``is_heard``: whoever asks is still let in."""

    id: UUID
    state: str
    model_id: str
    width: int
    height: int
    parameters: dict[str, Value]
    is_edit: bool
    created_at: datetime
    changed_at: datetime
    is_heard: bool
    answers: list[Answer]

    @property
    def is_over(self) -> bool:
        return self.state in ("delivered", "failed", "canceled")

    @property
    def delivered(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.image_id is not None]


# One plan for ever, since to plan it takes longer than to run it: "(select $1)" hides how many there are this time. And an
# index for each order, also while the tables are new and nothing is known of them: hence "lateral" and "offset 0".
ORDERS = """
select asked.place, o.*
from unnest((select $1::uuid[]), (select $2::uuid[]), (select $3::uuid[]))
    with ordinality as asked (generation_id, account_id, token_id, place)
cross join lateral (
    select g.id, g.state as order_state, g.model_id, g.width as asked_width, g.height as asked_height, g.parameters,
        exists (select from generation_reference as r where r.generation_id = g.id) as is_edit,
        g.created_at, g.changed_at, j.id as job_id, j.state, j.reason, j.position,
        case when j.state = 'queued' then j.waits_until end as waits_until,
        case when j.state = 'delivered' and i.id is null and exists (
            select from ledger_entry as e where e.job_id = j.id and e.kind = 'refund'
        ) then 0 else j.credits end as credits,
        case when j.state = 'failed' then (
            select a.fault from attempt as a where a.job_id = j.id and a.fault <> 'cancelled' order by a.number desc limit 1
        ) end as fault,
        case when j.state = 'failed' then (
            select a.param from attempt as a where a.job_id = j.id and a.fault <> 'cancelled' order by a.number desc limit 1
        ) end as param,
        case when j.state = 'failed' then (
            select a.categories from attempt as a where a.job_id = j.id and a.fault <> 'cancelled'
            order by a.number desc limit 1
        ) end as categories,
        case when d.deleted_at is null and d.taken_down_at is not null then (
            select t.reason from takedown as t where t.image_id = d.id and t.restored_at is null
        ) end as takedown,
        i.id as image_id, i.storage_key, i.mime, i.width, i.height, i.usage,
        exists (
            select from (
                select account_id from api_token as t
                where t.id = asked.token_id and t.revoked_at is null and (t.expires_at is null or t.expires_at > now()) offset 0
            ) as t
            where (select a.banned_at is null from account as a where a.id = t.account_id)
        ) as is_heard
    from (select * from generation where id = asked.generation_id offset 0) as g
    cross join lateral (select * from job where generation_id = g.id offset 0) as j
    left join lateral (select * from image where job_id = j.id offset 0) as d on true
    left join lateral (select d.id, d.storage_key, d.mime, d.width, d.height, d.usage) as i
        on d.deleted_at is null and d.taken_down_at is null
    where g.account_id = asked.account_id
    order by j.position
) as o
order by asked.place, o.position
"""
Wanted = tuple[UUID, UUID, UUID]
"""A generation, an account and a token of it."""


async def order(db: Db, generation_id: UUID, token: Token) -> Order:
    """An order of the token's account. Raises NotFound, for a stranger's as for none."""
    found = await db.together(_orders, (generation_id, token.account_id, token.id))
    if found is None:
        raise NotFound
    return found


async def _orders(db: Db, wanted: Sequence[Wanted]) -> list[Order | None]:
    rows: list[list[Any]] = [[] for _ in wanted]
    for row in await db.fetch(ORDERS, *zip(*wanted, strict=True)):
        rows[row["place"] - 1].append(row)
    return [_order(each) if each else None for each in rows]


def _order(rows: Sequence[Any]) -> Order:
    first = rows[0]
    return Order(
        first["id"],
        first["order_state"],
        first["model_id"],
        first["asked_width"],
        first["asked_height"],
        first["parameters"],
        first["is_edit"],
        first["created_at"],
        first["changed_at"],
        first["is_heard"],
        [_answer(row) for row in rows],
    )


def _answer(row: Any) -> Answer:
    fields = {name: row[name] for name in Answer.__dataclass_fields__}
    return Answer(**fields | {"usage": usages.kept(fields["usage"])})


GOOD_FOR = timedelta(seconds=5)
"""How long what was told is believed: a process that stood still asks whether the token is still alive."""
Told = dict[str, Any]
"""An order of one picture, just delivered, by the names of ORDERS; and the ``token_id`` that it was ordered with."""
DELIVERED: Told = {"order_state": "delivered", "state": "delivered", "reason": ""} | dict.fromkeys(
    ("fault", "param", "categories", "takedown", "waits_until")
)


def heard(text: str, token_id: UUID) -> Order | None:
    """The order that was told (``Told`` as JSON), as ``order`` finds it for this token.

    None when it is another's, when it was told too long ago for its verdicts to hold, or by a release that tells it otherwise.
    """
    try:
        row = DELIVERED | orjson.loads(text)
        if row["token_id"] != str(token_id):
            return None
        for name in ("id", "job_id", "image_id"):
            row[name] = UUID(row[name])
        for name in ("created_at", "changed_at"):
            row[name] = datetime.fromisoformat(row[name])
        order = _order([row])
    except (KeyError, TypeError, ValueError):
        return None
    return order if datetime.now(UTC) - order.changed_at < GOOD_FOR else None


@dataclass(frozen=True)
class Partial:
    """An unfinished picture; ``number`` counts from 0."""

    job_id: UUID
    number: int
    mime: str
    data: bytes


PARTIALS = """
select p.job_id, p.number, p.mime, p.data from partial as p join job as j on j.id = p.job_id
where j.generation_id = $1 and not (p.job_id::text || ' ' || p.number) = any ($2::text[])
order by p.created_at, p.number
"""


async def partials(db: Db, generation_id: UUID, seen: Sequence[tuple[UUID, int]]) -> list[Partial]:
    """Those that were not seen yet, oldest first."""
    named = [f"{job} {number}" for job, number in seen]
    return [Partial(**row) for row in await db.fetch(PARTIALS, generation_id, named)]


@dataclass(frozen=True)
class File:
    storage_key: str
    mime: str
    sha256: str


FILE = """
select i.storage_key, i.mime, i.sha256, i.taken_down_at is not null as is_down
from image as i join account as a on a.id = i.account_id
where i.id = $1 and i.deleted_at is null and a.banned_at is null
"""


async def file(db: Db, image_id: UUID) -> File:
    """A picture whose link somebody holds. Raises NotFound when it is deleted, or its owner banned; TakenDown."""
    row = await db.fetchrow(FILE, image_id)
    if row is None:
        raise NotFound
    if row["is_down"]:
        raise TakenDown
    return File(row["storage_key"], row["mime"], row["sha256"])


BORN = "select id, extract(epoch from created_at)::bigint as born from model"


async def born(db: Db) -> dict[str, int]:
    """When each model came into the catalogue, as Unix time."""
    return {row["id"]: row["born"] for row in await db.fetch(BORN)}


ALLOWED = f"""
select p.allowed_models from subscription as s join plan as p on p.id = {subscriptions.PLAN}
where s.account_id = $1 and {subscriptions.IS_OPEN}
"""


async def allowed_models(db: Db, account_id: UUID) -> list[str] | None:
    """The models of somebody's plan; None: all of them."""
    return await db.fetchval(ALLOWED, account_id)  # type: ignore[no-any-return]
