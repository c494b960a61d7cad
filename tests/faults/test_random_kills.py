"""Orders over HTTP while workers and web are killed at random: deliveries are charges, nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import os
import random
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from tests.faults.books import audit, waste
from tests.faults.crew import SETTLED, Crew, death_of, free_port, until
from tests.faults.customers import Customer, customer, sign_up

ORDERS = int(os.environ.get("FAULT_ORDERS", "40"))
"""FAULT_ORDERS=200 for the long form, FAULT_SEED=… to repeat one."""
MOST_KILLS = ORDERS
"""On a slow machine what is started hardly comes to work before its next death: then it would never end."""
CUSTOMERS = 8
SLOTS = 3
SWITCHES = (
    "ok", "ok", "slow seconds=0.6", "rate_limited after=1", "upstream_5xx after=1", "truncated", "moderation_output",
    "auth_dead",
)  # fmt: skip


@dataclass
class Killer:
    """Kills one of its victims every now and then, and starts it anew, as supervisord would."""

    crew: Crew
    dice: random.Random
    settings: dict[str, object]
    victims: dict[str, Any] = field(default_factory=dict)
    kills: int = 0

    def start(self) -> None:
        self.victims = {name: self._start(name) for name in ("worker 1", "worker 2", "web 1")}

    async def run(self) -> None:
        while self.kills < MOST_KILLS:
            await anyio.sleep(self.dice.uniform(0.3, 2.0))
            name = self.dice.choice(list(self.victims))
            self.victims[name].kill()
            await death_of(self.victims[name])
            self.kills += 1
            self.victims[name] = self._start(name)

    def _start(self, name: str) -> Any:
        return self.crew.start(name.split()[0], **self.settings)


async def shop(who: Customer, dice: random.Random, count: int) -> None:
    """Order after order with a little thought between; now and then a double click."""
    await who.log_in()
    for number in range(count):
        await anyio.sleep(dice.uniform(0, 3))
        key, prompt = f"{who.email} {number}", f"a fox in the snow, number {number}"
        async with anyio.create_task_group() as clicks:
            for _ in range(2 if dice.random() < 0.2 else 1):
                clicks.start_soon(who.order, key, prompt)


@pytest.mark.timeout(120 + ORDERS * 3)
async def test_deliveries_are_charges_while_anything_is_killed(crew, db, pictures, painter):
    seed = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))
    print(f"FAULT_SEED={seed}")
    dice = random.Random(seed)
    for switch in SWITCHES:
        await painter(switch)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    killer = Killer(crew, dice, {"http_port": port, "public_url": url, "worker_slots": SLOTS})
    killer.start()
    async with contextlib.AsyncExitStack() as stack, anyio.create_task_group() as group:
        people = [await stack.enter_async_context(customer(url, email)) for _, email in await sign_up(db, CUSTOMERS)]
        group.start_soon(killer.run)
        async with anyio.create_task_group() as shopping:
            for place, who in enumerate(people):
                count = ORDERS // CUSTOMERS + (place < ORDERS % CUSTOMERS)
                shopping.start_soon(shop, who, random.Random(dice.random()), count)
        group.cancel_scope.cancel()
    await until(crew.dsn, SETTLED, within=90)
    await _every_answer_is_kept(db, people)
    await audit(db, pictures)
    delivered = await db.fetchval("select count(*) from job where state = 'delivered'")
    print(f"{killer.kills} kills, {delivered} of {ORDERS} delivered, {await waste(db)} wasted")
    assert killer.kills >= 5
    assert delivered > ORDERS / 2
    assert await waste(db) <= killer.kills * SLOTS


async def _every_answer_is_kept(db, people):
    answered = {key: set(ids) for who in people for key, ids in who.answers.items()}
    kept = {row["idempotency_key"]: {row["id"]} for row in await db.fetch("select id, idempotency_key from generation")}
    assert answered == kept
    assert len(kept) == ORDERS


@pytest.mark.timeout(90)
async def test_an_order_whose_answer_was_lost_is_found_again_by_its_key(crew, db, pictures, painter):
    await painter("ok")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ((account, email),) = await sign_up(db, 1)
    web = crew.start("web", fault="after-order-commit", http_port=port, public_url=url)
    async with customer(url, email) as who, anyio.create_task_group() as group:
        await who.log_in()
        group.start_soon(who.order, "the only key", "a fox in the snow")
        assert await death_of(web) < 0
        assert await db.fetchval("select held from balance where account_id = $1", account) == 1
        crew.start("web", http_port=port, public_url=url)
    assert who.refused_connections
    assert await db.fetchval("select held from balance where account_id = $1", account) == 1
    crew.start("worker")
    await until(crew.dsn, SETTLED)
    await audit(db, pictures)
    assert await db.fetchval("select spent from balance where account_id = $1", account) == 1
