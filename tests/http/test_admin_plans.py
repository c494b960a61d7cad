"""Plans on the admin's screens: an edit is for what comes, is written down with its reason, and never rewrites the past."""

from __future__ import annotations

import pytest

from limner.sql import invoices, plans
from tests.http.conftest import available

TERMS = {
    "name": "Monthly", "price": "12.50", "price_currency": "USD", "billing_currency": "USDT", "credits_per_cycle": "200",
    "credits_per_day": "", "credits_per_month": "", "concurrency": "3", "priority": "1", "retention_days": "30",
    "longest_wait_seconds": "600", "sort": "0", "allowed_models": "", "shows_exact_quota": "1", "active": "1",
}  # fmt: skip


async def test_an_edit_holds_for_what_is_bought_from_now_on(carol, alice, bob, db, cast):
    before = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    held = await db.fetchrow("select * from subscription where account_id = $1", cast.alice.id)
    assert (
        await carol.act("/admin/plans/monthly/terms", {**TERMS, "reason": "dearer <paint>"})
    ).location == "/admin/plans/monthly"
    plan = await plans.by_code(db, "monthly")
    assert (plan.price_cents, plan.credits_per_cycle, plan.shows_exact_quota, plan.retention_days) == (
        1250,
        200,
        True,
        30,
    )
    kept = await invoices.get(db, before.id)
    assert (kept.amount_cents, kept.credits) == (999, 100)
    assert await db.fetchrow("select * from subscription where account_id = $1", cast.alice.id) == held
    assert await available(db, cast.alice) == 100
    page = await carol.get("/admin/plans/monthly")
    assert "dearer &lt;paint&gt;" in page.text
    entry = await db.fetchrow("select before, after from audit where action = 'plan.change'")
    assert (entry["before"]["price_cents"], entry["after"]["price_cents"]) == (999, 1250)
    assert "name" not in entry["after"]


async def test_an_archived_plan_is_not_sold_and_who_has_it_paints_on(carol, alice, bob, db):
    assert (await carol.act("/admin/plans/monthly/terms", {**TERMS, "active": "0", "reason": "over"})).status == 303
    assert (await bob.post("/plans/monthly/invoices")).status == 404
    assert (await alice.order()).status == 303
    assert "archived" in (await carol.get("/admin/plans?state=off")).text


async def test_a_plan_is_added_and_sold(carol, bob):
    form = {
        **TERMS,
        "code": "atelier",
        "name": "Atelier",
        "price": "49.99",
        "allowed_models": "demo",
        "reason": "asked for",
    }
    assert (await carol.act("/admin/plans", form)).location == "/admin/plans/atelier"
    assert "49.99 USD" in (await bob.get("/plans")).text
    again = await carol.act("/admin/plans", form)
    assert (again.status, "There is a plan &#39;atelier&#39; already." in again.text) == (400, True)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("price", "9.999", "at most two digits"),
        ("price", "free", "A price looks like 9.99, not &#39;free&#39;."),
        ("price", "NaN", "A price looks like 9.99"),
        ("price", "-1", "A price looks like 9.99"),
        ("name", "", "Name is missing."),
        ("credits_per_cycle", "0", "not &#39;0&#39;"),
        ("concurrency", "101", "not &#39;101&#39;"),
        ("priority", "11", "not &#39;11&#39;"),
        ("price_currency", "$$", "A currency looks like USD"),
        ("allowed_models", "demo nonsense", "There is no model &#39;nonsense&#39;."),
    ],
)
async def test_what_a_plan_cannot_be_is_said_beside_the_field_and_nothing_changes(carol, db, field, value, words):
    before = await plans.listing(db)
    page = await carol.act("/admin/plans/monthly/terms", {**TERMS, "reason": "why", field: value})
    assert page.status == 400
    assert words in page.text
    assert f'id="{field}-error"' in page.text
    assert await plans.listing(db) == before


async def test_there_is_no_page_of_a_plan_that_is_not_there(carol):
    assert (await carol.get("/admin/plans/nothing")).status == 404
    assert (await carol.act("/admin/plans/nothing/terms", {**TERMS, "reason": "x"})).status == 404
