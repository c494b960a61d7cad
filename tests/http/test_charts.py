"""The charts: the same numbers in the drawing, the table and the CSV, of the time and the choice that was asked for."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from limner.sql import accounts, closings
from limner.sql.figures import Choice, Span
from tests.figures.history import History, counted

SEED = 20261128


@pytest.fixture
async def history(db):
    """Some days of life, of which all but the last are put down."""
    history = History(db, SEED)
    await history.begin()
    await history.live(80)
    await closings.close(db)
    return history


def drawn(page) -> list[dict]:
    """What the script would draw."""
    return [json.loads(html.unescape(found)) for found in re.findall(r'data-plot="([^"]*)"', page.text)]


def read(page) -> list[list[str]]:
    """The CSV, its mark taken off."""
    assert page.body.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(page.body.decode("utf-8-sig"))))


def tables(page) -> list[list[list[str]]]:
    """The cells of each table's body, oldest first."""
    found = re.findall(r"<tbody>(.*?)</tbody>", page.text, re.DOTALL)
    return [
        [
            re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
            for row in reversed(re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL))
        ]
        for body in found
    ]


async def test_drawing_table_and_csv_have_the_same_numbers(carol, history):
    page = await carol.get("/admin/charts/delivered?range=7")
    written = read(await carol.get("/admin/charts/delivered.csv?range=7"))
    (plot,), (table,) = drawn(page), tables(page)
    assert written[0] == ["day (UTC)", "delivered", "could not be painted"]
    assert [line["values"] for line in plot["lines"]] == [[int(row[n]) for row in written[1:]] for n in (1, 2)]
    assert [row[1:] for row in table] == [row[1:] for row in written[1:]]
    assert [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d") for at in plot["at"]] == [
        row[0] for row in written[1:]
    ]
    span = Span(history.today - timedelta(days=6), history.today + timedelta(days=1), "whole")
    truth = sum(
        (numbers for numbers in counted(history.work, span, Choice()).values()), start=type(history.work[0].numbers)()
    )
    assert sum(plot["lines"][0]["values"]) == truth["delivered"] > 10
    assert sum(plot["lines"][1]["values"]) == truth["failed"] > 3


async def test_money_is_in_its_own_currency_each(carol, history):
    page = await carol.get("/admin/charts/revenue?range=7")
    written = read(await carol.get("/admin/charts/revenue.csv?range=7"))
    assert {plot["currency"] for plot in drawn(page)} == {"USD", "EUR"}
    assert written[0] == ["day (UTC)", "currency", "revenue", "paid", "sent back", "invoices"]
    whole = Span(history.today - timedelta(days=6), history.now + timedelta(days=1))
    for plot in drawn(page):
        truth = counted(history.takings, whole, Choice())[whole.start, "", plot["currency"]]
        assert sum(plot["lines"][0]["values"]) == truth["paid"] - truth["refunded"]
        cells = [float(row[2]) for row in written[1:] if row[1] == plot["currency"]]
        assert round(sum(cells) * 100) == truth["paid"] - truth["refunded"]
    assert (
        "Pictures of plans priced in EUR earned nothing here" in (await carol.get("/admin/charts/margin?range=7")).text
    )


async def test_the_page_of_margins_takes_no_currency_for_another(carol, history):
    span = Span(history.today - timedelta(days=6), history.today + timedelta(days=1), "whole")
    page = (await carol.get("/admin/margins?by=plan&days=7")).text
    for shop in history.shops:
        numbers = counted(history.work, span, Choice(plan=shop.plan))[span.start, "", shop.currency]
        assert f"{numbers['earned'] / 1_000_000:.2f} {shop.currency}" in page
    assert "there is no rate" in page


async def test_a_plan_a_model_or_a_key_is_asked_for_by_itself(carol, history):
    span = Span(history.today - timedelta(days=6), history.today + timedelta(days=1), "whole")
    for name, value in (("plan", history.shops[0].plan), ("model", history.models[0]), ("key", history.keys[1])):
        page = await carol.get(f"/admin/charts/delivered?range=7&{name}={value}")
        truth = counted(history.work, span, Choice(**{name: value}))
        assert sum(drawn(page)[0]["lines"][0]["values"]) == sum(each["delivered"] for each in truth.values())
        assert re.search(rf'<option value="{value}" selected>', page.text)
    assert "Not by model: this is of all." in (await carol.get(f"/admin/charts/revenue?model={history.models[0]}")).text


