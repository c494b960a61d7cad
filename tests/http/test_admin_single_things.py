"""The pages of one proxy, one provider and one session: what hangs on it, what happened, and nothing secret."""

from __future__ import annotations

from uuid import uuid4

import pytest

from limner.runtime.vault import Vault
from limner.sql import accounts, alerts, funds, invoices, plans, proxies, sessions
from limner.sql.alerts import Trouble


@pytest.fixture
async def proxy(db, site):
    """A way out that a key of the demo painter takes."""
    url = "socks5://me:hidden-word@192.0.2.1:1080"
    made = await proxies.add(db, Vault.from_config(site.config), "way out", url, actor="carol@example.com")
    await db.execute(
        "update provider_key set proxy_id = $1 where id = (select min(id) from provider_key where label = 'Demo brush 1')",
        made,
    )
    return made


async def test_a_proxy_tells_which_keys_count_on_it_and_what_happened(carol, db, site, proxy):
    other = await proxies.add(
        db, Vault.from_config(site.config), "spare", "http://192.0.2.2:80", backup_id=proxy, actor="test"
    )
    await proxies.set_state(db, proxy, "disabled", "it leaks", actor="carol@example.com")
    await proxies.note_test(db, proxy, "198.51.100.7", 120)
    page = (await carol.get(f"/admin/proxies/{proxy}")).text
    for words in (
        "Demo brush 1",
        "it leaks",
        "198.51.100.7",
        "120 ms",
        "proxy.state",
        f'href="/admin/proxies/{other}"',
    ):
        assert words in page, words
    assert "hidden-word" not in page and "Demo brush 2" not in page
    assert f'href="/admin/proxies/{proxy}"' in (await carol.get("/admin/proxies")).text
    assert "Demo brush 1" not in (await carol.get(f"/admin/proxies/{other}")).text
    assert [(await carol.get(f"/admin/proxies/{no}")).status for no in (99999, "x")] == [404, 404]


async def test_a_provider_tells_its_keys_ways_out_funds_and_what_happened(carol, db, proxy):
    first = await db.fetchval("select min(id) from provider_key where label = 'Demo brush 1'")
    await funds.top_up(db, "demo", "demo-1", 5_000_000, "a note", actor="carol@example.com", reason="running low")
    await db.execute('update provider set settings = \'{"headers": {"x": "hidden-word"}}\' where code = \'demo\'')
    await db.execute("update provider_key set state = 'cooldown', why = 'too many calls' where id = $1", first)
    page = (await carol.get("/admin/providers/demo")).text
    for words in (
        "Demo brush 1",
        "Demo brush 3",
        f'href="/admin/proxies/{proxy}"',
        "5.00 USD",
        "headers",
        "running low",
    ):
        assert words in page, words
    assert "hidden-word" not in page and "cooldown" in page
    assert 'href="/admin/providers/demo"' in (await carol.get("/admin/providers")).text
    assert "Demo brush 1" not in (await carol.get("/admin/providers/simulator")).text
    assert (await carol.get("/admin/providers/nobody")).status == 404


async def test_the_terms_of_a_provider_are_changed_on_its_own_page(carol, db):
    page = await carol.get("/admin/providers/openrouter")
    assert ('action="/admin/providers/openrouter/terms"' in page.text, page.values("here")) == (True, ["1"])
    wanted = {"here": "1", "base_url": "https://relay.example/v1", "active": "0", "is_local": "0", "settings": ""}
    assert (await carol.act("/admin/providers/openrouter/terms", wanted)).location == "/admin/providers/openrouter"
    row = await db.fetchrow("select base_url, active from provider where code = 'openrouter'")
    assert tuple(row) == ("https://relay.example/v1", False)
    page = await carol.act("/admin/providers/openrouter/terms", {**wanted, "settings": "{"})
    assert (page.status, '<h1 class="desk-long">openrouter</h1>' in page.text, "JSON" in page.text) == (400, True, True)
    assert (await carol.act("/admin/providers/nobody/terms", wanted)).status == 404


