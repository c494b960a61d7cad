"""The ledger against a pure model, act by act and several at once. FAULT_FULL=1 for the long forms."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.vault import Vault
from limner.sql import books, keys
from tests.conftest import address, held
from tests.conftest import settings as studio
from tests.ledger.model import Act, Model
from tests.ledger.world import INVOICES, World, begun, prices

FULL = os.environ.get("FAULT_FULL") == "1"
pytestmark = pytest.mark.timeout(3600 if FULL else 60)
T = TypeVar("T")
PLAIN = {
    "database": None, "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}  # fmt: skip
CAPS = st.sampled_from([None, None, 12])
PICK = st.integers(0, 40)
COUNT = st.integers(1, 8)
MODELS = st.sampled_from(["demo", "demo", "simulator"])
KEYS = st.sampled_from([None, None, "a", "b"])
AMOUNT = st.integers(-15, 15).filter(bool)
KINDS = ("order", "take", "deliver", "fail", "postpone", "cancel", "lose", "refund", "adjust", "pay", "expire")
OF_A_PICTURE = ("take", "deliver", "fail", "postpone", "cancel", "lose", "refund")


class Stage:
    """One database for all examples, each of which is an account of its own; and the loop that it lives on."""

    def __init__(self, runner: asyncio.Runner, db: Database) -> None:
        self.runner = runner
        self.db = db
        self.acts = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def verify(self) -> None:
        """Every rule of `limner ledger verify`, over all that the examples left behind."""
        for rule_, sql in books.RULES.items():
            assert self.run(self.db.fetch(sql)) == [], rule_


@pytest.fixture
def stage(postgres: str, template: str, tmp_path: Path) -> Iterator[Stage]:
    name = f"ledger-{tmp_path.name}"
    dsn = address(postgres, name)

    async def boss(statement: str) -> None:
        connection = await asyncpg.connect(postgres)
        await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(boss(f'create database "{name}" template "{template}"'))
        opened = held(open_database(dsn, role="test", pool=8))
        db = runner.run(opened.__aenter__())
        vault = Vault.from_config(studio(dsn, tmp_path))
        runner.run(keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test"))
        runner.run(prices(db))
        yield Stage(runner, db)
        runner.run(opened.__aexit__(None, None, None))
        runner.run(boss(f'drop database "{name}" with (force)'))


class Machine(RuleBasedStateMachine):
    """Each rule does one act to both, and both must answer the same."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    @initialize(cap=CAPS)
    def begin(self, cap: int | None) -> None:
        self.model = begun(cap)
        self.world = self.stage.run(World.begin(self.stage.db, cap))
        self.made = self.fences = 0

    def both(self, act: Act) -> None:
        self.stage.acts += 1
        expected = self.model.apply(act)
        assert self.stage.run(self.world.do(act)) == expected, act

    def pick(self, number: int) -> tuple[str, int]:
        jobs = sorted(self.model.pictures)
        return jobs[number % len(jobs)]

    @rule(count=COUNT, model=MODELS, key=KEYS)
    def order(self, count: int, model: str, key: str | None) -> None:
        self.made += 1
        self.both(Act("order", f"order {self.made}", number=count, model=model, key=key))

    @precondition(lambda self: self.model.pictures)
    @rule(number=PICK)
    def take(self, number: int) -> None:
        self.fences += 1
        self.both(Act("take", *self.pick(number), fence=self.fences))

    @precondition(lambda self: self.world.taken)
    @rule(number=PICK, kind=st.sampled_from(["deliver", "deliver", "fail", "postpone"]))
    def end(self, number: int, kind: str) -> None:
        """By a worker that took it once: perhaps not the last that did."""
        fences = sorted(self.world.taken)
        fence = fences[-1 - number % len(fences)]
        job = next(job for job, id_ in self.world.pictures.items() if id_ == self.world.taken[fence].id)
        self.both(Act(kind, *job, fence=fence))

    @precondition(lambda self: self.model.pictures)
    @rule(number=PICK, kind=st.sampled_from(["cancel", "lose", "refund", "refund"]))
    def from_outside(self, number: int, kind: str) -> None:
        self.both(Act(kind, *self.pick(number)))

    @rule(amount=AMOUNT)
    def adjust(self, amount: int) -> None:
        self.both(Act("adjust", number=amount))

    @rule(number=st.integers(0, INVOICES - 1))
    def pay(self, number: int) -> None:
        self.both(Act("pay", number=number))

    @rule()
    def expire(self) -> None:
        self.both(Act("expire"))

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "world"):
            assert self.stage.run(self.world.seen()) == self.model.seen()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.stage.run(self.world.rest())


