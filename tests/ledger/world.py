"""The same account on the real database: each act through the functions that pages, workers and the cashier call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from limner.runtime.database import Database
from limner.runtime.errors import FenceLost, Refused
from limner.runtime.mailbox import Fence
from limner.sql import accounts, generations, invoices, jobs, ledger, lost_jobs
from limner.sql.generations import Order
from limner.sql.jobs import Job, Painted
from limner.sql.models import Size
from tests.ledger.model import CYCLE, PRICE, Act, Model

INVOICES = 3
DAY = 86400
PLAN = """
insert into plan (code, name, price_cents, credits_per_cycle, longest_wait_seconds, credits_per_month)
select $1, $1, 999, $2, $3, $4 on conflict (code) do update set name = excluded.name returning id
"""
SUBSCRIBE = """
insert into subscription (account_id, plan_id, state, anchored_at, cycles, period_start, period_end, cycle_credits)
values ($1, $2, 'active', now(), 1, now(), now() + interval '1 month', $3)
"""
INVOICE = """
insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, expires_at)
values ($1, $2, 'sandbox', 999, 'USD', $3, now() + interval '1 hour') returning id
"""
EXPIRE = (
    "update subscription set period_end = clock_timestamp(), state = 'expired'"
    " where account_id = $1 and state = 'active' and period_end > clock_timestamp()"
)
TAKE = """
update message set state = 1, owner = $2, attempts = attempts + 1, claimed_at = now()
where mailbox = 'painting' and key = 'job ' || $1 returning id, attempts
"""
LOSE = "update job set deadline = now() - interval '1 second' where id = $1"
LOSE_ALL = (
    "update job set deadline = now() - interval '1 second' where account_id = $1 and state in ('queued', 'running')"
)


@dataclass
class World:
    db: Database
    account_id: UUID
    invoices: list[UUID]
    orders: dict[UUID, str] = field(default_factory=dict)
    pictures: dict[tuple[str, int], UUID] = field(default_factory=dict)
    taken: dict[int, Job] = field(default_factory=dict)

    @classmethod
    async def begin(cls, db: Database, cap: int | None) -> World:
        plan_id = await db.fetchval(PLAN, f"cap-{cap or 'none'}", CYCLE, DAY, cap)
        account = await accounts.create(db, f"{uuid4()}@example.com", "x")
        await db.execute(SUBSCRIBE, account.id, plan_id, CYCLE)
        await ledger.grant(db, account.id, CYCLE, "to begin with")
        return cls(db, account.id, [await db.fetchval(INVOICE, account.id, plan_id, CYCLE) for _ in range(INVOICES)])

    async def do(self, act: Act) -> Any:
        try:
            return await getattr(self, f"_{act.kind}")(act)
        except (Refused, FenceLost) as why:
            return type(why).__name__

    async def seen(self) -> dict[str, Any]:
        """What can be compared with the model; read in one snapshot."""
        row = await self.db.fetchrow(SEEN, self.account_id)
        assert row is not None
        return {
            "balance": (row["available"], row["held"], row["spent"]),
            "is_open": row["is_open"],
            "pictures": {(self.orders[UUID(id_)], n): (state, back) for id_, n, state, back in row["pictures"]},
        }

    async def rest(self) -> None:
        """Everything unfinished ends: nothing may be held any more, and every rule of the books holds for this account."""
        await self.db.execute(LOSE_ALL, self.account_id)
        await lost_jobs.end(self.db)
        balance = await ledger.balance(self.db, self.account_id)
        shown = await self.db.fetchrow(SHOWN, self.account_id)
        assert shown is not None
        assert balance.held == 0
        assert (shown["left_over"], shown["charged"]) == (balance.available, balance.spent)

    async def _order(self, act: Act) -> str:
        asked = Order(
            self.account_id,
            f"{act.number} of {act.model}",
            act.model,
            Size(512, 512),
            act.number,
            idempotency_key=act.key,
        )
        generation = await generations.order(self.db, asked, deadline=DAY)
        if generation not in self.orders:
            self.orders[generation] = act.order
            for row in await self.db.fetch("select id, position from job where generation_id = $1", generation):
                self.pictures[act.order, row["position"] - 1] = row["id"]
        return f"is {self.orders[generation]}"

    async def _take(self, act: Act) -> str:
        job_id, owner = self.pictures[act.job], uuid4()
        row = await self.db.fetchrow(TAKE, str(job_id), owner)
        job = None if row is None else await jobs.start(self.db, job_id, Fence(row["id"], owner, row["attempts"]))
        if job is None:
            return "gone"
        self.taken[act.fence] = job
        return "taken"

    async def _deliver(self, act: Act) -> str:
        name = f"pictures/{self.pictures[act.job]}"
        picture = Painted(f"{name}.png", f"{name}.webp", "0" * 64, "image/png", 512, 512, 100)
        await jobs.deliver(self.db, self.taken[act.fence], picture)
        return "done"

    async def _fail(self, act: Act) -> str:
        await jobs.fail(self.db, self.taken[act.fence], "the brush broke")
        return "done"

    async def _postpone(self, act: Act) -> str:
        await jobs.postpone(self.db, self.taken[act.fence], 0, "later")
        return "done"

    async def _cancel(self, act: Act) -> tuple[int, int]:
        generation = next(id for id, name in self.orders.items() if name == act.order)
        return await generations.cancel(self.db, generation, self.account_id)

    async def _lose(self, act: Act) -> str:
        await self.db.execute(LOSE, self.pictures[act.job])
        await lost_jobs.end(self.db)
        return "done"

    async def _refund(self, act: Act) -> str:
        try:
            await ledger.refund(self.db, self.pictures[act.job], "it was damaged")
        except (AssertionError, asyncpg.IntegrityConstraintViolationError):
            return "refused"
        return "done"

    async def _adjust(self, act: Act) -> str:
        await ledger.adjust(self.db, self.account_id, act.number, "by hand")
        return "done"

    async def _pay(self, act: Act) -> bool:
        return await invoices.settle(self.db, self.invoices[act.number], actor="test")

    async def _expire(self, act: Act) -> str:
        await self.db.execute(EXPIRE, self.account_id)
        return "done"


SEEN = """
select b.available, b.held, b.spent, exists (
        select from subscription where account_id = $1 and state = 'active' and period_end > clock_timestamp()
    ) as is_open, coalesce((
        select jsonb_agg(jsonb_build_array(j.generation_id, j.position - 1, j.state, exists (
            select from ledger_entry as e where e.job_id = j.id and e.kind = 'refund'
        ))) from job as j join generation as g on g.id = j.generation_id where g.account_id = $1
    ), '[]') as pictures
from balance as b where b.account_id = $1
"""
SHOWN = "select sum(change) as left_over, sum(charged) as charged from statement where account_id = $1"


def begun(cap: int | None) -> Model:
    return Model(cap=cap)


async def prices(db: Database) -> None:
    """The catalogue costs what the model says."""
    for name, credits in PRICE.items():
        await db.execute("update model set credits = $2 where id = $1", name, credits)
