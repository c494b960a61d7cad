"""People: accounts as admins look through them, by address, state, role, plan and day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import holders, lists, subscriptions

STATES = ("active", "paused", "no_plan", "waiting", "unconfirmed", "banned", "deleted")
"""active: may order right now; no_plan: also whose plan has run out; waiting: chose a plan and has yet to pay for it."""
SORTS = ("newest", "oldest", "email")


@dataclass(frozen=True)
class Person:
    """``state`` and ``plan``: of the subscription as it is this very moment, whether or not the steward has been there."""

    id: UUID
    email: str
    email_key: str
    role: str
    locale: str
    verified_at: datetime | None
    banned_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    available: int
    held: int
    spent: int
    state: str | None
    plan: str | None
    period_end: datetime | None


ASKED = f"""
from account as a
where ($1 = '' or a.email_key like lower($1)) and ($2::uuid is null or a.id = $2) and ($3 = '' or a.role = $3)
    and case $4
        when '' then true
        when 'active' then a.id = any(array(select s.account_id from subscription as s where {subscriptions.IS_OPEN}))
        when 'paused' then a.id = any(array(
            select s.account_id from subscription as s where {subscriptions.RUNS} and s.paused_at is not null
        ))
        when 'waiting' then a.id = any(array(
            select s.account_id from subscription as s where s.state = 'pending_activation'
        ))
        when 'no_plan' then not exists (
            select from subscription as s
            where s.account_id = a.id and {subscriptions.LIVES} and (s.state = 'pending_activation' or {subscriptions.RUNS})
        )
        when 'unconfirmed' then a.verified_at is null and a.deleted_at is null
        when 'banned' then a.banned_at is not null and a.deleted_at is null
        when 'deleted' then a.deleted_at is not null
    end
    and ($5 = '' or a.id = any(array(
        select s.account_id from subscription as s join plan as p on p.id = {subscriptions.PLAN}
        where p.code = $5 and {subscriptions.LIVES}
    )))
    and ($6::timestamptz is null or a.created_at >= $6) and ($7::timestamptz is null or a.created_at < $7)
"""
WHO = "a.id, a.email, a.email_key, a.role, a.locale, a.verified_at, a.banned_at, a.deleted_at, a.created_at"
MORE = f"""
page.*, coalesce(b.available, 0) as available, coalesce(b.held, 0) as held, coalesce(b.spent, 0) as spent,
    {holders.STATE} as state, p.name as plan, s.period_end
from page left join balance as b on b.account_id = page.id
left join subscription as s on s.account_id = page.id and {subscriptions.LIVES}
left join plan as p on p.id = {subscriptions.PLAN}
"""
NEWEST = f"""
with page as (
    select {WHO} {ASKED} and ($8::timestamptz is null or (a.created_at, a.id) < ($8, $9::uuid))
    order by a.created_at desc, a.id desc limit $10
)
select {MORE} order by page.created_at desc, page.id desc
"""
OLDEST = f"""
with page as (
    select {WHO} {ASKED} and ($8::timestamptz is null or (a.created_at, a.id) > ($8, $9::uuid))
    order by a.created_at, a.id limit $10
)
select {MORE} order by page.created_at, page.id
"""
BY_EMAIL = f"""
with page as (
    select {WHO} {ASKED} and a.email_key > $8 order by a.email_key limit $9
)
select {MORE} order by page.email_key
"""


@dataclass(frozen=True)
class Sought:
    """Whom to show; what is empty hides nobody. ``id`` is that of an account."""

    text: str = ""
    id: UUID | None = None
    role: str = ""
    state: str = ""
    plan: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def arguments(self) -> tuple[object, ...]:
        return lists.part(self.text), self.id, self.role, self.state, self.plan, self.since, self.until


Place = tuple[datetime | None, UUID | None]
NOWHERE: Place = (None, None)


async def newest(db: Db, sought: Sought, before: Place = NOWHERE, count: int = 50) -> list[Person]:
    return [Person(**row) for row in await lists.read(db, NEWEST, *sought.arguments, *before, count)]


async def oldest(db: Db, sought: Sought, after: Place = NOWHERE, count: int = 50) -> list[Person]:
    return [Person(**row) for row in await lists.read(db, OLDEST, *sought.arguments, *after, count)]


async def by_email(db: Db, sought: Sought, after: str = "", count: int = 50) -> list[Person]:
    """``after``: the address, in small letters, behind which the page begins."""
    return [Person(**row) for row in await lists.read(db, BY_EMAIL, *sought.arguments, after, count)]