async def test_a_proxy_is_renamed_disabled_and_tested_on_its_own_page(carol, db, proxy):
    here = f"/admin/proxies/{proxy}"
    page = await carol.get(here)
    assert [f'action="{here}/{act}"' in page.text for act in ("terms", "state", "test", "removal")] == [True] * 3 + [
        False
    ]
    renamed = {"here": "1", "label": "Porto", "url": "", "backup": ""}
    assert (await carol.act(f"{here}/terms", renamed)).location == here
    assert (await carol.act(f"{here}/state", {"here": "1", "state": "disabled", "reason": "too slow"})).location == here
    assert (await carol.act(f"{here}/test", {"here": "1"})).location == here
    (row,) = await proxies.listing(db)
    assert (row["label"], row["state"], row["shown"]) == ("Porto", "disabled", "socks5://192.0.2.1:1080")
    page = await carol.act(f"{here}/terms", {**renamed, "backup": str(proxy)})
    assert (page.status, '<h1 class="desk-long">Porto</h1>' in page.text) == (400, True)


async def test_what_was_done_to_an_alert_and_an_invoice_says_what_was_and_what_is(carol, cast, db):
    await alerts.see(db, [Trouble("proxy 1", "The proxy is dead.", "proxy_dead")])
    number = await db.fetchval("select id from alert")
    await carol.act(f"/admin/alerts/{number}/snooze", {"hours": "4", "reason": "it is known"})
    page = (await carol.get(f"/admin/alerts/{number}")).text
    assert ("alert.snooze: it is known" in page, "until:</span> nothing → 2" in page) == (True, True)
    bought = (await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")).id
    await carol.act(f"/admin/invoices/{bought}/payment", {"reason": "cash"})
    page = (await carol.get(f"/admin/invoices/{bought}")).text
    assert ("invoice.marked_paid: cash" in page, "pending → paid" in page) == (True, True)


async def test_a_session_is_seen_and_ended_with_a_reason(carol, cast, db):
    await sessions.start(db, cast.bob.id, ip="192.0.2.77", agent="Netscape 4")
    number = await db.fetchval("select id from session where agent = 'Netscape 4'")
    page = (await carol.get(f"/admin/sessions/{number}")).text
    assert "Netscape 4" in page and "192.0.2.77" in page and cast.bob.email in page
    assert f'href="/admin/sessions/{number}"' in (await carol.get("/admin/sessions")).text
    form = {"act": "end", "chosen": str(number)}
    assert "Reason" in (await carol.post("/admin/sessions/end", form)).text
    assert (await carol.post("/admin/sessions/end", form | {"sure": "1", "reason": "a stolen phone"})).status == 303
    assert [(await carol.get(f"/admin/sessions/{no}")).status for no in (number, uuid4(), "x")] == [404] * 3
    own = await db.fetchval("select id from session where account_id = $1", cast.carol.id)
    assert "End it" not in (await carol.get(f"/admin/sessions/{own}")).text


async def test_support_looks_and_acts_on_none(site, cast, db, proxy):
    await funds.top_up(db, "demo", "demo-1", 5_000_000, "a note", actor="carol@example.com", reason="running low")
    await accounts.set_role(db, cast.alice, "support", actor="test")
    support = await site.browser(cast.alice)
    await sessions.start(db, cast.bob.id, ip="192.0.2.77", agent="Netscape 4")
    number = await db.fetchval("select id from session where agent = 'Netscape 4'")
    for path in (f"/admin/proxies/{proxy}", "/admin/providers/demo", f"/admin/sessions/{number}"):
        page = await support.get(path)
        assert page.status == 200 and "<main" in page.text, path
        acts = page.text.partition("<main")[2]
        assert "Test it now" not in acts and "End it" not in acts and "running low" not in acts, path
