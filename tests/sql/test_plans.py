"""Plans: sold and edited by the operator, in force for every order, and never rewriting what was agreed before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from limner.runtime import mailbox
from limner.runtime.cli import commands as cli
from limner.runtime.errors import NotFound, Refused
from limner.runtime.presence import Presence
from limner.sql import entries, generations, images, invoices, jobs, keys, ledger, plans, subscriptions, terms
from limner.sql.generations import Order
from limner.sql.models import Size
from limner.sql.plans import Entry
from limner.sql.terms import PlanCapReached
from tests.conftest import VAULT_KEYS

YESTERDAY = "update generation set created_at = created_at - interval '1 day'"
LAST_MONTH = "update generation set created_at = date_trunc('month', now(), 'UTC') - interval '1 hour'"
FIRST_OF_MONTH = "update generation set created_at = date_trunc('month', now(), 'UTC')"


async def order(db, account, count: int = 1, **asked):
    wanted = {"model_id": "demo", "size": Size(512, 512)} | asked
    return await generations.order(db, Order(account.id, "a red boat", count=count, **wanted), deadline=60)


async def cap(db, **caps: int) -> None:
    entry = await plans.entry(db, "monthly")
    await plans.change(db, "monthly", Entry(**{**vars(entry), **caps}), actor="test")


async def test_a_day_has_an_end_and_says_when_it_opens_again(db, cast):
    await cap(db, credits_per_day=3)
    await order(db, cast.alice, 2)
    with pytest.raises(
        PlanCapReached, match="3 credits a day: 2 are spent or held, and this would take 2.*at 00:00 UTC"
    ) as why:
        await order(db, cast.alice, 2)
    assert 0 < why.value.after <= 86400
    assert await db.fetchval("select count(*) from job") == 2, "nothing is left of what was refused"
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(98, 2, 0)
    await order(db, cast.alice)
    await db.execute(YESTERDAY)
    await order(db, cast.alice, 3)


async def test_a_month_has_an_end_too(db, cast):
    await cap(db, credits_per_month=4, credits_per_day=100)
    await order(db, cast.alice, 3)
    await db.execute(FIRST_OF_MONTH)
    with pytest.raises(PlanCapReached, match=r"4 credits a month: 3 are spent or held.*on 1 "):
        await order(db, cast.alice, 2)
    await order(db, cast.alice)
    await db.execute(LAST_MONTH)
    await order(db, cast.alice, 4)


async def test_what_did_not_arrive_or_came_back_does_not_count(db, cast):
    await cap(db, credits_per_day=2)
    canceled = await order(db, cast.alice, 2)
    await generations.cancel(db, canceled, cast.alice.id)
    generation = await order(db, cast.alice, 2)
    job = await db.fetchval("select id from job where generation_id = $1 order by position limit 1", generation)
    await db.execute(ledger.FROM_RESERVE, job, "settle", "delivered")
    await ledger.refund(db, job, "it was damaged")
    await order(db, cast.alice)
    with pytest.raises(PlanCapReached):
        await order(db, cast.alice)


async def test_forty_at_once_with_a_cap_of_seven_give_seven(db, cast):
    await cap(db, credits_per_day=7)
    outcomes: list[str] = []

    async def try_one() -> None:
        try:
            await order(db, cast.alice)
            outcomes.append("accepted")
        except PlanCapReached:
            outcomes.append("refused")

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(try_one)
    assert (outcomes.count("accepted"), outcomes.count("refused")) == (7, 33)


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        ((2026, 11, 28, 5), (2026, 11, 29), (2026, 12, 1)),
        ((2027, 12, 31, 23), (2028, 1, 1), (2028, 1, 1)),
        ((2028, 2, 28, 0), (2028, 2, 29), (2028, 3, 1)),
        ((2027, 1, 31, 12), (2027, 2, 1), (2027, 2, 1)),
    ],
)
def test_a_day_and_a_month_open_again_in_utc(now, day, month):
    assert terms.opens(datetime(*now, tzinfo=UTC), a_day=True) == datetime(*day, tzinfo=UTC)
    assert terms.opens(datetime(*now, tzinfo=UTC), a_day=False) == datetime(*month, tzinfo=UTC)


async def test_a_period_that_ends_under_an_order_is_refused_by_the_schema_itself(db, cast):
    agreed = await terms.agreed(db, cast.alice.id, "demo")
    await db.execute("update subscription set period_end = now()")
    late = Order(cast.alice.id, "late", "demo", Size(512, 512))
    with pytest.raises(subscriptions.NoSubscription):
        await generations._place(db, late, agreed, 60)
    assert await db.fetchval("select count(*) from job") == 0


async def test_a_running_picture_finishes_after_the_period(db, cast, config, vault):
    job = await begun(db, vault, cast.alice)
    await db.execute("update subscription set period_end = now(), state = 'expired'")
    await jobs.deliver(db, job, jobs.Painted("a.png", "a.webp", "0" * 64, "image/png", 512, 512, 100))
    assert (await ledger.balance(db, cast.alice.id)).spent == 1


async def begun(db, vault, account) -> jobs.Job:
    await keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test")
    await order(db, account, model_id="simulator")
    presence = Presence(db, "worker", lease=30)
    await presence.beat()
    (item,) = await mailbox.claim_fairly(db, "painting", presence.id, 1)
    found = await jobs.start(db, item.payload["job_id"], item.fence)
    assert found is not None
    return found


async def test_concurrency_and_priority_go_with_each_order(db, cast):
    await cap(db, concurrency=3, priority=4)
    await order(db, cast.alice, 5)
    assert await db.fetchval("select count(*) from message where (partition_limit, priority) = (3, 4)") == 5
    presence = Presence(db, "worker", lease=30)
    await presence.beat()
    assert len(await mailbox.claim_fairly(db, "painting", presence.id, 10)) == 3


async def test_a_plan_with_a_higher_priority_is_painted_first(db, cast):
    await order(db, cast.alice)
    await plans.add(db, "fast", Entry("Fast", 1999, priority=5), actor="test")
    await db.execute(
        "insert into subscription (account_id, plan_id, state, period_start, period_end)"
        " select $1, id, 'active', now(), now() + interval '1 month' from plan where code = 'fast'", cast.bob.id,
    )  # fmt: skip
    await ledger.grant(db, cast.bob.id, 5, "welcome")
    await order(db, cast.bob)
    presence = Presence(db, "worker", lease=30)
    await presence.beat()
    (first,) = await mailbox.claim_fairly(db, "painting", presence.id, 1)
    assert await db.fetchval("select account_id from job where id = $1", first.payload["job_id"]) == cast.bob.id


async def test_only_the_models_of_the_plan_may_be_ordered(db, cast, vault):
    await keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test")
    await cap(db, allowed_models=["simulator"])
    with pytest.raises(Refused, match="does not include") as why:
        await order(db, cast.alice)
    assert why.value.field == "model"
    await order(db, cast.alice, model_id="simulator")


async def test_the_retention_of_the_plan_takes_old_pictures_away(db, cast, vault):
    job = await begun(db, vault, cast.alice)
    await jobs.deliver(db, job, jobs.Painted("a.png", "a.webp", "0" * 64, "image/png", 512, 512, 100))
    await db.execute("update image set created_at = now() - interval '8 days'")
    assert await images.retire(db) == 0
    await cap(db, retention_days=7)
    assert await images.retire(db) == 1


async def test_an_edit_changes_neither_invoices_nor_running_periods(db, cast):
    plan = await plans.by_code(db, "monthly")
    invoice = await invoices.create(db, cast.bob.id, plan, "sandbox")
    await cap(db, price_cents=4999, credits_per_cycle=7)
    assert await invoices.settle(db, invoice.id, actor="test")
    paid = await invoices.get(db, invoice.id)
    assert (paid.amount_cents, paid.credits) == (999, 100)
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    for account in (cast.alice, cast.bob):
        assert (await subscriptions.open_one(db, account.id)).cycle_credits == 100
    dearer = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    assert (dearer.amount_cents, dearer.credits) == (4999, 7)


async def test_another_price_of_a_model_is_for_orders_to_come(db, cast, vault):
    job = await begun(db, vault, cast.alice)
    await entries.change(
        db, "simulator", entries.Entry(**{**vars(await entries.entry(db, "simulator")), "credits": 5}), actor="test"
    )
    await jobs.deliver(db, job, jobs.Painted("a.png", "a.webp", "0" * 64, "image/png", 512, 512, 100))
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(99, 0, 1)
    await order(db, cast.alice, model_id="simulator")
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(94, 5, 1)


WRONG = [
    ("name", " ", "1 to 80"), ("price_cents", -1, "not -1"), ("price_currency", "usd", "'usd'"),
    ("price_currency", "JPY", "JPY has none"), ("priority", 11, "not 11"),
    ("credits_per_cycle", 0, "not 0"), ("concurrency", 101, "not 101"),
    ("retention_days", 0, "not 0"), ("longest_wait_seconds", 4, "not 4"), ("credits_per_day", 0, "not 0"),
    ("credits_per_month", -5, "not -5"), ("allowed_models", ["nobody"], "'nobody'"), ("allowed_models", [], "nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "words"), WRONG)
async def test_what_no_plan_can_be_is_refused_by_field_and_value(db, field, value, words):
    with pytest.raises(Refused, match=words) as why:
        await cap(db, **{field: value})
    assert why.value.field == field
    assert await db.fetchval("select count(*) from audit where action like 'plan.%'") == 0


async def test_a_code_is_taken_once_and_an_unknown_one_is_told(db):
    with pytest.raises(Refused, match="already"):
        await plans.add(db, "monthly", Entry("Again", 1), actor="test")
    for code in ("Big Plan", "-", "-big", "", "x" * 41):  # one that begins with a dash has no page, and is never edited
        with pytest.raises(Refused, match=repr(code)):
            await plans.add(db, code, Entry("Big", 1), actor="test")
    with pytest.raises(NotFound):
        await plans.change(db, "none", Entry("None", 1), actor="test")


async def test_the_operator_sells_edits_and_lists_plans(db, dsn, tmp_path: Path):
    environment = {
        "LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(tmp_path), "LIMNER_VAULT_KEYS": VAULT_KEYS,
        "LIMNER_SECRET_KEY": "s" * 40,
    }  # fmt: skip

    async def plan(*words: str):
        return await asyncio.to_thread(CliRunner(env=environment).invoke, cli.main, ["plan", *words])

    added = await plan("add", "studio", "--name", "Studio", "--price", "29.90", "--credits", "500", "--per-day", "50",
                       "--model", "demo", "--retention", "30", "--concurrency", "6")  # fmt: skip
    assert added.exit_code == 0, added.output
    sold = await plans.entry(db, "studio")
    assert (sold.price_cents, sold.credits_per_cycle, sold.credits_per_day, sold.allowed_models) == (
        2990,
        500,
        50,
        ["demo"],
    )
    changed = await plan("set", "studio", "--per-day", "0", "--per-month", "900", "--model", "all", "--off")
    assert changed.exit_code == 0, changed.output
    edited = await plans.entry(db, "studio")
    assert edited == Entry(**{**vars(sold), "credits_per_day": None, "credits_per_month": 900, "allowed_models": None,
                              "active": False})  # fmt: skip
    listed = (await plan("list")).output
    assert "studio" in listed
    assert "900 a month, kept 30 days, every model" in listed
    assert (await plan("set", "nobody", "--sort", "1")).exit_code == 1
    assert "two digits" in (await plan("set", "studio", "--price", "1.005")).output
    rows = await db.fetch("select action, actor, before, after from audit where subject = 'studio' order by id")
    assert [(row["action"], row["actor"]) for row in rows] == [("plan.add", "cli"), ("plan.change", "cli")]
    assert rows[1]["before"]["credits_per_day"] == 50
    assert "price_cents" not in rows[1]["after"], "what stayed is not told"
