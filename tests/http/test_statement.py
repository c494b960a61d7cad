"""The statement: each line of somebody's own ledger in plain words, with what was left after it, on pages and as CSV."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest

from limner.http import pages
from limner.sql import ledger, statements
from limner.sql.cells import safe
from limner.sql.statements import Month
from tests.http.conftest import Page
from tests.http.painting import ordered, take_up

MANY = """
insert into ledger_entry (account_id, kind, credits, why)
select $1, 'grant', 1, 'gift ' || n from generate_series(1, $2::int) as n
"""


def rows(page: Page) -> list[list[str]]:
    """The cells of the table, as text."""
    found = re.findall(r"<tr>\s*(<t[hd](?! scope=.col).*?)</tr>", page.text, re.DOTALL)
    return [
        [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in found
    ]


def parsed(page: Page) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page.body.decode("utf-8-sig"))))


async def test_each_picture_is_reserved_then_charged_or_given_back(alice, site, db):
    await ordered(alice, prompt="the pier at dusk")
    await (await take_up(site)).deliver()
    await ordered(alice, prompt="the pier at dawn")
    await (await take_up(site)).fail("it took too long")
    page = await alice.get("/account/statement")
    assert [row[1:] for row in rows(page)] == [
        ["“the pier at dawn” not delivered, nothing charged: it took too long", "+1", "99"],
        ["“the pier at dawn” ordered: 1 credit reserved", "−1", "98"],
        ["“the pier at dusk” delivered: the reserved 1 credit charged", "0", "99"],
        ["“the pier at dusk” ordered: 1 credit reserved", "−1", "99"],
        ["Received: Plan Monthly, from the seeds", "+100", "100"],
    ]
    picture = await db.fetchval("select id from image")
    assert f'href="/pictures/{picture}"' in page.text
    assert "<dt>Credits charged</dt><dd>1</dd>" in page.text


async def test_one_line_is_one_line(alice, db, cast):
    assert 'Statement, 1 line"' in (await alice.get("/account/statement")).text
    assert 'Statement, last 1 line"' in (await alice.get("/account")).text
    await db.execute(MANY, cast.alice.id, 1)
    assert 'Statement, 2 lines"' in (await alice.get("/account/statement")).text


@pytest.mark.parametrize(("number", "said"), [(0, "0 credits"), (1, "1 credit"), (12345, "12&#8239;345 credits")])
def test_things_are_counted_in_good_english(number, said):
    assert pages.count(number, "credit") == said


async def test_every_kind_of_entry_has_words(alice, cast, db, site):
    await ordered(alice, prompt="a fox")
    await (await take_up(site)).deliver()
    await ledger.refund(db, await db.fetchval("select id from job"), "it was damaged")
    await ledger.adjust(db, cast.alice.id, -3, "counted twice")
    await ledger.reset(db, cast.alice.id, "what was left of the last period")
    said = [row[1:] for row in rows(await alice.get("/account/statement"))][:3]
    assert said == [
        ["Ended with its period: what was left of the last period", "−97", "0"],
        ["Corrected: counted twice", "−3", "97"],
        ["“a fox” refunded: it was damaged", "+1", "100"],
    ]


async def test_pages_join_without_a_gap_and_balances_go_on(alice, cast, db):
    await db.execute(MANY, cast.alice.id, 120)
    page, seen = await alice.get("/account/statement"), list[list[str]]()
    pages = 1
    while True:
        seen += rows(page)
        if page.older is None:
            break
        page, pages = await alice.get(page.older), pages + 1
    assert (pages, len(seen)) == (3, 121)
    assert [int(row[3].replace("\u202f", "")) for row in seen] == list(range(220, 99, -1))


async def test_a_month_shows_its_own_lines_with_what_was_left_then(alice, cast, db):
    async with db.transaction() as tx:
        await tx.execute("set local session_replication_role = replica")
        await tx.execute("update ledger_entry set created_at = '2026-01-31 23:59:59+00'")
    await ledger.adjust(db, cast.alice.id, -7, "after")
    page = await alice.get("/account/statement?month=2026-01")
    assert [row[1:] for row in rows(page)] == [["Received: Plan Monthly, from the seeds", "+100", "100"]]
    assert 'value="2026-01" selected' in page.text
    assert [row[2] for row in rows(await alice.get("/account/statement?month=2026-02"))] == []
    assert [line["left"] for line in parsed(await alice.get("/account/statement.csv?month=2026-01"))] == ["100"]


@pytest.mark.parametrize("month", ["2026-13", "2026", "november", "2026-1", "1999-01", "2026-01\x00"])
async def test_what_is_no_month_is_told_with_its_value(alice, month):
    for path in ("/account/statement", "/account/statement.csv"):
        page = await alice.send("GET", path, params={"month": month})
        assert page.status == 400
        assert "A month looks like 2026-11" in page.text


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, "1e3", ""])
async def test_what_is_no_entry_begins_with_the_newest(alice, before):
    assert len(rows(await alice.send("GET", "/account/statement", params={"before": before}))) == 1


async def test_the_csv_has_every_line_and_says_the_same(alice, cast, db, site):
    await ordered(alice, prompt='a fox, "red"\nin the snow')
    await (await take_up(site)).deliver()
    await db.execute(MANY, cast.alice.id, 60)
    page = await alice.get("/account/statement.csv")
    assert page.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert page.headers["Content-Disposition"] == 'attachment; filename="statement.csv"'
    assert page.headers["Cache-Control"] == "no-store"
    lines = parsed(page)
    assert len(lines) == 63
    assert lines[0]["left"] == "159"
    assert lines[-2]["what"] == '“a fox, "red" in the snow” ordered: 1 credit reserved'
    assert (lines[-2]["out"], lines[-2]["in"], lines[-3]["charged"]) == ("1", "", "1")
    assert sum(int(line["in"] or 0) - int(line["out"] or 0) for line in lines) == 159
    assert [line async for line in statements.all_lines(db, cast.alice.id, batch=7)] == await statements.lines(
        db, cast.alice.id, count=1000
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_taken_for_a_formula(start):
    assert safe(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"
    assert safe(f"a{start}") == f"a{start}"


async def test_no_cell_of_a_whole_file_begins_like_a_formula(alice, cast, db, site):
    await ordered(alice, prompt="=HYPERLINK(1)")
    await ledger.adjust(db, cast.alice.id, -1, " @SUM(1)")
    lines = list(csv.reader(io.StringIO((await alice.get("/account/statement.csv")).body.decode("utf-8-sig"))))
    assert [lines[2][7], lines[1][8]] == ["'=HYPERLINK(1)", "'@SUM(1)"]
    for line in lines:
        assert not [cell for cell in line if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


async def test_everybody_reads_their_own_alone(alice, bob, cast, db):
    await ordered(alice, prompt="a secret garden")
    page, file = await bob.get("/account/statement"), await bob.get("/account/statement.csv")
    assert "a secret garden" not in page.text + file.text
    assert parsed(file) == []
    newest = await db.fetchval("select max(id) from ledger_entry")
    assert "a secret garden" not in (await bob.get(f"/account/statement?before={newest + 1}")).text


async def test_the_account_page_leads_there(alice):
    assert 'href="/account/statement"' in (await alice.get("/account")).text


def test_months_follow_each_other():
    assert Month(2026, 1).before == Month(2025, 12)
    assert [str(at.date()) for at in Month(2026, 12).bounds] == ["2026-12-01", "2027-01-01"]
    assert Month(2028, 2).name == "February 2028"


async def test_a_thread_shows_a_receipt_for_each_picture_delivered_or_not(alice, site):
    thread = (await alice.order(prompt="a mill")).location.partition("#")[0]
    assert "Receipt: reserved 1" in (await alice.get(thread)).text
    await (await take_up(site)).fail("it took too long")
    page = await alice.get(thread)
    assert "it took too long" in page.text
    assert "Receipt: reserved 1, not delivered, nothing charged" in page.text
