"""Taking everything along, and leaving for good: the person is gone, and the books still add up."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import asyncpg
import pytest

from limner.actors.janitor import Janitor
from limner.actors.pool import Pool
from limner.runtime.errors import FenceLost
from limner.runtime.presence import Presence
from limner.runtime.storage import Missing
from limner.runtime.vault import Vault
from limner.sql import accounts, books, erasure, ledger, tickets, tokens
from tests.http.conftest import drawn, hang, numbers
from tests.http.painting import ordered, take_up

PASSWORD = "alice-likes-vermilion"
SURE = {"confirmation": "alice@example.com", "password": PASSWORD}


def opened(page) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(page.body))


async def test_alice_takes_everything_of_hers_along_and_nothing_of_bobs(alice, bob, site, cast):
    await ordered(alice, prompt="the pier at dusk")
    await (await take_up(site)).deliver()
    await hang(site, cast.bob)
    await alice.post("/plans/monthly/invoices")
    page = await alice.get("/account/export")
    assert (page.status, page.headers["Content-Type"]) == (200, "application/zip")
    with opened(page) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        lists = (
            "profile",
            "sessions",
            "sign-ins",
            "api-tokens",
            "invoices",
            "ledger",
            "prompts",
            "pictures",
            "uploads",
        )
        assert names >= {f"{name}.{kind}" for name in lists for kind in ("json", "csv")}
        assert json.loads(archive.read("profile.json"))[0]["email"] == "alice@example.com"
        assert json.loads(archive.read("prompts.json"))[0]["prompt"] == "the pier at dusk"
        kinds = [row["kind"] for row in csv.DictReader(io.StringIO(archive.read("ledger.csv").decode()))]
        assert kinds[-2:] == ["reserve", "settle"]
        assert json.loads(archive.read("invoices.json"))[0]["plan"] == "monthly"
        pictures = [name for name in names if name.startswith("pictures/")]
        assert len(pictures) == 1
        assert archive.read(pictures[0])
        everything = b"".join(archive.read(name) for name in names)
    for secret in (b"argon2", b"bob@example.com", b"storage_key", alice.session.encode()):
        assert secret not in everything


async def test_the_archive_is_never_held_as_a_whole(alice, site, cast):
    await hang(site, cast.alice, 1200)
    with opened(await alice.get("/account/export")) as archive:
        assert len(json.loads(archive.read("pictures.json"))) == 1200
        assert sum(name.startswith("pictures/") for name in archive.namelist()) == 1200


async def test_a_picture_that_is_lost_does_not_end_the_download(alice, site, cast):
    await hang(site, cast.alice)
    await site.storage.delete(await site.db.fetchval("select storage_key from image"))
    with opened(await alice.get("/account/export")) as archive:
        assert archive.testzip() is None


async def test_a_cell_that_begins_like_a_formula_is_text(alice):
    await ordered(alice, prompt='=HYPERLINK("https://evil.test")')
    with opened(await alice.get("/account/export")) as archive:
        row = next(csv.DictReader(io.StringIO(archive.read("prompts.csv").decode())))
    assert row["prompt"] == '\'=HYPERLINK("https://evil.test")'


async def test_the_export_may_be_asked_for_three_times_an_hour(alice):
    assert [(await alice.get("/account/export")).status for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    "form, words",
    [
        (SURE | {"password": "wrong-wrong-wrong"}, "not your current password"),
        (SURE | {"confirmation": "bob@example.com"}, "Please type alice@example.com"),
        ({"password": PASSWORD}, "Please type alice@example.com"),
        ({"confirmation": "alice@example.com"}, "is missing"),
    ],
)
async def test_without_the_password_and_the_address_nothing_is_deleted(alice, db, cast, form, words):
    page = await alice.post("/account/deletion", form)
    assert (page.status, words in page.text) == (400, True)
    assert (await accounts.get(db, cast.alice.id)).deleted_at is None


async def test_an_admin_stays(carol, db, cast):
    form = {"confirmation": cast.carol.email, "password": "carol-likes-vermilion"}
    page = await carol.post("/account/deletion", form)
    assert (page.status, "take the role away first" in page.text) == (400, True)


async def test_whoever_deletes_the_account_is_out_everywhere_and_unknown(alice, stranger, site, db, cast):
    token = await tokens.create(db, cast.alice, "a program", tokens.Caps(), actor="test")
    other = await site.browser(cast.alice)
    link = tickets.secret(await tickets.issue(db, cast.alice.id, "reset", minutes=60), site.config.secret_keys)
    page = await alice.post("/account/deletion", SURE)
    assert (page.location, page.headers["Clear-Site-Data"]) == ("/", '"cache", "storage"')
    assert (await other.get("/account")).status == 303
    assert await tokens.find(db, token, ip="", per_minute=9, takes=False) is None
    assert (await stranger.get(f"/reset/{link}")).status == 410
    assert (await stranger.post("/login", {"email": cast.alice.email, "password": PASSWORD})).status == 400
    assert await db.fetchval("select state from subscription where account_id = $1", cast.alice.id) == "canceled"
    assert await db.fetchval("select template from notice where recipient = $1", cast.alice.email) == "account_deleted"


async def test_what_is_being_painted_is_canceled_uncharged_and_its_painter_finds_the_fence_lost(alice, site, db, cast):
    before = (await ledger.balance(db, cast.alice.id)).available
    await ordered(alice, prompt="the pier at dusk")
    work = await take_up(site)
    await ordered(alice, prompt="the pier at dawn")
    await alice.post("/account/deletion", SURE)
    assert {row["state"] for row in await db.fetch("select state from job")} == {"canceled"}
    with pytest.raises(FenceLost):
        await work.deliver()
    balance = await ledger.balance(db, cast.alice.id)
    assert (balance.available, balance.held, balance.spent) == (before, 0, 0)
    assert await numbers(db, "image") == 0


async def test_the_bytes_are_wiped_by_the_janitor(alice, site, db, cast, dsn):
    await hang(site, cast.alice, 2)
    form = {"thread": "", "prompt": "like this", "model": "demo", "size": "512x512", "count": "1"}
    await alice.post("/generations", form, files=[("reference", "a.png", drawn(), "image/png")])
    keys = [row["key"] for row in await db.fetch(
        "select storage_key as key from image union select thumb_key from image union select storage_key from upload"
    )]  # fmt: skip
    assert len(keys) >= 3
    await alice.post("/account/deletion", SURE)
    pool = Pool(db, site.config, Vault.from_config(site.config))
    await Janitor(db, site.bus, Presence(db, "test", lease=3), storage=site.storage, pool=pool).tidy()
    for key in keys:
        with pytest.raises(Missing):
            await site.storage.get(key)
    assert await db.fetchval("select count(*) from image where wiped_at is null") == 0
    assert await db.fetchval("select count(*) from upload where wiped_at is null") == 0


async def test_nothing_names_the_person_any_more_and_the_books_add_up(alice, carol, site, db, cast):
    await ordered(alice, prompt="canary pier at dusk")
    await (await take_up(site)).deliver()
    await alice.post("/account/email", {"email": "alice@new.example", "email_password": PASSWORD})
    await carol.post(f"/admin/users/{cast.alice.id}/grants", {"credits": "3", "reason": "welcome"})
    await tokens.create(db, cast.alice, "a program", tokens.Caps(), actor=cast.alice.email, ip="192.0.2.77")
    before = await db.fetch("select id, account_id, kind, credits, job_id, invoice_id from ledger_entry order by id")
    balance = await ledger.balance(db, cast.alice.id)
    await alice.post("/account/deletion", SURE)
    await db.execute("update notice set sent_at = now() - interval '2 hours' where template = 'account_deleted'")
    await erasure.forget_farewells(db)
    tables = [row["n"] for row in await db.fetch("select tablename as n from pg_tables where schemaname = 'public'")]
    kept = {name: str(await db.fetch(f'select t::text from "{name}" as t')) for name in tables}
    for trace in ("alice@example.com", "alice@new.example", "canary", "192.0.2.77"):
        assert [name for name, text in kept.items() if trace in text.lower()] == [], trace
    after = await db.fetch("select id, account_id, kind, credits, job_id, invoice_id from ledger_entry order by id")
    assert after == before
    assert await ledger.balance(db, cast.alice.id) == balance
    assert [finding.rule for finding in await books.verify(db, site.storage) if finding.broken] == []
    assert "carol@example.com" in kept["audit"]
    page = await carol.get(f"/admin/users/{cast.alice.id}")
    assert (page.status, f"deleted-{cast.alice.id}@invalid" in page.text) == (200, True)


async def test_an_address_that_only_contains_the_other_stays_in_the_audit(alice, db, cast):
    await accounts.ban(db, cast.bob, "wrote to xalice@example.com", actor="xalice@example.com")
    await alice.post("/account/deletion", SURE)
    row = await db.fetchrow("select actor, after from audit where action = 'account.ban'")
    assert (row["actor"], row["after"]) == ("xalice@example.com", {"reason": "wrote to xalice@example.com"})


async def test_carol_deletes_an_account_and_the_audit_says_why(carol, alice, db, cast):
    path = f"/admin/users/{cast.alice.id}/deletion"
    assert (await carol.post(path, {"why": "asked by letter", "confirmation": "wrong"})).status == 400
    form = {"why": "asked by letter", "confirmation": cast.alice.email}
    assert (await carol.post(path, form)).status == 303
    assert (await alice.get("/account")).status == 303
    row = await db.fetchrow("select actor, subject, after from audit where action = 'account.delete'")
    assert (row["actor"], row["after"]) == ("carol@example.com", {"why": "asked by letter"})
    assert row["subject"] == f"deleted-{cast.alice.id}@invalid"
    assert (await carol.post(path, form | {"confirmation": row["subject"]})).status == 404


async def test_a_deleted_account_never_comes_back(carol, alice, db, cast):
    await alice.post("/account/deletion", SURE)
    gone = await accounts.get(db, cast.alice.id)
    await accounts.unban(db, gone, "please", actor="test")
    await accounts.set_role(db, gone, "admin", actor="test")
    again = await accounts.get(db, cast.alice.id)
    assert (again.banned_at is not None, again.role) == (True, "user")


async def test_the_address_is_free_again(alice, stranger):
    await alice.post("/account/deletion", SURE)
    answer = await stranger.post("/register", {"email": "alice@example.com", "password": "another-alice-altogether"})
    assert answer.location == "/plans"
    assert "Nothing was granted" in (await stranger.get("/account")).text


async def test_what_only_grows_still_only_grows(alice, db, cast):
    await ordered(alice, prompt="the pier at dusk")
    for trick in ("", str(cast.alice.id), str(cast.bob.id)):
        async with db.transaction() as tx:
            await tx.execute("select set_config('limner.erasing', $1, true)", trick)
            for statement in (
                "update ledger_entry set credits = 5",
                "update ledger_entry set why = 'a picture'",
                "update audit set actor = 'nobody'",
                "delete from ledger_entry",
            ):
                if "audit" in statement:
                    await tx.execute("insert into audit (actor, action, subject) values ('a', 'b', 'c')")
                with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
                    async with tx.transaction():
                        await tx.execute(statement)


async def test_of_a_deleted_account_too_only_the_name_goes(alice, db, cast):
    await ordered(alice, prompt="the pier at dusk")
    await alice.post("/account/deletion", SURE)
    async with db.transaction() as tx:
        await tx.execute("select set_config('limner.erasing', $1, true)", str(cast.alice.id))
        for statement in (
            "update ledger_entry set credits = credits + 1 where kind = 'reserve'",
            "update ledger_entry set why = 'another' where kind = 'reserve'",
            "update audit set actor = 'nobody'",
            "update audit set after = '{}'",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
                async with tx.transaction():
                    await tx.execute(statement)


ERASED = {
    "account", "session", "sign_in", "ticket", "api_token", "subscription", "generation", "job", "image", "upload",
    "ledger_entry", "former_address", "second_factor", "recovery_code", "pending_sign_in", "linked_sign_in", "trial", "referral",
    "visit", "known_place", "share", "wall_offer", "report", "broadcast_recipient",
}  # fmt: skip
"""What erasure.py goes through, or what has nothing personal left once it did."""
KEPT = {"balance", "invoice", "api_rate", "redemption", "referral_link"}
"""Numbers alone."""


async def test_every_table_about_an_account_is_thought_of(db):
    """A new table with an account in it: say in erasure.py what becomes of it, then name it here."""
    found = await db.fetch(
        "select c.table_name from information_schema.columns as c join information_schema.tables as t using (table_name)"
        " where c.table_schema = 'public' and c.column_name = 'account_id' and t.table_type = 'BASE TABLE'"
    )
    assert {row["table_name"] for row in found} <= ERASED | KEPT
