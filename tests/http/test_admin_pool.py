"""The admin's screens of the pool: what is typed takes effect, is written down, and never tells a secret."""

from __future__ import annotations

import pytest

from limner.sql import entries, keys, proxies, rests
from tests.http.conftest import numbers

TERMS = {"label": "renamed", "account_group": "main", "concurrency": "3", "weight": "4", "rpm": "30", "proxy": "",
         "may_go_direct": "0", "returns_by_probe": "0"}  # fmt: skip


async def a_key(db) -> int:
    return await db.fetchval("select min(id) from provider_key")


async def test_a_key_is_used_as_its_page_says(carol, db):
    key = await a_key(db)
    assert (await carol.act(f"/admin/keys/{key}/terms", TERMS)).location == f"/admin/keys/{key}"
    terms = await keys.terms(db, key)
    assert (terms.label, terms.account_group, terms.concurrency, terms.weight) == ("renamed", "main", 3, 4)
    assert (terms.rpm, terms.returns_by_probe) == (30, False)
    page = await carol.get(f"/admin/keys/{key}")
    assert page.values("label") == ["renamed"]
    entry = await db.fetchrow("select before, after from audit where action = 'key.change'")
    assert (entry["before"]["weight"], entry["after"]["weight"]) == (1, 4)


@pytest.mark.parametrize(
    "change", [{"label": ""}, {"concurrency": "0"}, {"weight": "1001"}, {"rpm": "-1"}, {"proxy": "999"}, {"proxy": "x"}]
)
async def test_terms_that_cannot_be_change_nothing(carol, db, change):
    key = await a_key(db)
    before = await keys.terms(db, key)
    page = await carol.act(f"/admin/keys/{key}/terms", TERMS | change)
    assert page.status == 400
    assert "field-error" in page.text
    assert await keys.terms(db, key) == before


async def test_a_key_that_fell_out_is_probed_on_demand(carol, db):
    key = await a_key(db)
    refused = await carol.act(f"/admin/keys/{key}/probe")
    assert (refused.status, "is probed" in refused.text) == (400, True)
    await rests.run_dry(db, key, "insufficient_quota")
    assert (await carol.act(f"/admin/keys/{key}/probe")).location == f"/admin/keys/{key}"
    assert await db.fetchval("select probe_at <= now() from provider_key where id = $1", key)
    assert await db.fetchval("select count(*) from message where mailbox = 'locksmith'") == 1
    assert "insufficient_quota" in (await carol.get(f"/admin/keys/{key}")).text


async def test_a_proxy_comes_and_goes_without_its_password_being_seen(carol, db):
    form = {
        "label": "<b>Lisbon</b>",
        "url": "socks5://me:hunter-22@198.51.100.7:1080",
        "backup": "",
        "reason": "a way out",
    }
    assert (await carol.act("/admin/proxies", form)).location == "/admin/proxies"
    page = await carol.get("/admin/proxies")
    assert "socks5://198.51.100.7:1080" in page.text
    assert "&lt;b&gt;Lisbon" in page.text
    assert "hunter" not in page.text + (await carol.get("/admin/audit")).text
    (proxy,) = await proxies.listing(db)
    assert (await carol.act(f"/admin/proxies/{proxy['id']}/test")).location == "/admin/proxies"
    assert await db.fetchval("select payload ->> 'proxy_id' from message where mailbox = 'locksmith'") == str(
        proxy["id"]
    )
    off = {"state": "disabled", "reason": "too slow"}
    await carol.act(f"/admin/proxies/{proxy['id']}/state", off)
    assert (await proxies.listing(db))[0]["state"] == "disabled"
    assert await db.fetchval("select cause from proxy_event") == "too slow"
    renamed = {"label": "Porto", "backup": "", "url": ""}
    await carol.act(f"/admin/proxies/{proxy['id']}/terms", renamed)
    assert (await proxies.listing(db))[0]["shown"] == "socks5://198.51.100.7:1080", "no new address, the old one"
    await carol.act(f"/admin/proxies/{proxy['id']}/removal")
    assert await proxies.listing(db) == []


