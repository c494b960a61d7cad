"""An order is booked on the plan it was made on: what somebody has later, or what it costs later, changes no earlier margin."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from uuid import UUID

import pytest

from limner.sql import changes, closings, figures, generations, invoices, ledger, margins, plans
from limner.sql.figures import Choice, Span
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.http.conftest import serving

PREVIOUS_RELEASE = "update generation set plan_id = null, plan_cents = null, plan_currency = null, plan_credits = null"


async def ordered(db, account, pictures: int = 2) -> UUID:
    """A picture each, delivered at once."""
    order = Order(account.id, "a boat", "demo", Size(512, 512), count=pictures)
    generation = await generations.order(db, order, deadline=60)
    rows = await db.fetch("select id from job where generation_id = $1", generation)
    await db.execute("update job set state = 'delivered', finished_at = now() where generation_id = $1", generation)
    for row in rows:
        await db.execute(
            "insert into ledger_entry (account_id, job_id, kind, credits) values ($1, $2, 'settle', 1)",
            account.id, row["id"],
        )  # fmt: skip
    return generation


async def large(db) -> plans.Plan:
    """20 cents a credit; the monthly one is 9.99."""
    await db.execute(
        "insert into plan (code, name, price_cents, credits_per_cycle) values ('large', 'Large', 4000, 200) "
        "on conflict (code) do nothing"
    )
    return await plans.by_code(db, "large")


async def upgrade(db, account) -> None:
    invoice = await changes.begin(db, account.id, await large(db), ("sandbox",), actor="test")
    await invoices.settle(db, invoice.id, actor="test")


async def today(db) -> Span:
    now = await db.fetchval("select now()")
    return Span(now - timedelta(days=1), now + timedelta(days=1))


async def earned(db, plan: int | None = None) -> int:
    """Millionths of a dollar."""
    return sum(line.earned for line in await figures.work(db, await today(db), Choice(plan=plan)))


async def by(db, dimension: str) -> dict[str, int]:
    return {line.name: line.earned for line in await margins.by(db, dimension, 1)}


async def test_who_upgrades_at_noon_leaves_the_morning_as_it_was(db, cast):
    monthly = await plans.by_code(db, "monthly")
    await ordered(db, cast.alice)
    morning = {dimension: await by(db, dimension) for dimension in margins.DIMENSIONS}
    assert (await earned(db), morning["plan"]) == (199_800, {"Monthly": 199_800})
    await upgrade(db, cast.alice)
    assert {dimension: await by(db, dimension) for dimension in margins.DIMENSIONS} == morning
    assert (await earned(db), await earned(db, monthly.id)) == (199_800, 199_800)

    await ordered(db, cast.alice)
    assert await by(db, "plan") == {"Monthly": 199_800, "Large": 400_000}
    assert await by(db, "user") == {"alice@example.com": 599_800}
    assert await earned(db, (await large(db)).id) == 400_000


async def test_a_new_price_is_that_of_orders_to_come(db, cast):
    await ordered(db, cast.alice)
    await db.execute("update plan set price_cents = 1998, price_currency = 'EUR', credits_per_cycle = 50")
    assert await earned(db) == 199_800
    assert await by(db, "user") == {"alice@example.com": 199_800}
    await ordered(db, cast.alice, 1)
    line = (await margins.by(db, "plan", 1))[0]
    assert (line.earned, line.elsewhere) == (199_800, {"EUR": 399_600})


async def test_what_is_charged_and_given_back_later_is_given_back_at_the_price_of_its_order(db, cast):
    generation = await ordered(db, cast.alice, 1)
    await upgrade(db, cast.alice)
    job = await db.fetchval("select id from job where generation_id = $1", generation)
    async with db.transaction() as tx:
        await ledger.refund(tx, job, "taken down")
    assert await earned(db) == 0
    assert {dimension: sum((await by(db, dimension)).values()) for dimension in margins.DIMENSIONS} == dict.fromkeys(
        margins.DIMENSIONS, 0
    )


async def test_a_day_that_is_put_down_has_what_was_booked(db, cast):
    await ordered(db, cast.alice)
    await upgrade(db, cast.alice)
    await db.execute("update plan set price_cents = 7")
    await db.execute(
        "update job set created_at = created_at - interval '2 days', finished_at = finished_at - interval '2 days'"
    )
    await closings.close(db)
    found = await db.fetch("select scope, earned_micros from work_day where delivered > 0 and scope in ('all', 'plan')")
    assert {row["scope"]: row["earned_micros"] for row in found} == {"all": 199_800, "plan": 199_800}


async def test_what_the_release_before_ordered_is_counted_as_it_was(db, cast):
    """It writes no plan: that of today is taken, at its price."""
    await ordered(db, cast.alice)
    await db.execute(PREVIOUS_RELEASE)
    assert await by(db, "plan") == {"Monthly": 199_800}
    await upgrade(db, cast.alice)
    assert await by(db, "plan") == {"Large": 400_000}
    assert (await by(db, "user"), await earned(db)) == ({"alice@example.com": 400_000}, 400_000)


async def test_failures_and_attempts_are_those_of_the_plan_of_their_order(db, cast):
    generation = await ordered(db, cast.alice, 1)
    await db.execute(
        "insert into attempt (job_id, number, key_id, model_id, fault, cost_micros, possible_micros, expires_at, finished_at) "
        "select j.id, 1, (select min(id) from provider_key), 'demo', 'rate_limited', 70, 0, now(), now() from job as j "
        "where generation_id = $1", generation,
    )  # fmt: skip
    await upgrade(db, cast.alice)
    monthly = await plans.by_code(db, "monthly")
    lines = await figures.work(db, await today(db), Choice(plan=monthly.id))
    assert (sum(each.cost for each in lines), sum(each.attempts for each in lines)) == (70, 1)


async def test_a_failed_picture_counts_under_what_a_painter_answered_not_under_what_was_let_go(db, cast):
    generation = await ordered(db, cast.alice, 1)
    await db.execute(
        "insert into attempt (job_id, number, key_id, model_id, fault, expires_at, finished_at) "
        "select j.id, n, (select min(id) from provider_key), 'demo', fault, now(), now() from job as j, "
        "(values (1, 'timeout_unknown'), (2, 'cancelled')) as t (n, fault) where generation_id = $1", generation,
    )  # fmt: skip
    await db.execute("update job set state = 'failed' where generation_id = $1", generation)
    lines = await figures.work(db, await today(db))
    assert {line.fault for line in lines if line.failed} == {"timeout_unknown"}


async def test_charts_of_today_go_to_each_order_by_its_key(db):
    async with db.transaction() as tx:
        await tx.execute("set local enable_nestloop = off")
        told = "\n".join(row[0] for row in await tx.fetch("explain select * from work_line where at >= now()"))
    assert "generation_id" in told and "Hash Cond: (g.id" not in told and "Merge Cond: (g.id" not in told


@pytest.mark.parametrize("view", ["work_line", "margin_line"])
async def test_the_planner_looks_into_the_plan_of_an_order_instead_of_calling_for_it(db, cast, view):
    async with db.transaction() as tx:
        await tx.execute("set local plan_cache_mode = force_generic_plan")
        lines = [row[0] for row in await tx.fetch(f"explain select * from {view}")]
    told = "\n".join(lines)
    assert "Function Scan" not in told and "g.plan_id IS NULL" in told
    assert "Seq Scan on subscription" not in told


async def test_the_csv_says_the_same(dsn, tmp_path, db, cast):
    await ordered(db, cast.alice)
    await upgrade(db, cast.alice)
    async with serving(dsn, tmp_path, db) as site:
        carol = await site.browser(cast.carol)
        answer = await carol.get("/admin/charts/margin.csv?range=7")
        rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
        earned_at = next(place for place, name in enumerate(rows[0]) if name == "earned")
        assert rows[-1][earned_at] == "0.20"
