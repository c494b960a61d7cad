"""A picture, from the order to its single end: the stories, with the real actors, mailbox, ledger and storage."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import anyio
import pytest

from limner.actors.generator import Generator
from limner.actors.janitor import EndLostJobs, Janitor
from limner.actors.pool import Pool
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.lull import Lull
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.runtime.vault import Vault
from limner.sql import attempts, generations, jobs, keys, ledger
from limner.sql.generations import Order
from limner.sql.ledger import Balance
from limner.sql.models import Size
from tests.faults.books import audit
from tests.faults.crew import SETTLED, until
from tests.faults.customers import sign_up

SMALL = Size(512, 512)
OVERDUE = "update job set deadline = now() - interval '1 s' where generation_id = $1"


class Stage:
    """One test's studio: its painters, its orders, and as many workers as it likes."""

    def __init__(self, db: Database, config: Config, vault: Vault, alice: UUID) -> None:
        self.db, self.config, self.vault, self.alice = db, config, vault, alice

    async def key(self, switch: str = "ok", *, group: str = "", concurrency: int = 4) -> int:
        """A simulator key; those added first are tried first."""
        number = await self.db.fetchval("select count(*) from provider_key")
        return await keys.add(
            self.db, self.vault, "simulator", f"brush {number}", f"simulated-{number}", actor="test",
            switch=switch, account_group=group, concurrency=concurrency,
        )  # fmt: skip

    async def switch(self, key: int, switch: str) -> None:
        """The painter behind this key changes its mind."""
        await self.db.execute("update provider_key set switch = $2 where id = $1", key, switch)

    async def order(self, *, count: int = 1, who: UUID | None = None, deadline: int = 120) -> UUID:
        asked = Order(who or self.alice, "a fox in the snow", "simulator", SMALL, count)
        return await generations.order(self.db, asked, deadline=deadline)

    @contextlib.asynccontextmanager
    async def workers(self, count: int = 1, **settings: object) -> AsyncIterator[None]:
        """That many workers, each with its own presence and its own slots, in this process."""
        config = self.config.model_copy(update=settings)
        async with open_storage(config) as storage, anyio.create_task_group() as group:
            for _ in range(count):
                presence, bus = Presence(self.db, "worker", lease=config.lease), Bus(self.db)
                await presence.beat()
                generator = Generator(
                    self.db, bus, presence, config=config, storage=storage, vault=self.vault, lull=Lull()
                )
                for work in (presence.run, bus.run, generator.run):
                    group.start_soon(work)
            yield
            group.cancel_scope.cancel()

    async def painted(self, **settings: object) -> None:
        """Everything that was ordered comes to its end."""
        async with self.workers(**settings):
            await self.until(SETTLED)

    async def until(self, sql: str, *arguments: object) -> None:
        await until(self.db.dsn, sql, *arguments)

    async def ends(self, generation: UUID) -> list[str]:
        """The states of its jobs, by position."""
        rows = await self.db.fetch("select state from job where generation_id = $1 order by position", generation)
        return [row["state"] for row in rows]

    async def faults(self) -> list[str | None]:
        """What each attempt of all came to, in order; None when it painted."""
        return [row["fault"] for row in await self.db.fetch("select fault from attempt order by id")]

    async def key_state(self, key: int) -> str:
        return await self.db.fetchval("select state from provider_key where id = $1", key)  # type: ignore[no-any-return]

    async def balance(self) -> Balance:
        return await ledger.balance(self.db, self.alice)


@pytest.fixture
async def stage(db, config, vault, cast):
    stage = Stage(db, config, vault, cast.alice.id)
    yield stage
    await audit(db, config.pictures_folder)


async def test_an_order_is_delivered_and_charged(stage):
    await stage.key()
    generation = await stage.order()
    assert await stage.balance() == Balance(available=99, held=1, spent=0)
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.balance() == Balance(available=99, held=0, spent=1)


async def test_a_refused_prompt_is_tried_once_and_never_charged(stage, db):
    for _ in range(2):
        await stage.key("moderation_input")
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == ["moderation_input"]
    assert await stage.balance() == Balance(available=100, held=0, spent=0)
    reason = await db.fetchval("select reason from generation where id = $1", generation)
    assert reason == "The painter refused this description because of its content rules."


async def test_a_rate_limited_key_rests_while_the_next_one_paints(stage, db):
    tired, fresh = await stage.key("rate_limited after=60"), await stage.key()
    first, second = await stage.order(), await stage.order()
    await stage.painted(worker_slots=1)
    assert await stage.ends(first) == await stage.ends(second) == ["delivered"]
    assert await stage.faults() == ["rate_limited", None, None], "the tired key was not asked a second time"
    rest = await db.fetchrow("select key_id, extract(epoch from until - now()) as seconds, cause from key_rest")
    assert rest["key_id"] == tired
    assert 40 < rest["seconds"] < 67
    assert rest["cause"].startswith("rate_limited")
    assert [await stage.key_state(key) for key in (tired, fresh)] == ["active", "active"]