@pytest.mark.parametrize(
    "url", ["", "host:1080", "ftp://host:21", "socks5://host", "socks5://h:1/x", "http://[", "x" * 501]
)
async def test_a_proxy_that_cannot_be_is_refused_and_its_address_not_repeated(carol, db, url):
    page = await carol.act("/admin/proxies", {"label": "Lisbon", "url": url, "backup": ""})
    assert page.status == 400
    assert page.values("label") == ["Lisbon"]
    assert page.values("url") == [""]
    assert await numbers(db, "proxy") == 0


async def test_a_provider_is_changed_and_its_settings_are_not_shown(carol, db):
    form = {"base_url": "https://relay.example/v1/", "active": "1", "is_local": "0",
            "settings": '{"extra_headers": {"X-Token": "canary-77"}}'}  # fmt: skip
    assert (await carol.act("/admin/providers/openrouter/terms", form)).location == "/admin/providers"
    row = await db.fetchrow("select base_url, settings from provider where code = 'openrouter'")
    assert row["base_url"] == "https://relay.example/v1"
    page = await carol.get("/admin/providers")
    assert "extra_headers" in page.text
    assert "canary-77" not in page.text + (await carol.get("/admin/audit")).text
    for wrong in ({"settings": "[]"}, {"settings": "{"}, {"base_url": "ftp://x"}, {"base_url": "http://["}):
        assert (await carol.act("/admin/providers/openrouter/terms", form | wrong)).status == 400
    assert (await carol.act("/admin/providers/nobody/terms", form)).status == 404


async def test_what_was_paid_in_is_seen(carol, db):
    await db.execute("update provider_key set account_group = 'main'")
    paid = {"account": "main", "amount": "25.50", "alert_below": "5", "note": "by card"}
    assert (await carol.act("/admin/providers/demo/funds", paid)).location == "/admin/providers"
    page = await carol.get("/admin/providers")
    assert "25.50 USD" in page.text
    assert "5.00 USD" in page.text
    for wrong in ({"amount": "much"}, {"amount": "NaN"}, {"amount": "1e9"}, {"account": "nobody"}, {"account": ""},
                  {"amount": "", "alert_below": ""}):  # fmt: skip
        assert (await carol.act("/admin/providers/demo/funds", paid | wrong)).status == 400, wrong


async def test_a_model_is_priced_and_renamed(carol, db):
    form = {"name": "Image Two", "upstream_id": "gpt-image-2", "credits": "3", "cost": "0.05", "active": "1",
            "sizes": "1024x1024, 1536x1024", "aliases": "Mine dall-e-3", "retires": "2030-01-31",
            "replacement": "demo"}  # fmt: skip
    assert (await carol.act("/admin/models/gpt-image-2/terms", form)).location == "/admin/models/gpt-image-2"
    entry = await entries.entry(db, "gpt-image-2")
    assert (entry.credits, entry.cost_micros, entry.aliases) == (3, 50_000, ["mine", "dall-e-3"])
    assert (entry.sizes, entry.replacement) == (["1024x1024", "1536x1024"], "demo")
    for wrong in ({"credits": "0"}, {"sizes": ""}, {"sizes": "big"}, {"retires": "soon"}, {"replacement": "nobody"},
                  {"cost": "-1"}, {"name": ""}):  # fmt: skip
        page = await carol.act("/admin/models/gpt-image-2/terms", form | wrong)
        assert page.status == 400, wrong
    assert await entries.entry(db, "gpt-image-2") == entry


