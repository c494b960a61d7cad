"""Every page of the site can be looked at by whom it is for."""

from __future__ import annotations

import re

import pytest

from limner.http import pages
from tests.http.conftest import hang

TEMPLATES = pages.HERE / "templates"


@pytest.mark.parametrize(
    "path", ["/", "/login", "/register", "/wall", "/wall?before=x", "/health/live", "/health/ready"]
)
async def test_a_stranger_finds_the_open_doors(stranger, path):
    assert (await stranger.get(path)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dashboard",
        "/account",
        "/account/statement",
        "/account/subscription",
        "/plans",
        "/invoices",
        "/studio",
        "/gallery",
        "/account/security",
        "/account/proof",
        "/codes",
        "/account/referrals",
    ],
)
async def test_somebody_with_a_plan_sees_each_page(alice, bob, path):
    for browser in (alice, bob):
        page = await browser.get(path)
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


async def test_a_picture_its_thread_and_an_invoice_have_pages(alice, site, cast):
    picture = (await hang(site, cast.alice))[0]
    invoice = (await alice.post("/plans/monthly/invoices")).location
    ordered = (await alice.order()).location.partition("#")[0]
    for path in (f"/pictures/{picture}", invoice, f"{invoice}/status", ordered, "/invoices", "/gallery"):
        assert (await alice.get(path)).status == 200, path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/users",
        "/generations",
        "/generations?state=queued",
        "/keys",
        "/audit",
        "/mails",
        "/mails?state=waiting",
        "/proxies",
        "/providers",
        "/models",
        "/models?provider=openai",
        "/models/gpt-image-2",
        "/margins",
        "/margins?by=user&days=7",
        "/margins?by=key",
        "/margins?by=plan",
        "/margins?by=model",
        "/codes",
        "/codes?kind=gift",
        "/subscriptions",
        "/subscriptions?state=paused&plan=monthly",
        "/ledger",
        "/ledger/1",
        "/ledger?kind=grant&since=2026-01-01",
        "/sessions",
        "/notices",
        "/plans",
        "/plans/monthly",
        "/audit?actor=carol&action=ledger",
        "/generations?fault=rate_limited&key=1&model=demo",
        "/users?sort=email&state=no_plan&role=user&plan=monthly",
        "/charts",
        "/charts?range=24h",
        "/charts/latency",
        "/charts/failures?range=365",
        "/health",
        "/settings",
        "/wall",
        "/wall?state=taken_off",
        "/reports",
        "/reports?state=settled",
        "/reports?state=down",
        "/broadcasts",
    ],
)
async def test_carol_sees_each_admin_page(carol, alice, cast, path):
    await alice.order()
    await carol.act(f"/admin/users/{cast.bob.id}/grants", {"credits": "3", "reason": "welcome"})
    page = await carol.get(f"/admin{path}")
    assert page.status == 200
    assert "built-in method" not in page.text, "a template that names a dictionary's method"


async def test_carol_sees_a_user_and_a_generation(carol, alice, cast, site):
    await alice.order()
    generation = await site.db.fetchval("select id from generation")
    for path in (f"/admin/users/{cast.alice.id}", f"/admin/generations/{generation}"):
        assert (await carol.get(path)).status == 200, path


def test_every_table_has_a_name_and_every_row_a_heading():
    texts = {path.relative_to(TEMPLATES): path.read_text() for path in TEMPLATES.rglob("*.html")}
    tables = [(path, each) for path, text in texts.items() for each in re.findall("<table.*?>", text)]
    rows = [(path, each) for path, text in texts.items() for each in re.findall("<tr.*?</tr>", text, re.DOTALL)]
    assert len(tables) >= 3 and len(rows) > 40, "nothing is looked at any more"
    assert [(path, each) for path, each in tables if "aria-label" not in each] == []
    rows = [(path, each) for path, each in rows if "colspan" not in each]
    assert [(str(path), each[:60]) for path, each in rows if not re.search('scope="(row|col)"', each)] == []