@pytest.mark.parametrize(
    "query, hourly, length",
    [
        ("range=24h", True, 24), ("range=7", False, 7), ("", False, 30), ("range=365", False, 365),
        ("from=2026-10-01&to=2026-10-02", True, 48), ("from=2026-10-01&to=2026-10-03", False, 3),
        ("from=2026-03-29&to=2026-03-29", True, 24), ("from=2024-01-01&to=2024-12-31", False, 366),
    ],
)  # fmt: skip
async def test_up_to_two_days_are_shown_by_hours_of_utc_and_more_by_days(carol, query, hourly, length):
    page = await carol.get(f"/admin/charts/queue?{query}")
    plot = drawn(page)[0]
    assert (page.status, plot["hourly"], len(plot["at"])) == (200, hourly, length)
    assert f"by {'hours' if hourly else 'days'} of UTC" in page.text
    steps = {later - earlier for earlier, later in zip(plot["at"], plot["at"][1:], strict=False)}
    assert steps == {3600 if hourly else 86_400}


@pytest.mark.parametrize(
    "query, words",
    [
        ("range=31", "Range must be one of 24h, 7, 30, 90, 365, not &#39;31&#39;."),
        ("from=yesterday", "From looks like 2027-01-31, not &#39;yesterday&#39;."),
        ("to=2026-02-30", "To looks like 2027-01-31, not &#39;2026-02-30&#39;."),
        ("from=0001-01-01", "From looks like 2027-01-31, not &#39;0001-01-01&#39;."),
        ("from=2026-02-02&to=2026-02-01", "From must not be after to: 2026-02-02 is after 2026-02-01."),
        ("from=2024-01-01&to=2026-01-01", "From 2024-01-01 to 2026-01-01 is longer than 366 days."),
        ("plan=-1", "Plan must be the number of one, not &#39;-1&#39;."),
        ("key=1e3", "Key must be the number of one, not &#39;1e3&#39;."),
        ("model=%00", "Model must be the name of one"),
        ("model=" + "x" * 99, "Model must be the name of one"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_the_field_and_the_value(carol, query, words):
    for path in ("/admin/charts", "/admin/charts/revenue"):
        page = await carol.get(f"{path}?{query}")
        assert (page.status, words in page.text) == (400, True), page.text[-3000:]
        assert drawn(page), "the charts of the usual time are there all the same"
    assert (await carol.get(f"/admin/charts/revenue.csv?{query}")).status == 400


async def test_all_charts_stand_on_one_page_and_each_has_its_own(carol, history):
    page = await carol.get("/admin/charts?range=7")
    codes = ("revenue", "margin", "delivered", "failures", "latency", "pool", "queue")
    assert len(drawn(page)) == len(codes) + 1, "revenue in two currencies"
    for code in codes:
        assert f'href="/admin/charts/{code}?range=7"' in page.text
        alone = await carol.get(f"/admin/charts/{code}?range=7")
        assert drawn(alone)
        assert drawn(alone) == [plot for plot in drawn(page) if plot in drawn(alone)]
        assert f'href="/admin/charts/{code}.csv?range=7"' in alone.text
    assert (await carol.get("/admin/charts/nothing")).status == 404


async def test_without_a_script_there_is_a_drawing_with_its_words(carol, history):
    page = await carol.get("/admin/charts/delivered?range=7")
    path = re.search(r'<path class="ink-good" d="(M[^"]+)"', page.text)
    assert path and len(re.findall("L", path[1])) == 6, "seven days, one line"
    assert re.search(r'role="img" aria-label="Pictures\. Delivered: \d+ at last, between \d+ and \d+\.', page.text)


async def test_only_pages_with_charts_load_what_draws_them(carol):
    assert "vendor/uplot.min.js" in (await carol.get("/admin/charts")).text
    for path in ("/admin/users", "/admin/keys", "/studio", "/"):
        assert "uplot" not in (await carol.get(path)).text, path


async def test_a_supporter_reads_them_too(site, cast, history):
    await site.db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    bob = await site.browser(await accounts.get(site.db, cast.bob.id))
    assert (await bob.get("/admin/charts")).status == 200
    assert (await bob.get("/admin/charts/revenue.csv")).status == 200