async def test_what_a_model_paints_from_and_lets_choose_is_edited_and_seen(carol, db):
    form = {"name": "Image Two", "upstream_id": "gpt-image-2", "credits": "3", "cost": "0.05", "active": "1",
            "sizes": "1024x1024", "abilities": "1", "options": "quality: low, high\r\nnegative_prompt: text"}  # fmt: skip
    assert (await carol.act("/admin/models/gpt-image-2/terms", form)).location == "/admin/models/gpt-image-2"
    entry = await entries.entry(db, "gpt-image-2")
    assert entry.abilities == ["text", "image"]
    assert entry.options == {"quality": ["low", "high"], "negative_prompt": "text"}
    page = await carol.get("/admin/models/gpt-image-2")
    assert "quality: low, high\nnegative_prompt: text</textarea>" in page.text
    assert '<option value="1" selected>words and reference pictures' in page.text
    for wrong in ({"options": "quality"}, {"options": "a: 5 to 1"}, {"abilities": "3"}):
        page = await carol.act("/admin/models/gpt-image-2/terms", form | wrong)
        assert (page.status, "field-error" in page.text) == (400, True), wrong
    del form["abilities"], form["options"]
    await carol.act("/admin/models/gpt-image-2/terms", form)
    assert await entries.entry(db, "gpt-image-2") == entry, "a page that did not ask for them changes nothing of them"


PROVIDER = {"reason": "cheaper", "code": "my-relay", "kind": "relay", "base_url": "https://relay.example/v1/", "is_local": "0",
            "settings": '{"path": "chat", "extra_headers": {"X-Token": "canary-77"}}'}  # fmt: skip


async def test_a_provider_is_added_with_its_form(carol, db):
    for wrong, words in (({"code": "openai"}, "already"), ({"kind": "canvas"}, "canvas"), ({"code": ""}, "missing"),
                         ({"base_url": "http://10.0.0.5/v1"}, "private address"), ({"settings": "[]"}, "JSON object"),
                         ({"settings": '{"path": "chatt"}'}, "chatt")):  # fmt: skip
        page = await carol.act("/admin/providers", PROVIDER | wrong)
        assert (page.status, words in page.text, "field-error" in page.text) == (400, True, True), wrong
        assert "canary-77" not in page.text
    assert (await carol.act("/admin/providers", PROVIDER)).location == "/admin/providers"
    row = await db.fetchrow("select kind, base_url, settings from provider where code = 'my-relay'")
    assert (row["kind"], row["base_url"], row["settings"]["path"]) == ("relay", "https://relay.example/v1", "chat")
    assert "canary-77" not in (await carol.get("/admin/audit")).text


async def test_a_row_that_cannot_paint_says_so(carol, db):
    assert "cannot paint so" not in (await carol.get("/admin/providers")).text
    await db.execute("update provider set base_url = 'http://10.0.0.5:3000/v1' where code = 'openrouter'")
    assert "10.0.0.5 is a private address" in (await carol.get("/admin/providers")).text


async def test_a_model_is_added_with_its_form(carol, db):
    form = {"provider": "openrouter", "id": "banana", "upstream_id": "google/nano", "name": "", "credits": "2", "cost": "0.04",
            "sizes": "1024x1024 768x1344", "abilities": "1", "aliases": "nano", "active": "1", "reason": "asked for"}  # fmt: skip
    for wrong, words in (({"id": "demo"}, "already"), ({"provider": "nobody"}, "nobody"), ({"id": "a b"}, "a b"),
                         ({"upstream_id": ""}, "missing"), ({"sizes": "big"}, "big"), ({"credits": "0"}, "Credits"),
                         ({"cost": "much"}, "much")):  # fmt: skip
        page = await carol.act("/admin/models", form | wrong)
        assert (page.status, words in page.text, "field-error" in page.text) == (400, True, True), wrong
    assert (await carol.act("/admin/models", form)).location == "/admin/models/banana"
    row = await db.fetchrow(
        "select name, upstream_id, credits, cost_micros, abilities, sizes from model where id = 'banana'"
    )
    assert tuple(row.values()) == ("banana", "google/nano", 2, 40_000, ["text", "image"], ["1024x1024", "768x1344"])


async def test_the_decisions_about_a_picture_are_told_as_json(carol, alice, db):
    generation = (await alice.order()).location.partition("#")[0].rpartition("/")[2]
    page = await carol.get(f"/admin/generations/{generation}/explain")
    assert page.headers["Content-Type"].startswith("application/json")
    assert f'"generation": "{generation}"' in page.text
    assert (await alice.get(f"/admin/generations/{generation}/explain")).status == 404