def test_the_ledger_does_what_its_model_does(stage):
    examples, steps = (2000, 50) if FULL else (12, 20)
    run_state_machine_as_test(
        lambda: Machine(stage), settings=settings(max_examples=examples, stateful_step_count=steps, **PLAIN)
    )
    stage.verify()
    print(f"{stage.acts} acts of {stage.run(stage.db.fetchval('select count(*) from balance'))} accounts")


@dataclass(frozen=True)
class Draft:
    """An act before it is known which orders there are."""

    kind: str
    pick: int
    count: int
    model: str
    key: str | None
    amount: int
    invoice: int


DRAFTS = st.builds(
    Draft, st.sampled_from(KINDS), PICK, COUNT, MODELS, KEYS, AMOUNT, st.integers(0, INVOICES - 1)
)  # fmt: skip
BATCHES = st.lists(st.lists(DRAFTS, min_size=2, max_size=6), min_size=1, max_size=5)


def _exclude(one: Act, other: Act) -> bool:
    """Two workers never take one job at once: a claim is given to one. And when a period ends under a payment, the payment
    counts from when it began, though an order meanwhile was refused: nothing is lost by that, and it is no order of acts."""
    kinds = {one.kind, other.kind}
    return (kinds == {"take"} and one.job == other.job) or kinds == {"pay", "expire"}


class Crowd:
    """Acts of one account at the same time. What they answered must be what they would have answered in some order."""

    def __init__(self, stage: Stage, cap: int | None) -> None:
        self.stage = stage
        self.model = begun(cap)
        self.world = stage.run(World.begin(stage.db, cap))
        self.made = 0

    def acts(self, drafts: Sequence[Draft]) -> list[Act]:
        found: list[Act] = []
        for draft in drafts:
            act = self.act(draft)
            if act is not None and not any(_exclude(act, each) for each in found):
                found.append(act)
        return found

    def act(self, draft: Draft) -> Act | None:
        self.made += 1
        match draft.kind:
            case "order":
                return Act("order", f"order {self.made}", number=draft.count, model=draft.model, key=draft.key)
            case "adjust":
                return Act("adjust", number=draft.amount)
            case "pay":
                return Act("pay", number=draft.invoice)
            case "expire":
                return Act("expire")
        jobs = sorted(self.model.pictures)
        if not jobs:
            return None
        job = jobs[draft.pick % len(jobs)]
        if draft.kind == "take":
            return Act("take", *job, fence=self.made)
        if draft.kind in ("deliver", "fail", "postpone"):
            fences = [fence for fence, taken in self.world.taken.items() if taken.id == self.world.pictures[job]]
            return Act(draft.kind, *job, fence=max(fences)) if fences else None
        return Act(draft.kind, *job)

    def together(self, acts: Sequence[Act]) -> None:
        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(self.world.do(act) for act in acts))

        answers = self.stage.run(all_at_once())
        self.stage.acts += len(acts)
        seen = self.stage.run(self.world.seen())
        found = next(self._orders(self.model, list(zip(acts, answers, strict=True)), seen), None)
        assert found is not None, f"in no order would {acts} answer {answers} and leave {seen}"
        self.model = found

    def _orders(self, model: Model, left: list[tuple[Act, Any]], seen: dict[str, Any]) -> Iterator[Model]:
        """The model after each order of these acts in which they answer as they did and leave what is there."""
        if not left:
            if model.seen() == seen:
                yield model
            return
        for place, (act, answer) in enumerate(left):
            tried = model.copy()
            if tried.apply(act) == answer:
                yield from self._orders(tried, left[:place] + left[place + 1 :], seen)


def test_what_happens_at_once_happens_in_some_order(stage):
    @settings(max_examples=1000 if FULL else 15, **PLAIN)
    @given(cap=CAPS, batches=BATCHES)
    def look(cap: int | None, batches: list[list[Draft]]) -> None:
        crowd = Crowd(stage, cap)
        crowd.together([Act("order", "order 0", number=3)])
        for drafts in batches:
            if acts := crowd.acts(drafts):
                crowd.together(acts)
        stage.run(crowd.world.rest())

    look()
    stage.verify()
    print(f"{stage.acts} acts of {stage.run(stage.db.fetchval('select count(*) from balance'))} accounts")
