"""A subscription's own page: whose it is, what was paid for which time, its pauses and changes of plan."""

from __future__ import annotations

from uuid import uuid4

import pytest

from limner.sql import accounts, changes, invoices, pauses, plans, subscriptions


@pytest.fixture
async def held(db, cast):
    """Alice's, a second month of which is paid for."""
    invoice = await invoices.create(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    return await subscriptions.alive(db, cast.alice.id), invoice


async def test_a_subscription_tells_its_periods_pauses_and_who_did_what(carol, cast, db, held):
    subscription, invoice = held
    await pauses.pause(db, cast.alice.id, "she is ill", actor=cast.carol.email)
    path = f"/admin/subscriptions/{subscription.id}"
    page = (await carol.get(path)).text
    assert f'href="{path}"' in (await carol.get("/admin/subscriptions")).text
    assert f'href="/admin/users/{cast.alice.id}"' in page and cast.alice.email in page
    assert f'href="/admin/invoices/{invoice.id}"' in page and "paused" in page
    counts = (await db.fetchrow("select details from invoice where id = $1", invoice.id))["details"]
    assert f'datetime="{counts["until"][:10]}' in page and f'datetime="{counts["from"][:10]}' in page
    assert "subscription.pause" in page and "she is ill" in page and cast.carol.email in page
    await pauses.resume(db, cast.alice.id, "well again", actor=cast.carol.email)
    await changes.cancel(db, cast.alice.id, actor=cast.alice.email)
    page = (await carol.get(path)).text
    assert "well again" in page and "subscription.cancel" in page and "ending" in page


async def test_another_ones_invoice_is_not_there(carol, cast, db, held):
    other = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    page = (await carol.get(f"/admin/subscriptions/{held[0].id}")).text
    assert str(other.id) not in page
    bobs = await db.fetchval("select id from subscription where account_id = $1", cast.bob.id)
    page = (await carol.get(f"/admin/subscriptions/{bobs}")).text
    assert str(other.id) in page and "to be paid" in page and str(held[1].id) not in page


async def test_support_looks_and_others_find_nothing(site, alice, carol, cast, db, held):
    path = f"/admin/subscriptions/{held[0].id}"
    assert (await alice.get(path)).status == 404
    await accounts.set_role(db, cast.bob, "support", actor="test")
    page = await (await site.browser(cast.bob)).get(path)
    assert page.status == 200 and "It is paused, resumed or given days" not in page.text
    assert [(await carol.get(f"/admin/subscriptions/{no}")).status for no in (uuid4(), "x")] == [404, 404]
