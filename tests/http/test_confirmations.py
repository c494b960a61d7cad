"""Links from mails: nothing changes by looking, each works once and for its own account, and asking tells nobody anything."""

from __future__ import annotations

import pytest

from limner.runtime import passwords
from limner.sql import accounts, confirmations, sessions, tickets
from tests.http.conftest import numbers, serving

NEW = "alice-likes-verdigris"
DORA = {"email": "dora@example.com", "password": "dora-likes-verdigris"}


async def last_link(site, template: str) -> str:
    """The path that the newest mail of this template leads to."""
    row = await site.db.fetchrow(
        "select n.recipient, t.id, t.purpose from notice n join ticket t on t.id = n.ticket_id where n.template = $1"
        " order by n.id desc limit 1",
        template,
    )
    return tickets.link(row["id"], row["purpose"], "", site.config.secret_keys)


async def password_of(db, account) -> str:
    return await db.fetchval("select password_hash from account where id = $1", account.id)


async def test_whoever_registers_confirms_the_address_by_a_button_and_not_by_looking(stranger, site, db):
    await stranger.post("/register", DORA)
    assert "is not confirmed yet" in (await stranger.get("/account")).text
    link = await last_link(site, "verify_email")
    for _ in range(3):
        assert "dora@example.com" in (await stranger.get(link)).text
    assert await db.fetchval("select verified_at from account where email_key = 'dora@example.com'") is None
    assert (await stranger.post(link)).location == "/dashboard"
    assert "is not confirmed yet" not in (await stranger.get("/account")).text
    assert ((await stranger.get(link)).status, (await stranger.post(link)).status) == (410, 410)


async def test_the_link_works_in_another_browser_too(stranger, site):
    await stranger.post("/register", DORA)
    link = await last_link(site, "verify_email")
    other = await site.browser()
    assert (await other.post(link)).location == "/login"


async def test_the_link_is_sent_again_three_times_an_hour_and_the_last_one_counts(stranger, site):
    await stranger.post("/register", DORA)
    first = await last_link(site, "verify_email")
    assert [(await stranger.post("/account/verification")).status for _ in range(3)] == [303, 303, 429]
    assert (await stranger.get(first)).status == 410
    assert (await stranger.get(await last_link(site, "verify_email"))).status == 200


async def test_a_confirmed_address_is_not_confirmed_again(alice, db):
    assert (await alice.post("/account/verification")).status == 400
    assert await numbers(db, "notice") == 0


async def test_a_link_for_an_address_that_changed_meanwhile_confirms_nothing(stranger, site, db):
    await stranger.post("/register", DORA)
    link = await last_link(site, "verify_email")
    await db.execute("update account set email = 'else@example.com' where email_key = 'dora@example.com'")
    assert (await stranger.post(link)).status == 410
    assert await db.fetchval("select verified_at from account where email_key = 'else@example.com'") is None


async def test_where_it_is_asked_for_nobody_paints_before_the_address_is_confirmed(dsn, tmp_path, db, cast):
    await db.execute("update account set verified_at = null where id = $1", cast.alice.id)
    async with serving(dsn, tmp_path, db, require_verification=True) as site:
        alice = await site.browser(cast.alice)
        refused = await alice.order()
        assert (refused.status, "confirm your e-mail address first" in refused.text) == (403, True)
        token = await alice.post("/account/tokens", [("name", "x"), ("scopes", "images:write")])
        assert (token.status, await numbers(db, "api_token")) == (403, 0)
        await confirmations.ask_verification(db, cast.alice.id)
        await alice.post(await last_link(site, "verify_email"))
        assert (await alice.order()).status == 303


async def test_a_forgotten_password_is_replaced_once_and_every_device_is_signed_out(stranger, alice, site, db, cast):
    assert (await stranger.post("/reset", {"email": "ALICE@example.com"})).status == 200
    link = await last_link(site, "reset_password")
    assert "alice@example.com" in (await stranger.get(link)).text
    assert (await stranger.post(link, {"password": NEW})).location == "/login"
    assert await passwords.matches(NEW, await password_of(db, cast.alice))
    assert (await alice.get("/account")).status == 303
    assert (await stranger.post(link, {"password": "something-else-entirely"})).status == 410
    assert await passwords.matches(NEW, await password_of(db, cast.alice))
    assert await db.fetchval("select count(*) from notice where template = 'password_changed'") == 1
    assert (await stranger.post("/login", {"email": cast.alice.email, "password": NEW})).location == "/dashboard"


