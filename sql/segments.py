"""Segments: to which people a broadcast goes. Nobody who is banned, deleted, not confirmed, or wants none of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from limner.runtime.database import Db
from limner.sql.subscriptions import PLAN, RUNS

NAMES = {
    "all": "everybody",
    "running": "with a plan that runs",
    "without": "without a plan that runs",
    "plan": "with a certain plan",
    "never": "never ordered a picture",
    "lapsed": "paid before, and nothing runs now",
}
"""What each is called; all of them are people whose address is confirmed."""

WHY_NOT = """
case when a.deleted_at is not null then 'deleted' when a.banned_at is not null then 'banned'
    when a.verified_at is null then 'not confirmed' when a.news_stopped_at is not null then 'wants none' else '' end
"""
"""Of an account ``a``: why it gets no broadcast; empty: it may."""
ASKED = f"select {WHY_NOT} from account as a where a.id = $1"
OF_CHAT = f"""
select {WHY_NOT} from linked_sign_in as l join account as a on a.id = l.account_id
where l.issuer = 'telegram' and l.subject = $1
"""


async def why_not(db: Db, account_id: UUID) -> str:
    """Why an account gets no broadcast, at this moment; empty: it may."""
    why = await db.fetchval(ASKED, account_id)
    return "deleted" if why is None else str(why)


async def why_not_chat(db: Db, chat: str) -> str:
    """The same of whoever is behind a Telegram chat."""
    why = await db.fetchval(OF_CHAT, chat)
    return "not linked any more" if why is None else str(why)


RUNNING = f"exists (select from subscription as s where s.account_id = a.id and {RUNS})"
PAID = "exists (select from invoice as i where i.account_id = a.id and i.state = 'paid' and i.purpose in ('plan', 'renewal'))"
IS_IN = f"""
{WHY_NOT} = '' and case $1::text when 'all' then true when 'running' then {RUNNING} when 'without' then not {RUNNING}
    when 'plan' then exists (select from subscription as s where s.account_id = a.id and {RUNS} and {PLAN} = $2::bigint)
    when 'never' then not exists (select from generation as g where g.account_id = a.id)
    when 'lapsed' then {PAID} and not {RUNNING} else false end
"""
"""Of an account ``a``: whether it is in segment $1, of the plan $2."""

COUNT = f"""
select count(*)::int as people, count(l.account_id)::int as by_telegram from account as a
left join linked_sign_in as l on l.account_id = a.id and l.issuer = 'telegram' where {IS_IN}
"""


async def count(db: Db, segment: str, plan_id: int | None) -> tuple[int, int]:
    """How many people are in it now, and how many of them have linked Telegram."""
    row: Any = await db.fetchrow(COUNT, segment, plan_id)
    return row["people"], row["by_telegram"]
