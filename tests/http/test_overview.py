"""The overview: money and pictures against the time before, small charts, and health at a glance."""

from __future__ import annotations

import re
from datetime import timedelta

from limner.runtime.presence import Presence
from limner.sql import figures
from tests.figures.history import History


def tile(page, words: str) -> str:
    """What stands under a number's words."""
    for found in re.findall(r'<div class="stat">(.*?)</div>', page.text, re.DOTALL):
        text = " ".join(re.sub(r"<[^>]+>", " ", found).split())
        if text.startswith(f"{words} "):
            return text.removeprefix(f"{words} ")
    raise AssertionError(f"no number is called {words!r}")


async def test_numbers_are_set_against_the_days_before(carol, db):
    history = History(db, 1)
    await history.begin()
    usd = next(shop for shop in history.shops if (shop.currency, shop.price) == ("USD", 999))
    history.shops = [usd]
    for days, times in ((1.5, 3), (35, 2)):
        for _ in range(times):
            await db.execute(
                "insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, "
                "expires_at) values ($1, $2, 'sandbox', 999, 'USD', 1, 'paid', $3, now())",
                usd.account, usd.plan, history.now - timedelta(days=days),
            )  # fmt: skip
    for _ in range(4):
        await history.fail(history.now)
    page = await carol.get("/admin")
    assert tile(page, "Revenue") == "29.97 USD +50 % 0.00 USD today"
    assert tile(page, "Could not be painted") == "4 4 today"
    assert tile(page, "Half within") == "– – today"
    assert len(re.findall("data-plot=", page.text)) == 4


async def test_what_was_sent_back_can_be_more_than_what_came(carol, db):
    history = History(db, 1)
    await history.begin()
    long_ago = history.now - timedelta(days=70)
    shop = history.shops[0]
    invoice = await db.fetchval(
        "insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at) "
        "values ($1, $2, 'sandbox', 999, 'USD', 1, 'paid', $3, $3) returning id", shop.account, shop.plan, long_ago,
    )  # fmt: skip
    await db.execute(
        "insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at) "
        "values ($1, 'whole', 999, 'USD', '', 'carol', 'sent', now() - interval '1 hour')", invoice,
    )  # fmt: skip
    assert tile(await carol.get("/admin"), "Revenue").startswith("−9.99 USD")


async def test_health_stands_there_at_a_glance(carol, db):
    await Presence(db, "worker", lease=3).beat()
    await db.execute("insert into alert (cause, words) values ('x', 'The roof is leaking.')")
    page = await carol.get("/admin")
    assert "The roof is leaking." in page.text
    assert re.search(r"<dt>Worker</dt><dd>1 ", page.text)
    assert "Last good backup" in page.text


async def test_totals_are_those_of_any_moments(db):
    history = History(db, 2)
    await history.begin()
    await history.live(40)
    start, end = history.now - timedelta(days=3, seconds=7), history.now - timedelta(hours=30)
    found = await figures.totals(db, start, end)
    inside = [event for event in history.work if start <= event.at < end]
    assert found.delivered == sum(event.numbers["delivered"] for event in inside)
    assert found.failed == sum(event.numbers["failed"] for event in inside)
    assert sum(found.faults.values()) == sum(event.numbers["attempts"] for event in inside if event.fault)
    earned = sum(event.numbers["earned"] for event in inside if event.currency == "USD")
    cost = sum(event.numbers["cost"] for event in inside)
    assert found.margin == (earned + 5000) // 10_000 - (cost + 5000) // 10_000
