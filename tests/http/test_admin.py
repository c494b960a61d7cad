"""The admin's screens: what Carol does is done, written down, and takes effect at once."""

from __future__ import annotations

import re

import pytest

from limner.runtime.vault import Vault
from limner.sql import accounts, proxies
from tests.http.conftest import available
from tests.http.painting import ordered, take_up


async def last_audit(db, action: str):
    return await db.fetchrow("select * from audit where action = $1 order by id desc limit 1", action)


async def test_a_grant_reaches_the_balance_the_statement_and_the_audit(carol, bob, db, cast):
    answer = await carol.act(f"/admin/users/{cast.bob.id}/grants", {"credits": "7", "reason": "for the <trouble>"})
    assert answer.location == f"/admin/users/{cast.bob.id}"
    assert await available(db, cast.bob) == 7
    assert "for the &lt;trouble&gt;" in (await bob.get("/account")).text
    entry = await last_audit(db, "ledger.adjust")
    assert (entry["actor"], entry["subject"], entry["ip"]) == (cast.carol.email, cast.bob.email, "127.0.0.1")
    assert (entry["before"], entry["after"]) == ({"available": 0}, {"available": 7, "reason": "for the <trouble>"})
    assert "for the &lt;trouble&gt;" in (await carol.get("/admin/audit")).text


@pytest.mark.parametrize(
    "form",
    [
        {"credits": "-1", "reason": "more than there is"},
        {"credits": "0", "reason": "nothing"},
        {"credits": "100001", "reason": "too much"},
        {"credits": "1e3", "reason": "no number"},
        {"credits": "5", "reason": ""},
        {"credits": "5"},
        {},
    ],
)
async def test_a_refused_grant_is_told_on_the_users_page(carol, db, cast, form):
    page = await carol.act(f"/admin/users/{cast.bob.id}/grants", form, reason="")
    assert page.status in (400, 402)
    assert cast.bob.email in page.text
    assert 'aria-invalid="true"' in page.text
    assert await available(db, cast.bob) == 0
    assert await last_audit(db, "ledger.adjust") is None


async def test_credits_can_be_taken_back(carol, db, cast):
    await carol.act(f"/admin/users/{cast.alice.id}/grants", {"credits": "-40", "reason": "a mistake"})
    assert await available(db, cast.alice) == 60


async def test_a_ban_shuts_out_at_once_and_can_be_lifted(carol, alice, db, cast):
    await carol.act(f"/admin/users/{cast.alice.id}/ban", {"banned": "1", "reason": "selling <keys>"})
    assert (await alice.get("/studio")).status == 303
    entry = await last_audit(db, "account.ban")
    assert (entry["actor"], entry["subject"]) == (cast.carol.email, cast.alice.email)
    assert "banned" in (await carol.get("/admin/users")).text
    await carol.act(f"/admin/users/{cast.alice.id}/ban", {"banned": "0", "reason": "all is well"})
    await alice.sign_in(cast.alice)
    assert (await alice.get("/studio")).status == 200
    assert (await last_audit(db, "account.unban"))["before"] == {"banned": True, "reason": "selling <keys>"}


async def test_an_admin_is_not_banned_by_mistake(carol, db, cast):
    page = await carol.act(f"/admin/users/{cast.carol.id}/ban", {"banned": "1", "reason": "oh no"})
    assert (page.status, "cannot be banned" in page.text) == (400, True)
    assert (await carol.get("/admin")).status == 200


async def test_the_search_takes_every_character_literally(carol, db, cast):
    await accounts.create(db, "under_score@example.com", "x")
    await accounts.create(db, "per%cent@example.com", "x")
    found = {}
    for text in ("%", "_", "ALICE", "alice@", "%alice", "a_ice", "\\", "'", "%_%_%_%_%"):
        page = await carol.send("GET", "/admin/users", params={"q": text})
        names = ("alice@", "bob@", "under_score@", "per%cent@")
        found[text] = [name for name in names if f"{name}example.com</a>" in page.text]
    assert found == {
        "%": ["per%cent@"], "_": ["under_score@"], "ALICE": ["alice@"], "alice@": ["alice@"], "%alice": [],
        "a_ice": [], "\\": [], "'": [], "%_%_%_%_%": [],
    }  # fmt: skip


async def test_the_list_of_users_is_read_page_by_page(carol, db):
    await db.execute(
        "insert into account (email, password_hash) select 'user' || n || '@example.com', 'x' from generate_series(1, 120) n"
    )
    seen, path = [], "/admin/users"
    while path:
        page = await carol.get(path)
        seen += re.findall(r'href="/admin/users/([0-9a-f-]{36})"', page.text)
        path = page.older
    assert len(seen) == len(set(seen)) == 123


async def test_the_audit_and_the_generations_are_read_page_by_page(carol, db, cast):
    await db.execute(
        "insert into audit (actor, action, subject) select 'x', 'y', 'line ' || n from generate_series(1, 120) n"
    )
    await db.execute(
        """insert into generation (account_id, thread_id, model_id, prompt, width, height, count, credits)
        select $1, gen_random_uuid(), 'demo', 'line ' || n || '.', 512, 512, 1, 1 from generate_series(1, 120) n""",
        cast.alice.id,
    )
    for path in ("/admin/audit", "/admin/generations"):
        seen, older = set(), path
        while older:
            page = await carol.get(older)
            seen |= set(re.findall(r"line (\d+)", page.text))
            older = page.older
        assert len(seen) == 120, path


