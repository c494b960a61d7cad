"""Margins: the same numbers as the charts have, by whatever they are told, and no currency taken for another."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from limner.sql import closings, figures, margins
from limner.sql.figures import Span
from tests.figures.history import Event, History

SEED = 20261128
NUMBERS = ("delivered", "attempts", "credits", "cost", "possible")


@pytest.mark.parametrize("is_put_down", [False, True])
@pytest.mark.parametrize("days", [1, 3, 30])
async def test_each_line_is_what_was_counted_by_the_simplest_means(db, days, is_put_down):
    history = History(db, SEED)
    await history.begin()
    await history.live(60)
    if is_put_down:
        await closings.close(db)
    since = history.today - timedelta(days=days - 1)
    events = [each for each in history.work if each.at >= since]
    owners = {shop.plan: name for name, shop in zip(("p0", "p1", "p2"), history.shops, strict=True)}
    keys = {row["id"]: f"{row['label']} {row['last_four']}" for row in await db.fetch("select * from provider_key")}
    named = {
        "day": lambda each: str(each.at.date()),
        "plan": lambda each: owners[each.plan],
        "model": lambda each: each.model,
        "key": lambda each: keys.get(each.key, "–"),
        "user": lambda each: f"{owners[each.plan]}@example.com",
    }
    for dimension, name in named.items():
        found = {line.name: told(line) for line in await margins.by(db, dimension, days)}
        assert found == counted(events, name), dimension


def told(line) -> dict[str, object]:
    return {name: getattr(line, name) for name in NUMBERS} | {"USD": line.earned, "EUR": line.elsewhere.get("EUR", 0)}


def counted(events: list[Event], name) -> dict[str, dict[str, object]]:
    sums: dict[str, Counter[str]] = {}
    for each in events:
        numbers = Counter(each.numbers)
        numbers[each.currency] += numbers.pop("earned", 0)
        sums.setdefault(name(each), Counter()).update(numbers)
    return {
        where: {what: each[what] for what in (*NUMBERS, "USD", "EUR")}
        for where, each in sums.items()
        if each["delivered"] or each["attempts"] or each["credits"]
    }


async def test_the_margin_is_that_of_the_charts(db):
    history = History(db, SEED)
    await history.begin()
    await history.live(60)
    span = Span(history.today - timedelta(days=6), history.today + timedelta(days=1))
    whole = await figures.totals(db, span.start, span.end)
    for dimension in margins.DIMENSIONS:
        lines = await margins.by(db, dimension, 7)
        assert (sum(line.earned for line in lines) + 5_000) // 10_000 == whole.earned, dimension
        assert (sum(line.cost for line in lines) + 5_000) // 10_000 == whole.cost, dimension
