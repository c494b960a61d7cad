"""The pages of a subscription: what runs, what comes next, and forms that do what they say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from limner.sql import changes, invoices, pauses, plans, subscriptions
from limner.sql.channels import INVOICE_CHANGED
from tests.http.conftest import available, serving

HERE = "/account/subscription"
SELL = """
insert into plan (code, name, price_cents, credits_per_cycle) values ('small', 'Small', 499, 40), ('large', 'Large', 2999, 400)
"""


@pytest.fixture(autouse=True)
async def sold(db):
    """Small, Monthly and Large are on sale."""
    await db.execute(SELL)


async def held(db, account) -> subscriptions.Subscription:
    found = await subscriptions.latest(db, account.id)
    assert found is not None
    return found


async def plan(db, code: str) -> plans.Plan:
    return await plans.by_code(db, code)


async def test_the_page_says_what_runs_and_what_comes(alice, db, cast):
    page = await alice.get(HERE)
    until = (await held(db, cast.alice)).period.end
    for words in (
        "Monthly",
        "active",
        f"{until.day} {until:%b %Y}",
        "comes three days before the end",
        "nothing is taken by itself",
    ):
        assert words in page.text


async def test_who_has_no_plan_is_led_to_the_plans(bob):
    assert "You have no plan yet" in (await bob.get(HERE)).text


async def test_the_plans_say_which_is_mine_and_what_up_and_down_cost(alice, db, cast):
    alice_has = await held(db, cast.alice)
    price = changes.offer(alice_has, await plan(db, "large")).cents
    for path in (HERE, "/plans"):
        page = await alice.get(path)
        assert "your plan" in page.text
        shown = [f"{cents // 100}.{cents % 100:02d} USD" for cents in (price, price - 1)]
        assert any(f"Change now · {words}" in page.text for words in shown), path
        assert "From the next month" in page.text
    assert "Add a month" in (await alice.get("/plans")).text


async def test_up_leads_to_an_invoice_and_begins_with_its_payment(studio_at_work, cast, db):
    alice = await studio_at_work.browser(cast.alice)
    bought = await alice.post(f"{HERE}/plan", {"plan": "large"})
    assert bought.location.startswith("/invoices/")
    page = await alice.get(bought.location)
    assert "Change to Large" in page.text
    assert (await held(db, cast.alice)).plan.code == "monthly"
    path = (await db.fetchval("select checkout_url from invoice")).removeprefix(studio_at_work.url)
    await alice.post(path, {"act": "pay"})
    await studio_at_work.until(INVOICE_CHANGED, lambda: db.fetchval("select true from invoice where state = 'paid'"))
    assert (await held(db, cast.alice)).plan.code == "large"
    assert await available(db, cast.alice) == 100 + await db.fetchval("select credits from invoice")
    assert "Large" in (await alice.get(HERE)).text


async def test_down_is_written_down_and_can_be_taken_back(alice, db, cast):
    assert (await alice.post(f"{HERE}/plan", {"plan": "small"})).location == HERE
    page = await alice.get(HERE)
    assert "It changes to Small on" in page.text and "comes next" in page.text and "Stay with Monthly" in page.text
    assert (await held(db, cast.alice)).plan.code == "monthly"
    await alice.post(f"{HERE}/plan", {"plan": "monthly"})
    assert (await held(db, cast.alice)).next_plan is None
    acts = await db.fetch("select actor, after, ip from audit where action = 'subscription.follow' order by id")
    assert [(act["actor"], act["after"]["plan"], act["ip"]) for act in acts] == [
        (cast.alice.email, "small", "127.0.0.1"), (cast.alice.email, "monthly", "127.0.0.1"),
    ]  # fmt: skip


async def test_ending_it_keeps_what_is_paid_and_can_be_taken_back(alice, db, cast):
    assert (await alice.post(f"{HERE}/cancellation")).location == HERE
    page = await alice.get(HERE)
    assert "No further invoice comes" in page.text and "Go on after all" in page.text
    assert (await alice.order()).status == 303, "until the end everything works"
    assert (await alice.post(f"{HERE}/continuation")).location == HERE
    assert "End the plan" in (await alice.get(HERE)).text


@pytest.mark.parametrize("code", ["", "nothing", "x" * 41, "Monthly", "a\x00b", "'; drop table plan"])
async def test_a_plan_that_is_not_sold_is_refused_by_name(alice, db, code):
    page = await alice.post(f"{HERE}/plan", {"plan": code})
    assert page.status == 400
    assert 'role="alert"' in page.text
    assert await db.fetchval("select count(*) from invoice") == 0


async def test_without_a_plan_there_is_nothing_to_change_or_end(bob, db):
    for path, fields in (("plan", {"plan": "large"}), ("cancellation", {}), ("continuation", {})):
        page = await bob.post(f"{HERE}/{path}", fields)
        assert 400 <= page.status < 500 and "Painting needs a plan" in page.text, path
    assert await db.fetchval("select count(*) from invoice") == 0


async def test_without_a_processor_up_is_refused_and_down_is_not(dsn, tmp_path, db, cast):
    async with serving(dsn, tmp_path, db, sandbox_payments=False) as site:
        alice = await site.browser(cast.alice)
        assert "No way to pay" in (await alice.post(f"{HERE}/plan", {"plan": "large"})).text
        assert (await alice.post(f"{HERE}/plan", {"plan": "small"})).status == 303


async def test_the_renewal_invoice_is_one_click_away(alice, db, cast):
    invoice = await invoices.make(db, cast.alice.id, await plan(db, "monthly"), "sandbox", purpose="renewal")
    page = await alice.get(HERE)
    assert f'href="/invoices/{invoice.id}"' in page.text and "The invoice for the next month is here" in page.text


async def test_after_the_end_the_page_says_so(alice, db, cast):
    for state, words in (
        ("expired", "It ended"),
        ("canceled", "It ended"),
        ("past_due", "A payment is being confirmed"),
    ):
        await db.execute(
            "update subscription set state = $1, period_end = now() - interval '1 day', period_start = now() - interval '9 days'",
            state,
        )
        for path in (HERE, "/plans", "/dashboard", "/account"):
            assert (await alice.get(path)).status == 200, (state, path)
        assert words in (await alice.get(HERE)).text, state


async def test_carol_pauses_resumes_and_extends_with_a_reason(carol, alice, db, cast):
    there = f"/admin/users/{cast.alice.id}"
    before = (await held(db, cast.alice)).period.end
    assert (
        await carol.act(f"{there}/subscription", {"act": "extend", "days": "5", "reason": "we were <down>"})
    ).location == there
    assert (await held(db, cast.alice)).period.end == before + timedelta(days=5)
    await carol.act(f"{there}/subscription", {"act": "pause", "reason": "on a journey"})
    assert "paused" in (await carol.get(there)).text
    assert "It is paused since" in (await alice.get(HERE)).text
    page = await alice.order()
    assert (page.status, "Your plan is paused" in page.text) == (402, True)
    for path in ("/studio", "/plans", "/dashboard"):
        assert (await alice.get(path)).status == 200, path
    await carol.act(f"{there}/subscription", {"act": "resume", "reason": "back"})
    assert (await alice.order()).status == 303
    acts = await db.fetch("select action, actor, after from audit where action like 'subscription.%' order by id")
    assert [(act["action"], act["actor"], act["after"]["reason"]) for act in acts] == [
        ("subscription.extend", cast.carol.email, "we were <down>"), ("subscription.pause", cast.carol.email, "on a journey"),
        ("subscription.resume", cast.carol.email, "back"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"act": "pause"}, {"act": "resume", "reason": "it is not paused"}, {"act": "burn", "reason": "x"},
        {"act": "extend", "reason": "x"}, {"act": "extend", "days": "0", "reason": "x"},
        {"act": "extend", "days": "367", "reason": "x"}, {"act": "extend", "days": "1e2", "reason": "x"},
        {"act": "extend", "days": "3", "reason": "x" * 201},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_on_the_users_page(carol, db, cast, fields):
    before = await held(db, cast.alice)
    page = await carol.act(f"/admin/users/{cast.alice.id}/subscription", fields, reason="")
    assert page.status == (409 if fields.get("act") == "resume" else 400)
    assert 'role="alert"' in page.text or 'id="sure_reason-error"' in page.text
    assert cast.alice.email in page.text
    assert (await held(db, cast.alice)).period == before.period


async def test_who_has_no_plan_cannot_be_paused(carol, cast):
    page = await carol.act(f"/admin/users/{cast.bob.id}/subscription", {"act": "pause", "reason": "x"})
    assert "no plan that runs" in page.text


async def test_a_paused_plan_orders_nothing_through_the_api_either(db, cast):
    await pauses.pause(db, cast.alice.id, "x", actor="test")
    with pytest.raises(subscriptions.NoSubscription, match="paused"):
        await subscriptions.open_one(db, cast.alice.id)