async def test_a_dead_key_is_disabled_with_its_cause_and_the_next_one_paints(stage, db):
    dead = await stage.key("auth_dead")
    await stage.key()
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.key_state(dead) == "disabled"
    events = await db.fetch("select state_before, state_after, cause from key_event where key_id = $1", dead)
    assert [tuple(event)[:2] for event in events] == [("active", "disabled")]
    assert events[0]["cause"].startswith("auth_dead")


async def test_a_billing_account_without_money_takes_all_its_keys_along(stage):
    poor = [await stage.key("balance_exhausted", group="one bill") for _ in range(2)]
    rich = await stage.key("ok", group="another bill")
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["balance_exhausted", None]
    assert [await stage.key_state(key) for key in (*poor, rich)] == ["out_of_funds", "out_of_funds", "active"]


async def test_a_job_waits_while_all_keys_rest_and_says_so(stage, db):
    key = await stage.key("rate_limited after=2")
    generation = await stage.order()
    async with stage.workers():
        await stage.until("select waits_until is not null and line <> '' from job where generation_id = $1", generation)
        row = await db.fetchrow("select state, line from job where generation_id = $1", generation)
        assert tuple(row) == ("queued", "all painters are resting")
        assert await db.fetchval("select attempts from message where mailbox = 'painting'") == 0, (
            "waiting is no failure"
        )
        await stage.switch(key, "ok")
        await stage.until(SETTLED)
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["rate_limited", None]


@pytest.mark.parametrize("bad", ["truncated", "not_an_image"])
async def test_what_is_no_picture_is_painted_again_with_the_next_key(stage, bad):
    await stage.key(bad)
    await stage.key()
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["no_image", None]


@pytest.mark.parametrize("bad", ["truncated", "not_an_image"])
async def test_two_answers_without_a_picture_are_enough(stage, config, bad):
    for _ in range(3):
        await stage.key(bad)
    generation = await stage.order()
    await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert await stage.faults() == ["no_image", "no_image"]
    assert (await stage.balance()).spent == 0
    assert not [path for path in config.pictures_folder.rglob("*") if path.is_file()]


async def test_a_job_that_nobody_takes_up_fails_uncharged_at_its_deadline(stage, db, config):
    await stage.key()
    generation = await stage.order()
    await db.execute(OVERDUE, generation)
    async with open_storage(config) as storage:
        await Janitor(
            db, Bus(db), Presence(db, "worker", lease=3), storage=storage, pool=Pool(db, config, stage.vault)
        ).receive(EndLostJobs())
    assert await stage.ends(generation) == ["failed"]
    assert await db.fetchval("select reason from generation where id = $1", generation) == "it took too long"
    assert await stage.balance() == Balance(available=100, held=0, spent=0)


async def test_a_job_at_work_is_stopped_at_its_deadline(stage, db):
    await stage.key("slow seconds=60")
    generation = await stage.order(deadline=1)
    await stage.painted()
    assert await stage.ends(generation) == ["failed"]
    assert await db.fetchval("select reason from generation where id = $1", generation) == "it took too long"
    assert await stage.balance() == Balance(available=100, held=0, spent=0)


async def test_what_waits_is_canceled_at_once_and_for_nothing(stage):
    await stage.key()
    generation = await stage.order(count=3)
    assert await generations.cancel(stage.db, generation, stage.alice) == (3, 0)
    assert await stage.ends(generation) == ["canceled"] * 3
    assert await stage.balance() == Balance(available=100, held=0, spent=0)
    await stage.painted()
    assert await stage.faults() == [], "no painter was asked"


async def test_what_is_painted_is_asked_to_stop(stage):
    await stage.key("slow seconds=60")
    generation = await stage.order()
    async with stage.workers():
        await stage.until("select state = 'running' from job where generation_id = $1", generation)
        assert await generations.cancel(stage.db, generation, stage.alice) == (0, 1)
        await stage.until(SETTLED)
    assert await stage.ends(generation) == ["canceled"]
    assert await stage.balance() == Balance(available=100, held=0, spent=0)


