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
from limner.sql import (
    accounts,
    alert_news,
    alerts,
    audit,
    billing,
    books,
    broadcasts,
    chain,
    erasure,
    invitations,
    invoices,
    ledger,
    links,
    payments,
    plans,
    refunds,
    sessions,
    tickets,
    tokens,
)
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
    await carol.act(f"/admin/users/{cast.alice.id}/grants", {"credits": "3", "reason": "welcome"})
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


WHERE = """
select table_name, column_name from information_schema.columns join information_schema.tables using (table_schema, table_name)
where table_schema = 'public' and table_type = 'BASE TABLE' and data_type in ('text', 'jsonb', 'json', 'ARRAY')
"""


async def named(db, *traces: str) -> list[str]:
    """Which columns of which tables hold one of these, in whatever case."""
    return sorted({
        f"{row['table_name']}.{row['column_name']}"
        for row in await db.fetch(WHERE)
        for trace in traces
        if await db.fetchval(
            f'select exists (select from "{row["table_name"]}" where strpos(lower("{row["column_name"]}"::text), $1) > 0)', trace
        )
    })  # fmt: skip


async def test_an_admin_of_before_who_leaves_is_named_nowhere(alice, carol, site, db, cast):
    """Dave gave and was given, invited, snoozed, marked paid, paid back, wrote to everybody, and had another address."""
    dave = await accounts.create(db, "dave@example.com", "no hash", role="admin", is_verified=True)
    monthly = await plans.by_code(db, "monthly")
    await invitations.create(db, reason="guests", actor="dave@example.com")
    await alerts.see(db, [alerts.Trouble("queue_waits", "Pictures have been waiting for 3 min.", "queue_waits")])
    await alert_news.snooze(db, await db.fetchval("select max(id) from alert"), 4, "known", actor="dave@example.com")
    bought = await billing.buy(db, cast.bob.id, monthly, "sandbox")
    await payments.mark_paid(db, bought.id, "by post", actor="dave@example.com")
    by_alice = await billing.buy(db, cast.alice.id, monthly, "sandbox")
    await invoices.settle(db, by_alice.id, actor="test")
    await db.execute("update invoice set received_cents = amount_cents, processor_ref = 'x' where id = $1", by_alice.id)
    await refunds.order(db, by_alice.id, "whole", "asked for", actor="dave@example.com")
    draft = broadcasts.Draft({"en": broadcasts.Words("News", "Hello.")})
    await broadcasts.write(db, draft, actor="dave@example.com")
    about = {"to": "friend@example.net", "message": "from dave@example.com"}
    gift = await billing.buy_gift(db, dave, monthly, "sandbox", site.config.secret_keys, **about)
    await invoices.settle(db, gift.id, actor="test")
    about = {"to": "Dave@example.com", "message": "for you"}
    await billing.buy_gift(db, cast.bob, monthly, "sandbox", site.config.secret_keys, **about)
    await db.execute(
        "insert into former_address (account_id, email, until) values ($1, $2, now())", dave.id, dave.email
    )
    await db.execute("update account set email = 'dave@new.example' where id = $1", dave.id)
    await accounts.set_role(db, await accounts.get(db, dave.id), "user", actor="test")
    assert set(await named(db, "dave@example.com")) >= {
        "alert.snoozed_by", "audit.actor", "broadcast.created_by", "code.made_by", "invitation.created_by", "invoice.details",
        "invoice.paid_by", "notice.details", "refund.actor",
    }  # fmt: skip
    await erasure.erase(db, dave.id, actor="cli", why="asked for")
    await db.execute("delete from notice where template = 'account_deleted'")  # after an hour
    assert await named(db, "dave@example.com", "dave@new.example") == []
    assert (await chain.verify(db)).is_whole


async def test_whoever_has_the_address_now_stays_where_they_stand(db, cast):
    """Bob had the address before: what its owner of today does is not taken for his."""
    await db.execute(
        "insert into former_address (account_id, email, until) values ($1, 'new@example.com', now())", cast.bob.id
    )
    await invitations.create(db, reason="guests", actor="new@example.com")
    await erasure.erase(db, cast.bob.id, actor="cli", why="asked for")
    assert await db.fetchval("select created_by from invitation") == "new@example.com"


async def test_what_old_rows_of_the_audit_tell_of_a_person_goes_too(db, cast):
    alice, bob = cast.alice.email, cast.bob.email
    for owner in (alice, bob):
        for action, subject, before, after in (
            ("session.end", owner, {"ip": "192.0.2.77", "agent": "her browser"}, {"reason": "lost"}),
            ("account.sign_in_linked", owner, None, {"issuer": "telegram", "label": "Her Name"}),
            ("account.sign_in_unlinked", owner, {"issuer": "telegram", "label": "Her Name"}, None),
            ("token.create", f"{owner} {cast.carol.id}", None, {"name": "Her Program", "last_four": "abcd"}),
            ("token.revoke", f"{owner} {cast.carol.id}", {"name": "Her Program", "last_four": "abcd"}, None),
        ):  # fmt: skip
            await audit.record(db, "carol@example.com", action, subject, before, after)
    await erasure.erase(db, cast.alice.id, actor="cli", why="asked for")
    rows = await db.fetch("select subject, before, after from audit where actor = 'carol@example.com' order by id")
    told = [str(row["before"] or {}) + str(row["after"] or {}) for row in rows]
    assert len(told) == 10
    assert not any(word in "".join(told[:5]) for word in ("192.0.2.77", "browser", "Her", alice))
    assert all(word in "".join(told[:5]) for word in ("lost", "telegram", "abcd"))
    assert "".join(told[5:]).count("Her") == 4
    assert (await chain.verify(db)).is_whole


async def test_new_rows_of_the_audit_tell_none_of_it(db, cast):
    await sessions.start(db, cast.alice.id, ip="192.0.2.77", agent="her browser")
    await sessions.end_for(
        db, await db.fetchval("select id from session where agent = 'her browser'"), "lost", actor="test"
    )
    await links.link(db, cast.alice, "https://id.example", "1", "Her Name", provider="Id", actor="test", ip="")
    await links.unlink(db, cast.alice, "https://id.example", actor="test", ip="")
    await tokens.create(db, cast.alice, "Her Program", tokens.Caps(), actor="test")
    token = await db.fetchval("select id from api_token where name = 'Her Program'")
    assert await tokens.revoke(db, token, owner=None, actor="test") == "Her Program"
    rows = [str(dict(row)) for row in await db.fetch("select * from audit where actor = 'test'")]
    assert len(rows) == 5
    assert not any(word in "".join(rows) for word in ("192.0.2.77", "browser", "Her "))


async def test_an_address_that_only_contains_the_other_stays_in_the_audit(alice, db, cast):
    await accounts.ban(db, cast.bob, "wrote to xalice@example.com", actor="xalice@example.com")
    await alice.post("/account/deletion", SURE)
    row = await db.fetchrow("select actor, after from audit where action = 'account.ban'")
    assert (row["actor"], row["after"]["reason"]) == ("xalice@example.com", "wrote to xalice@example.com")


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


async def test_whoever_chose_a_plan_and_never_paid_may_leave_too(bob, db, cast):
    await bob.post("/plans/monthly/invoices")
    assert (
        await db.fetchval("select state from subscription where account_id = $1", cast.bob.id) == "pending_activation"
    )
    page = await bob.post("/account/deletion", {"confirmation": "bob@example.com", "password": "bob-likes-vermilion"})
    assert (page.status, page.location) == (303, "/")
    assert await db.fetchval("select count(*) from subscription where account_id = $1", cast.bob.id) == 0


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
