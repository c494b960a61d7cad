"""A history made up at random, written into the books row by row, and counted here a second time by the simplest means."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from limner.runtime.database import Database
from limner.sql.figures import Choice, Span

FAULTS = ("rate_limited", "server_error", "timeout_unknown", "moderation_input")


@dataclass(frozen=True)
class Event:
    """What happened at a moment, and whose it was."""

    at: datetime
    plan: int
    model: str = ""
    key: int = 0
    fault: str = ""
    currency: str = ""
    numbers: Counter[str] = field(default_factory=Counter, hash=False)
    wait: int | None = None


@dataclass
class Shop:
    """A plan and somebody who has it."""

    account: UUID
    plan: int
    price: int
    credits: int
    currency: str


class History:
    """Random events between two moments; many of them fall right beside a midnight of UTC."""

    def __init__(self, db: Database, seed: int, days: int = 6) -> None:
        self.db = db
        self.dice = random.Random(seed)
        self.days = days
        self.is_late = False
        """Everything happens now: the days before are over."""
        self.work: list[Event] = []
        self.takings: list[Event] = []
        self.shops: list[Shop] = []
        self.keys: list[int] = []
        self.models: list[str] = []

    async def begin(self) -> None:
        self.now = await self.db.fetchval("select now()")
        self.today = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.keys = [row["id"] for row in await self.db.fetch("select id from provider_key order by id limit 3")]
        self.models = [row["id"] for row in await self.db.fetch("select id from model order by id limit 3")]
        for currency, price, credits in (("USD", 999, 100), ("EUR", 700, 30), ("USD", 2500, 700)):
            await self._open_shop(currency, price, credits)

    async def _open_shop(self, currency: str, price: int, credits: int) -> None:
        code = f"p{len(self.shops)}"
        plan = await self.db.fetchval(
            "insert into plan (code, name, price_cents, price_currency, credits_per_cycle) values ($1, $1, $2, $3, $4) "
            "returning id", code, price, currency, credits,
        )  # fmt: skip
        account = await self.db.fetchval(
            "insert into account (email, password_hash) values ($1, '') returning id", f"{code}@example.com"
        )
        await self.db.execute(
            "insert into subscription (account_id, plan_id, state, period_start, period_end, created_at) "
            "values ($1, $2, 'active', now(), now() + interval '30 days', now() - interval '400 days')", account, plan,
        )  # fmt: skip
        await self.db.execute(
            "insert into ledger_entry (account_id, kind, credits) values ($1, 'grant', 1000000)", account
        )
        self.shops.append(Shop(account, plan, price, credits, currency))

    def moment(self) -> datetime:
        """Some time of the last days, as often as not within a second of a midnight, and never to come."""
        if self.is_late:
            return self.now
        midnight = self.today - timedelta(days=self.dice.randrange(self.days))
        near = timedelta(milliseconds=self.dice.choice((-1000, -1, 0, 1, 999)))
        at = midnight + self.dice.choice((near, timedelta(seconds=self.dice.randrange(86_400))))
        return min(at, self.now)

    async def live(self, events: int) -> None:
        for _ in range(events):
            await self.dice.choice((self.paint, self.paint, self.fail, self.sell))(self.moment())

    async def paint(self, at: datetime) -> None:
        """A picture that was delivered, perhaps after a few faults, perhaps given back later."""
        shop, model, wait = self.dice.choice(self.shops), self.dice.choice(self.models), self.dice.randrange(1, 90_000)
        credits = self.dice.randrange(1, 5)
        job = await self._job(shop, model, credits, "delivered", at, wait)
        for number in range(self.dice.randrange(3)):
            await self._attempt(shop, job, number + 1, model, self.dice.choice(FAULTS), self.moment())
        key = await self._attempt(shop, job, 9, model, None, at)
        earned = _half_up(credits * shop.price * 10_000 / shop.credits)
        gain = Counter(delivered=1, credits=credits, earned=earned)
        self.work.append(Event(at, shop.plan, model, key, "", shop.currency, gain, wait))
        if self.dice.random() < 0.2:
            await self._give_back(shop, job, credits, Event(self.moment(), shop.plan, model, key, "", shop.currency))

    async def _give_back(self, shop: Shop, job: UUID, credits: int, event: Event) -> None:
        for kind in ("reserve", "settle", "refund"):
            await self.db.execute(
                "insert into ledger_entry (account_id, job_id, kind, credits, created_at) values ($1, $2, $3, $4, $5)",
                shop.account, job, kind, credits, event.at,
            )  # fmt: skip
        event.numbers.update(credits=-credits, earned=-_half_up(credits * shop.price * 10_000 / shop.credits))
        self.work.append(event)

    async def fail(self, at: datetime) -> None:
        """A picture that could not be painted, perhaps without a single attempt."""
        shop, model = self.dice.choice(self.shops), self.dice.choice(self.models)
        job = await self._job(shop, model, 1, "failed", at, 1000)
        key, fault = 0, ""
        for number in range(self.dice.randrange(3)):
            fault = self.dice.choice(FAULTS)
            key = await self._attempt(shop, job, number + 1, model, fault, self.moment())
        self.work.append(Event(at, shop.plan, model, key, fault, "", Counter(failed=1)))

    async def _job(self, shop: Shop, model: str, credits: int, state: str, at: datetime, wait: int) -> UUID:
        generation, job = uuid4(), uuid4()
        await self.db.execute(
            "insert into generation (id, account_id, thread_id, model_id, prompt, width, height, count, credits, state) "
            "values ($1, $2, $1, $3, 'a boat', 512, 512, 1, $4, $5)", generation, shop.account, model, credits, state,
        )  # fmt: skip
        await self.db.execute(
            "insert into job (id, generation_id, account_id, position, credits, seed, state, created_at, finished_at, deadline) "
            "values ($1, $2, $3, 1, $4, 7, $5, $6::timestamptz - make_interval(secs => $7 / 1000.0), $6, $6)",
            job, generation, shop.account, credits, state, at, float(wait),
        )  # fmt: skip
        return job

    async def _attempt(self, shop: Shop, job: UUID, number: int, model: str, fault: str | None, at: datetime) -> int:
        key = self.dice.choice(self.keys)
        cost, possible = self.dice.randrange(60_000), self.dice.choice((0, 40_000))
        await self.db.execute(
            "insert into attempt (job_id, number, key_id, model_id, fault, cost_micros, possible_micros, expires_at, "
            "finished_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $8)", job, number, key, model, fault, cost, possible, at,
        )  # fmt: skip
        spent = Counter(attempts=1, cost=cost, possible=possible)
        self.work.append(Event(at, shop.plan, model, key, fault or "", "", spent))
        return key

    async def sell(self, at: datetime) -> None:
        """An invoice that was paid, at times too high; some were sent back later, whole or the surplus, or the try failed."""
        shop, over = self.dice.choice(self.shops), self.dice.choice((0, 0, 500))
        invoice = await self.db.fetchval(
            "insert into invoice (account_id, plan_id, processor, amount_cents, received_cents, currency, credits, state, "
            "paid_at, expires_at) values ($1, $2, 'sandbox', $3, $4, $5, 1, 'paid', $6, $6) returning id",
            shop.account, shop.plan, shop.price, shop.price + over, shop.currency, at,
        )  # fmt: skip
        paid = Counter(invoices=1, paid=shop.price)
        self.takings.append(Event(at, shop.plan, currency=shop.currency, numbers=paid))
        if self.dice.random() < 0.4:
            later = self.dice.choice([each for each in (self.moment(), self.moment(), self.now) if each >= at])
            await self.send_back(invoice, shop, shop.price + over, later)

    async def send_back(self, invoice: UUID, shop: Shop, cents: int, at: datetime) -> None:
        kind, state = self.dice.choice((("whole", "sent"), ("whole", "sent"), ("surplus", "sent"), ("whole", "failed")))
        await self.db.execute(
            "insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at) "
            "values ($1, $2, $3, $4, '', 'test', $5, $6)", invoice, kind, cents, shop.currency, state, at,
        )  # fmt: skip
        if (kind, state) == ("whole", "sent"):
            back = Counter(refunds=1, refunded=shop.price)
            self.takings.append(Event(at, shop.plan, currency=shop.currency, numbers=back))


def counted(events: Iterable[Event], span: Span, choice: Choice) -> dict[tuple[Any, ...], Counter[str]]:
    """The sums by bucket, fault and currency, without the zeros."""
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for event in _chosen(events, span, choice):
        sums.setdefault((_bucket(event.at, span), event.fault, event.currency), Counter()).update(event.numbers)
    return {where: Counter({name: n for name, n in each.items() if n}) for where, each in sums.items()}


def ranked(events: Iterable[Event], span: Span, choice: Choice) -> dict[datetime, tuple[int, float, float]]:
    """How many were delivered in each bucket, and how long half of them and 95 in a hundred took at the most."""
    waits: dict[datetime, list[int]] = {}
    for event in _chosen(events, span, choice):
        if event.wait is not None:
            waits.setdefault(_bucket(event.at, span), []).append(event.wait)
    return {at: (len(each), _rank(each, 0.5), _rank(each, 0.95)) for at, each in waits.items()}


def _rank(waits: list[int], share: float) -> float:
    return sorted(waits)[math.ceil(share * len(waits)) - 1] / 1000


def _chosen(events: Iterable[Event], span: Span, choice: Choice) -> Iterable[Event]:
    for event in events:
        if span.start <= event.at < span.end and all(
            wanted is None or wanted == there
            for wanted, there in ((choice.plan, event.plan), (choice.model, event.model), (choice.key, event.key))
        ):
            yield event


def _bucket(at: datetime, span: Span) -> datetime:
    at = at.astimezone(UTC)
    match span.unit:
        case "whole":
            return span.start
        case "day":
            return at.replace(hour=0, minute=0, second=0, microsecond=0)
        case _:
            return at.replace(minute=0, second=0, microsecond=0)


def _half_up(number: float) -> int:
    return math.floor(number + 0.5)
