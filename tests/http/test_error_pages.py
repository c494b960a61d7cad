"""Error pages: plain words, an id to name, and nothing of what is inside."""

from __future__ import annotations

import re

import orjson
import pytest

INSIDE = (
    "Traceback",
    "asyncpg",
    "aiohttp",
    "jinja",
    "select ",
    "relation",
    "File &#34;",
    ".py",
    "postgres",
)


@pytest.mark.parametrize("path, status", [("/nothing", 404), ("/pictures/x", 404), ("/studio/%00", 404)])
async def test_an_error_page_names_the_request_and_the_way_back(alice, path, status):
    page = await alice.get(path)
    assert page.status == status
    assert page.headers["X-Request-Id"] in page.text
    assert re.fullmatch(r"[0-9a-f]{16}", page.headers["X-Request-Id"])
    assert 'href="/studio"' in page.text
    assert "Oops" not in page.text


async def test_a_crash_tells_nothing_of_what_is_inside(alice, stranger, db):
    await db.execute("alter table plan rename to mislaid")
    for browser, path in ((stranger, "/"), (alice, "/dashboard"), (alice, "/plans")):
        page = await browser.get(path)
        assert page.status == 500
        assert "because of us" in page.text
        assert "Nothing was charged" in page.text
        assert [word for word in INSIDE if word in page.text] == []


async def test_a_crash_is_found_in_the_log_by_its_id(stranger, db, capsys):
    await db.execute("alter table plan rename to mislaid")
    page = await stranger.get("/")
    said = capsys.readouterr()
    assert page.headers["X-Request-Id"] in said.out + said.err
    assert "UndefinedTableError" in said.out + said.err


async def test_a_machine_gets_json(stranger):
    for path, headers in (("/hooks/sandbox", {}), ("/nothing", {"Accept": "application/json"})):
        page = await stranger.send("GET", path, headers=headers)
        body = orjson.loads(page.body)
        assert body["error"]["status"] == page.status
        assert body["error"]["request_id"] == page.headers["X-Request-Id"]


async def test_a_part_of_a_page_is_not_led_to_the_login_page(stranger):
    page = await stranger.get("/invoices/00000000-0000-0000-0000-000000000007/status", HX_Request="true")
    assert page.status == 401


async def test_a_wrong_method_says_which_ones_there_are(stranger):
    page = await stranger.send("PUT", "/login")
    assert (page.status, set(page.headers["Allow"].split(","))) == (405, {"GET", "HEAD", "POST"})


async def test_what_somebody_typed_is_never_run(stranger):
    for path in ("/<script>alert(1)</script>", "/login?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E"):
        page = await stranger.get(path)
        assert "<script>alert" not in page.text