async def test_a_key_is_added_sealed_and_shown_by_its_last_four(carol, db):
    secret = "sk-canary-0123456789-LAST"
    form = {"provider": "simulator", "label": "<i>spare</i>", "secret": secret, "concurrency": "3", "switch": "ok",
            "reason": "more room"}  # fmt: skip
    assert (await carol.act("/admin/keys", form)).location == "/admin/keys"
    page = await carol.get("/admin/keys")
    assert "…LAST" in page.text
    assert "&lt;i&gt;spare&lt;/i&gt;" in page.text
    for place in (
        page.text,
        (await carol.get("/admin/audit")).text,
        await dump(db, "provider_key"),
        await dump(db, "audit"),
    ):
        assert secret not in place


async def dump(db, table: str) -> str:
    return await db.fetchval(f"select string_agg(t::text, ' ') from {table} as t")


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "nobody"}, {"provider": ""}, {"label": ""}, {"secret": ""}, {"concurrency": "0"},
        {"concurrency": "1001"}, {"concurrency": "two"}, {"label": "x" * 81}, {"secret": "s" * 501},
    ],
)  # fmt: skip
async def test_a_refused_key_keeps_what_was_typed_but_never_the_secret(carol, db, change):
    form = {"provider": "simulator", "label": "my spare", "secret": "sk-canary-0123456789", "concurrency": "3"} | change
    before = await db.fetchval("select count(*) from provider_key")
    page = await carol.act("/admin/keys", form)
    assert page.status == 400
    assert "sk-canary" not in page.text
    assert page.values("label") == [form["label"]]
    assert await db.fetchval("select count(*) from provider_key") == before


async def test_a_key_is_rested_and_wakened_by_hand(carol, db):
    key = await db.fetchval("select min(id) from provider_key")
    await carol.act(f"/admin/keys/{key}/state", {"state": "disabled", "reason": "too slow"})
    assert await db.fetchval("select state from provider_key where id = $1", key) == "disabled"
    await carol.act(f"/admin/keys/{key}/state", {"state": "active", "reason": "had a rest"})
    assert await db.fetchval("select state from provider_key where id = $1", key) == "active"
    assert (await last_audit(db, "key.state"))["before"] == {"state": "disabled"}


async def test_without_a_reason_neither_key_nor_proxy_nor_address_is_touched(carol, site, db, cast):
    vault = Vault.from_config(site.config)
    proxy = await proxies.add(db, vault, "way out", "socks5://me:pw@192.0.2.1:1080", actor="test")
    key = await db.fetchval("select min(id) from provider_key")
    await db.execute("update account set verified_at = null where id = $1", cast.bob.id)
    before = [await dump(db, table) for table in ("provider_key", "proxy", "account", "audit")]
    for path, form in (
        (f"/admin/keys/{key}/state", {"state": "disabled", "reason": " "}),
        (f"/admin/proxies/{proxy}/state", {"state": "disabled"}),
        (f"/admin/users/{cast.bob.id}/verification", {"verify_reason": ""}),
    ):
        page = await carol.act(path, form, reason="")
        assert (page.status, "reason is missing" in page.text.lower()) == (400, True), path
    assert [await dump(db, table) for table in ("provider_key", "proxy", "account", "audit")] == before
    assert (await carol.act(f"/admin/users/{cast.bob.id}/verification", {"verify_reason": "seen her"})).status == 303
    assert (await last_audit(db, "account.verify"))["after"] == {"by": "hand", "reason": "seen her"}


@pytest.mark.parametrize(
    "key, state, status",
    [("0", "active", 404), ("99999999999999999999", "active", 404), ("x", "active", 404), ("-1", "active", 404),
     ("1", "out_of_funds", 400), ("1", "", 400), ("1", "x" * 30, 400)],
)  # fmt: skip
async def test_no_other_state_or_key_can_be_set(carol, db, key, state, status):
    before = await dump(db, "provider_key")
    page = await carol.act(f"/admin/keys/{key}/state", {"state": state, "reason": "a test"})
    assert page.status == status
    assert await dump(db, "provider_key") == before


async def test_an_admin_sees_how_a_picture_went(carol, alice, site):
    thread = await ordered(alice, prompt="the pier at dusk")
    await (await take_up(site)).fail("no luck today")
    page = await carol.get(f"/admin/generations/{thread}")
    for words in ("the pier at dusk", "no luck today", "alice@example.com"):
        assert words in page.text
    assert "the pier at dusk" in (await carol.get("/admin/generations?state=failed")).text
    assert "the pier at dusk" not in (await carol.get("/admin/generations?state=delivered")).text


async def test_an_admin_sees_no_pictures_of_others(carol, alice, site):
    await ordered(alice)
    picture = await (await take_up(site)).deliver()
    assert (await carol.get(f"/pictures/{picture}/file")).status == 404