async def test_a_refused_password_leaves_the_link_whole(stranger, site, db):
    await stranger.post("/reset", {"email": "alice@example.com"})
    link = await last_link(site, "reset_password")
    for wrong in ("short", "password123456", "alice@example.com", ""):
        page = await stranger.post(link, {"password": wrong})
        assert (page.status, "alice@example.com" in page.text) == (400, True), wrong
    assert (await stranger.post(link, {"password": NEW})).status == 303


async def test_whose_password_it_is_the_link_alone_says(stranger, site, db, cast):
    before = await password_of(db, cast.bob)
    await stranger.post("/reset", {"email": cast.alice.email})
    forged = {
        "password": NEW, "email": cast.bob.email, "user": str(cast.bob.id), "account_id": str(cast.bob.id),
        "username": cast.bob.email, "id": str(cast.bob.id),
    }  # fmt: skip
    await stranger.post(await last_link(site, "reset_password") + f"?email={cast.bob.email}", forged)
    assert await password_of(db, cast.bob) == before
    assert await passwords.matches(NEW, await password_of(db, cast.alice))


async def test_a_new_request_ends_the_link_before_and_a_link_ends_after_an_hour(stranger, site, db):
    await stranger.post("/reset", {"email": "alice@example.com"})
    first = await last_link(site, "reset_password")
    await stranger.post("/reset", {"email": "alice@example.com"})
    second = await last_link(site, "reset_password")
    assert ((await stranger.get(first)).status, (await stranger.get(second)).status) == (410, 200)
    assert await db.fetchval("select bool_and(expires_at <= created_at + interval '60 minutes') from ticket")
    await db.execute("update ticket set expires_at = now()")
    assert (await stranger.post(second, {"password": NEW})).status == 410


async def test_a_password_that_was_changed_meanwhile_ends_the_link(stranger, alice, site):
    await stranger.post("/reset", {"email": "alice@example.com"})
    link = await last_link(site, "reset_password")
    await alice.post("/account/password", {"current": "alice-likes-vermilion", "password": NEW})
    assert (await stranger.post(link, {"password": "something-else-entirely"})).status == 410


async def test_known_and_unknown_addresses_are_answered_alike_also_when_it_was_too_often(stranger, db):
    known = [await stranger.post("/reset", {"email": "alice@example.com"}) for _ in range(5)]
    unknown = [await stranger.post("/reset", {"email": "alicf@example.com"}) for _ in range(5)]
    assert {page.status for page in known + unknown} == {200}
    assert len({page.text for page in known + unknown}) == 1
    assert await db.fetchval("select count(*) from notice where template = 'reset_password'") == 3


async def test_a_banned_account_gets_no_link(stranger, db, cast):
    await accounts.ban(db, cast.bob, "spam", actor="test")
    assert (await stranger.post("/reset", {"email": cast.bob.email})).status == 200
    assert await numbers(db, "notice") == 0


async def test_without_a_mail_server_the_pages_say_so(stranger, dsn, tmp_path, db):
    assert "sends no mails" in (await stranger.get("/reset")).text
    assert "ask them for it" in (await stranger.post("/reset", {"email": "alice@example.com"})).text
    async with serving(dsn, tmp_path, db, smtp_host="mail.test", mail_from="studio@example.com") as site:
        assert "sends no mails" not in (await (await site.browser()).get("/reset")).text


CHANGE = {"email": "alice@new.example", "email_password": "alice-likes-vermilion"}


async def test_a_new_address_is_in_force_once_confirmed_and_both_sides_are_told(alice, site, db, cast):
    assert (await alice.post("/account/email", CHANGE)).location == "/account"
    assert "alice@example.com" in (await alice.get("/account")).text
    link = await last_link(site, "email_change_confirm")
    assert (await alice.get(link)).status == 200
    assert (await accounts.get(db, cast.alice.id)).email == "alice@example.com"
    await alice.post(link)
    changed = await accounts.get(db, cast.alice.id)
    assert (changed.email, changed.verified_at is not None) == ("alice@new.example", True)
    rows = await db.fetch("select recipient, template, details from notice order by id")
    assert [(row["recipient"], row["template"]) for row in rows] == [
        ("alice@new.example", "email_change_confirm"),
        ("alice@example.com", "email_change_notice"),
        ("alice@example.com", "email_changed"),
    ]
    before, after = await db.fetchrow("select before, after from audit where action = 'account.email'")
    assert (before, after) == ({"email": "alice@example.com"}, {"email": "alice@new.example"})
    assert (await alice.post(link)).status == 410


