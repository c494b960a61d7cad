"""`limner subscription …`: what an operator reads, and what an operator does, with a reason."""

from __future__ import annotations

import pytest

from limner.runtime.errors import NotFound
from limner.sql import invoices, plans, subscribers, subscriptions
from limner.sql.subscriptions import NoSubscription


async def test_an_operator_reads_what_runs_what_was_paid_and_what_was_done(db, cast, config):
    invoice = await invoices.create(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    assert "paused since" in await subscribers.pause(config, "Alice@example.com", "a dispute")
    said = "\n".join(await subscribers.show(config, "alice@example.com"))
    for words in (
        "alice@example.com: Monthly, paused",
        "days are kept",
        "paid 9.99 USD (plan) for",
        "by cli: a dispute",
    ):
        assert words in said
    assert "unless Monthly is paid for" in await subscribers.resume(config, "alice@example.com", "settled")
    assert "for good" in await subscribers.cancel(config, "alice@example.com", "asked by mail")
    alice = await subscriptions.alive(db, cast.alice.id)
    assert alice and alice.is_open and alice.canceled_at
    reasons = "select array_agg(after ->> 'reason' order by id) from audit where actor = 'cli'"
    assert await db.fetchval(reasons) == ["a dispute", "settled", "asked by mail"]


@pytest.mark.parametrize(
    "state, words", [("expired", "ended"), ("canceled", "ended"), ("past_due", "a payment is being confirmed")]
)
async def test_what_is_over_is_said_to_be_over(db, cast, config, state, words):
    await db.execute("update subscription set state = $1", state)
    assert words in "\n".join(await subscribers.show(config, "alice@example.com"))
    with pytest.raises(NoSubscription):
        await subscribers.pause(config, "alice@example.com", "x")


async def test_who_has_no_plan_and_who_is_not_there(db, cast, config):
    assert "never had one" in (await subscribers.show(config, "bob@example.com"))[0]
    await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    assert "as soon as its invoice is paid" in "\n".join(await subscribers.show(config, "bob@example.com"))
    with pytest.raises(NotFound, match="nobody@example.com"):
        await subscribers.show(config, "nobody@example.com")
