"""The dashboard: money as the web's overview counts it, each currency for itself, refunds taken off."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import pytest
from PIL import Image

from limner.actors.bot import chart, words
from limner.sql import closings, figures, glance
from limner.sql.glance import Day
from tests.bot.phone import paired

INVOICE = """
insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at)
select $1, min(id), 'sandbox', $2, $3, 1, 'paid', now() - make_interval(days => $4), now() from plan returning id
"""
REFUND = """
insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at)
values ($1, 'whole', $2, $3, '', 'carol', 'sent', now())
"""


@pytest.fixture
async def takings(db, cast):
    """19.98 USD today, 5.00 EUR eight days ago, 7.00 EUR today; of an old invoice 4.00 USD went back today."""
    old = await db.fetchval(INVOICE, cast.bob.id, 400, "USD", 40)
    await db.execute(REFUND, old, 400, "USD")
    for cents, currency, ago in ((999, "USD", 0), (999, "USD", 0), (500, "EUR", 8), (700, "EUR", 0)):
        await db.fetchval(INVOICE, cast.bob.id, cents, currency, ago)


@pytest.mark.parametrize("is_put_down", [False, True])
async def test_each_currency_stands_for_itself_and_what_went_back_is_taken_off(db, config, takings, is_put_down):
    if is_put_down:
        assert await closings.close(db)
    phone = await paired(db, config)
    line = next(line for line in (await phone.press("home")).text.splitlines() if line.startswith("💰"))
    today, week, month = line.split(" · ")
    assert "15.98 USD + 7.00 EUR" in today and "15.98 USD + 7.00 EUR" in week
    assert "15.98 USD + 12.00 EUR" in month


async def test_a_month_is_what_the_webs_overview_says(db, takings):
    days = await glance.days(db)
    now = await db.fetchval("select now()")
    start = datetime.combine(days[0].day, datetime.min.time(), UTC)
    whole = await figures.totals(db, start, now)
    assert (glance.revenue(days), glance.margin(days)) == (whole.revenue, whole.margin)
    assert len(days) == glance.DAYS and days[-1].day == now.astimezone(UTC).date()
    assert sum(day.delivered for day in days) == whole.delivered


def fortnight(*revenue: dict[str, int]) -> list[Day]:
    return [Day(date(2026, 11, 1) + timedelta(n), 20, 3, each) for n, each in enumerate(revenue)]


def colours(png: bytes) -> set[str]:
    """Those of the lines for money that are in the picture, or as good as."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    seen = {pixel for _, pixel in image.getcolors(WIDE)}
    wanted = {colour: tuple(bytes.fromhex(colour[1:])) for colour in chart.MONEY}
    return {
        colour for colour, rgb in wanted.items()
        if any(max(abs(a - b) for a, b in zip(rgb, pixel, strict=True)) < 12 for pixel in seen)
    }  # fmt: skip


WIDE = chart.WIDTH * chart.HEIGHT


def test_the_chart_has_a_line_for_each_currency_and_none_for_who_sees_no_money():
    days = fortnight({"USD": 500, "EUR": 100}, {"USD": -900}, {"EUR": 300})
    assert colours(chart.png(days, with_money=True)) == set(chart.MONEY[:2])
    assert colours(chart.png(days, with_money=False)) == set()
    assert colours(chart.png(fortnight({}, {"USD": -5}), with_money=True)) == set()


def test_sums_are_written_with_their_currency():
    assert words.sums({"USD": 999, "EUR": 0, "RUB": 5}) == "9.99 USD + 0.05 RUB"
    assert words.sums({}) == "0.00 USD"