async def test_a_partial_order_charges_what_arrived(stage, db):
    key = await stage.key()
    generation = await stage.order(count=4)
    last = await db.fetchval("select 'job ' || id from job where generation_id = $1 and position = 4", generation)
    await db.execute("update message set state = 2, ready_at = now() + interval '1 hour' where key = $1", last)
    async with stage.workers():
        await stage.until("select count(*) = 3 from job where state = 'delivered'")
        await stage.switch(key, "moderation_output")
        await db.execute("update message set state = 0, ready_at = now() where key = $1", last)
        await stage.until(SETTLED)
    assert sorted(await stage.ends(generation)) == ["delivered"] * 3 + ["failed"]
    assert await stage.balance() == Balance(available=97, held=0, spent=3)
    row = await db.fetchrow("select state, reason from generation where id = $1", generation)
    assert tuple(row) == ("delivered", "3 of 4 arrived; only those were charged")


async def test_one_order_does_not_wait_for_sixty_of_somebody_else(stage, db):
    await stage.key()
    await db.execute("update plan set concurrency = 20")
    for _ in range(60):
        await stage.order()
    ((somebody, _),) = await sign_up(db, 1)
    late = await stage.order(who=somebody)
    async with stage.workers(worker_slots=4):
        await stage.until("select state = 'delivered' from job where generation_id = $1", late)
        before = "select count(*) from job where started_at < (select started_at from job where generation_id = $1)"
        assert await db.fetchval(before, late) <= 4
        await end_the_rest(stage)


REFUSALS = """
create table refusal (job_id uuid);
create function note_refusal() returns trigger language plpgsql as
'begin insert into refusal values (new.job_id); return new; end';
create trigger refused before insert or update on key_wait for each row when (not new.is_away) execute function note_refusal()
"""


async def test_a_key_is_at_work_as_long_as_somebody_waits_for_it(stage, db, monkeypatch):
    """Those that were put back into the line keep their places, and no key stands idle for them.

    In a worker with one slot nobody else looks meanwhile: whoever looks at the free key has to get it.
    """
    monkeypatch.setattr("limner.actors.pool.PATIENCE", 0)
    await stage.key(concurrency=1)
    await stage.order()
    elsewhere = Presence(db, "worker", lease=60)
    await elsewhere.beat()
    _, (painting,), _ = await jobs.take(db, elsewhere.id, 1)
    await db.execute("update plan set concurrency = 20")
    for _ in range(6):
        await stage.order()
    await db.execute(REFUSALS)
    async with stage.workers(worker_slots=1):
        await stage.until("select count(*) = 6 from key_wait")
        async with db.transaction() as tx:
            await tx.execute("lock table attempt in access exclusive mode")  # nobody is just looking
            await attempts.close(tx, painting.key.attempt_id, fault="cancelled")
            await tx.execute("update key_wait set since = since - interval '9 s'")
            await tx.execute("delete from refusal")
        await jobs.fail(db, painting, "it was painted elsewhere")
        await stage.until(SETTLED)
    assert await db.fetchval("select count(*) from job where state = 'delivered'") == 6
    assert await db.fetchval("select count(*) from refusal") == 0


async def end_the_rest(stage: Stage) -> None:
    """The rest is of no interest."""
    for row in await stage.db.fetch("select id from generation where state in ('queued', 'running')"):
        await generations.cancel(stage.db, row["id"], stage.alice)
    await stage.until(SETTLED)


async def test_a_plan_never_paints_more_at_a_time_than_it_allows(stage, db):
    await stage.key("slow seconds=0.1", concurrency=20)
    await db.execute("update plan set concurrency = 2")
    await stage.order(count=8)
    await stage.order(count=4)
    most = 0
    async with stage.workers(3):
        while await db.fetchval(f"select not ({SETTLED.removeprefix('select ')})"):
            running = await db.fetchval("select count(*) from message where mailbox = 'painting' and owner is not null")
            most = max(most, running)
    assert most == 2


async def test_a_key_never_paints_more_at_a_time_than_it_may(stage, db):
    await stage.key("slow seconds=0.1", concurrency=2)
    await db.execute("update plan set concurrency = 20")
    await stage.order(count=8)
    most = 0
    async with stage.workers(3):
        while await db.fetchval(f"select not ({SETTLED.removeprefix('select ')})"):
            most = max(most, await db.fetchval("select count(*) from attempt where finished_at is null"))
    assert most == 2


async def test_a_worker_that_is_told_to_stop_gives_back_what_it_holds(stage, db):
    key = await stage.key("slow seconds=60")
    generation = await stage.order()
    async with stage.workers():
        await stage.until("select count(*) = 1 from attempt where finished_at is null")
    message = await db.fetchrow("select owner, attempts from message where mailbox = 'painting'")
    assert tuple(message) == (None, 0), "given back, and it cost no attempt"
    await stage.switch(key, "ok")
    await stage.painted()
    assert await stage.ends(generation) == ["delivered"]