@pytest.mark.parametrize(
    "form, words",
    [
        (CHANGE | {"email_password": "wrong-wrong-wrong"}, "not your current password"),
        (CHANGE | {"email": "BOB@example.com"}, "account with this address already"),
        (CHANGE | {"email": "alice@example.com"}, "your address already"),
        (CHANGE | {"email": "nonsense"}, "does not look like"),
        (CHANGE | {"email": "alice@mailinator.com"}, "thrown away"),
    ],
)
async def test_a_refused_change_of_address_changes_and_sends_nothing(alice, db, form, words):
    page = await alice.post("/account/email", form)
    assert (page.status, words in page.text) == (400, True)
    assert await numbers(db, "notice") == 0


async def test_whether_an_address_is_taken_can_be_asked_three_times_an_hour(alice):
    form = CHANGE | {"email": "bob@example.com"}
    assert [(await alice.post("/account/email", form)).status for _ in range(4)] == [400, 400, 400, 429]


async def test_an_address_that_was_taken_meanwhile_stays_with_whom_it_is(alice, site, db, cast):
    await alice.post("/account/email", CHANGE)
    await accounts.create(db, "ALICE@new.example", "x")
    page = await alice.post(await last_link(site, "email_change_confirm"))
    assert (page.status, "account with this address already" in page.text) == (400, True)
    assert (await accounts.get(db, cast.alice.id)).email == "alice@example.com"


async def test_links_that_went_to_the_old_address_end_with_it(stranger, alice, site):
    await stranger.post("/reset", {"email": "alice@example.com"})
    reset = await last_link(site, "reset_password")
    await alice.post("/account/email", CHANGE)
    await alice.post(await last_link(site, "email_change_confirm"))
    assert (await stranger.get(reset)).status == 410


@pytest.mark.parametrize("garbage", ["x", "%00", "%F0%9F%A6%8A", "A" * 4000, "..%2f..%2fetc", "'--", "%ff%fe"])
@pytest.mark.parametrize("path", ["/verify/", "/reset/", "/email/"])
async def test_a_link_that_nobody_made_leads_nowhere(stranger, path, garbage):
    assert (await stranger.get(path + garbage)).status in (400, 404, 410)


async def test_no_secret_of_a_link_is_in_the_log_the_audit_or_the_database(stranger, alice, site, db, capsys, dsn):
    from limner.runtime import log

    log.set_up("test", "json", "debug")
    await stranger.post("/reset", {"email": "alice@example.com"})
    await alice.post("/account/email", CHANGE)
    used = [await last_link(site, "reset_password"), await last_link(site, "email_change_confirm")]
    await stranger.post("/register", DORA)
    used.append(await last_link(site, "verify_email"))
    for link in used:
        await stranger.get(link)
        await stranger.post(link, {"password": NEW})
        await stranger.post(link, {"password": NEW})
    said = "".join(capsys.readouterr())
    log.set_up("test", "text", "warning")
    assert "/reset/{secret}" in said
    tables = [
        row["name"] for row in await db.fetch("select tablename as name from pg_tables where schemaname = 'public'")
    ]
    kept = "".join([str(await db.fetch(f'select t::text from "{name}" as t')) for name in tables])
    for link in used:
        secret = link.rpartition("/")[2]
        assert secret not in said
        assert secret not in kept
        assert secret[20:] not in said + kept


async def test_a_session_of_before_the_reset_is_gone(stranger, site, db, cast):
    token = await sessions.start(db, cast.alice.id, ip="192.0.2.1", agent="old")
    await stranger.post("/reset", {"email": cast.alice.email})
    await stranger.post(await last_link(site, "reset_password"), {"password": NEW})
    assert await sessions.find(db, token) is None
