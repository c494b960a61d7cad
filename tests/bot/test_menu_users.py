"""The menu of users: found as typed, given to and shut out only after asking twice, and never by who may only look."""

from __future__ import annotations

import pytest

from limner.actors.bot.menus import switchboard
from limner.sql import accounts, invoices, ledger, plans, sessions, tickets
from tests.bot.phone import acts, paired


@pytest.fixture
async def owner(db, config):
    return await paired(db, config)


async def audited(db) -> dict:
    return dict(await db.fetchrow("select actor, action, subject, before, after from audit order by id desc limit 1"))


async def test_a_user_is_found_by_a_part_of_the_address_taken_literally(owner, cast):
    await owner.press("users")
    assert {words.split()[1] for words in owner.words[:3]} == {
        f"{name}@example.com" for name in ("alice", "bob", "carol")
    }
    await owner.tap("Find")
    await owner.say("ALI")
    assert owner.words[0].startswith("🟢 alice@example.com · 100") and len(owner.words) == 3
    await owner.tap("Find")
    await owner.say("%")
    assert len(owner.words) == 2 and "“%”" in owner.shown.text
    await owner.tap("Find")
    await owner.say("<b>_'")
    assert "“&lt;b&gt;_&#x27;”" in owner.shown.text and len(owner.words) == 2


async def test_a_user_is_seen_with_plan_credits_and_orders(owner, cast, db):
    await owner.press(f"users:see:{cast.alice.id}")
    assert (
        "Plan: Monthly, active, until" in owner.shown.text and "Credits: 100 left, 0 held, 0 spent" in owner.shown.text
    )
    await owner.press(f"users:see:{cast.bob.id}")
    assert "Never had a plan" in owner.shown.text
    await owner.tap("Last orders")
    assert "has ordered nothing" in owner.shown.text


async def test_credits_are_given_after_an_amount_and_a_yes(owner, cast, db):
    await owner.press(f"users:see:{cast.alice.id}")
    await owner.tap("Credits")
    assert "They have 100" in owner.shown.text
    for wrong in ("0", "many", "1.5", "1000000", "-", "٣"):
        await owner.say(wrong)
        assert "A whole number from -100000 to 100000" in owner.shown.text, wrong
    await owner.say("+25")
    assert "Now 100, then 125." in owner.shown.text and "✅ Yes, +25" in owner.words
    assert (await ledger.balance(db, cast.alice.id)).available == 100 and await acts(db) == []
    await owner.yes()
    assert owner.shown.toast == "Done." and "Credits: 125 left" in owner.shown.text
    assert await audited(db) == {
        "actor": "bot 7", "action": "ledger.adjust", "subject": "alice@example.com", "before": {"available": 100},
        "after": {"available": 125, "reason": "Carol said so by Telegram"},
    }  # fmt: skip


async def test_who_it_was_is_for_the_audit_and_nothing_that_a_user_reads(owner, cast, db):
    for typed in ("+25", "-5"):
        await owner.press(f"users:grant:{cast.bob.id}")
        await owner.say(typed)
        await owner.yes()
    await owner.press(f"users:ban:{cast.bob.id}")
    await owner.yes()
    whys = [row["why"] for row in await db.fetch("select why from ledger_entry where kind = 'adjust' order by id")]
    assert whys == ["Added by the studio", "Taken back by the studio"]
    assert await db.fetchval("select ban_reason from account where id = $1", cast.bob.id) == "Shut out by the studio"
    assert "Shut out by the studio" in owner.shown.text
    reasons = await db.fetch("select after ->> 'reason' as reason from audit where actor = 'bot 7'")
    assert {row["reason"] for row in reasons} == {"Carol said so by Telegram"}


async def test_no_more_is_taken_back_than_is_there(owner, cast, db):
    await owner.press(f"users:grant:{cast.alice.id}")
    await owner.say("-101")
    await owner.yes()
    assert "not enough credits" in owner.shown.toast
    assert (await ledger.balance(db, cast.alice.id)).available == 100 and await acts(db) == []


async def test_somebody_is_banned_and_let_in_again(owner, cast, db):
    token = await sessions.start(db, cast.bob.id, ip="", agent="")
    await owner.press(f"users:see:{cast.bob.id}")
    await owner.tap("⛔ Ban")
    await owner.tap("No")
    assert await sessions.find(db, token) is not None
    await owner.tap("⛔ Ban")
    await owner.yes()
    assert "Banned: Shut out by the studio" in owner.shown.text and await sessions.find(db, token) is None
    await owner.tap("Let in again")
    await owner.yes()
    assert "Banned" not in owner.shown.text
    assert await acts(db) == [("bot 7", "account.ban"), ("bot 7", "account.unban")]


async def test_an_admin_is_not_banned_and_gets_no_link_by_telegram(owner, cast, db):
    await owner.press(f"users:see:{cast.carol.id}")
    assert not [words for words in owner.words if "Ban" in words or "password" in words]
    await owner.press(f"users:ban:{cast.carol.id}")
    await owner.yes()
    assert "cannot be banned" in owner.shown.toast
    await owner.press(f"users:reset:{cast.carol.id}")
    await owner.yes()
    assert "server's console alone" in owner.shown.toast
    assert await acts(db) == [] and await db.fetchval("select count(*) from ticket") == 0


async def test_somebody_is_logged_out_everywhere(owner, cast, db):
    for _ in range(3):
        await sessions.start(db, cast.bob.id, ip="", agent="")
    await owner.press(f"users:logout:{cast.bob.id}")
    await owner.yes()
    assert owner.shown.toast == "Sessions ended: 3."
    assert await db.fetchval("select count(*) from session where account_id = $1", cast.bob.id) == 0
    entry = await audited(db)
    assert (entry["action"], entry["before"], entry["after"]["sessions"]) == ("account.log_out", {"sessions": 3}, 0)


async def test_without_a_mail_server_the_link_is_shown_once_and_works(owner, cast, db, config):
    await owner.press(f"users:reset:{cast.bob.id}")
    await owner.yes()
    secret = owner.shown.text.split("/reset/")[1].split("<")[0]
    assert (await tickets.use(db, secret, "reset", config.secret_keys)).account_id == cast.bob.id
    assert (await audited(db))["action"] == "account.reset_link" and secret not in str(
        await db.fetch("select * from audit")
    )


async def test_with_a_mail_server_the_link_is_mailed_and_not_shown(db, config, cast):
    sending = config.model_copy(update={"smtp_host": "127.0.0.1"})
    owner = await paired(db, sending)
    await owner.press(f"users:reset:{cast.bob.id}")
    await owner.yes()
    assert "/reset/" not in owner.shown.text and "by mail" in owner.shown.toast
    row = await db.fetchrow("select recipient, template, ticket_id is not null as has_link from notice")
    assert tuple(row) == ("bob@example.com", "reset_password", True)
    assert (await audited(db))["action"] == "account.reset_mailed"


async def test_a_viewer_looks_and_changes_nothing(db, config, cast):
    viewer = await paired(db, config, "viewer")
    await viewer.press(f"users:see:{cast.bob.id}")
    assert viewer.words == ["🖼 Last orders", "⬅ Back"]
    for act in ("grant", "ban", "unban", "logout", "reset"):
        await viewer.press(f"users:{act}:{cast.bob.id}")
        assert viewer.shown.toast == "You may look, not change."
    assert await acts(db) == []


async def test_for_an_operator_there_are_no_users(db, config, cast):
    operator = await paired(db, config, "operator")
    await operator.press("home")
    assert "users" not in operator.data
    await operator.press(f"users:see:{cast.bob.id}")
    assert operator.shown.toast == "You may look, not change." and "bob@" not in operator.shown.text


async def test_what_makes_no_sense_leads_back_with_a_reason(owner, cast, db):
    for data in (
        "users:see:x",
        "users:see",
        f"users:eat:{cast.bob.id}",
        "users:see:" + "0" * 30,
        f"users:see:{cast.bob.id}:1",
    ):
        await owner.press(data)
        assert "out of date" in owner.shown.toast, data
    await owner.press("users:see:00000000-0000-0000-0000-000000000000")
    assert owner.shown.toast == "There is no such account any more."


async def test_a_role_that_was_lost_between_question_and_yes_is_lost(owner, cast, db):
    await owner.press(f"users:ban:{cast.bob.id}")
    await db.execute("update telegram_admin set role = 'viewer'")
    await owner.yes()
    assert owner.shown.toast == "You may look, not change."
    assert (await accounts.get(db, cast.bob.id)).banned_at is None


@pytest.mark.parametrize("locale", ["en", "ru", "zh"])
@pytest.mark.parametrize("role", ["owner", "operator", "viewer"])
async def test_every_button_of_every_menu_leads_somewhere(db, config, cast, role, locale):
    """From the dashboard on, each button once; only the yeses are left alone."""
    invoice = await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    await db.execute("update invoice set trouble = 'partial', trouble_words = 'Half came.' where id = $1", invoice.id)
    await db.execute(
        "insert into broadcast (segment, per_minute, words, created_by, state, started_at)"
        """ values ('all', 60, '{"en": {"subject": "S", "body": "B"}}', 'x', 'sending', now())"""
    )
    phone = await paired(db, config, role)
    phone.locale = locale
    seen, ahead = set[str](), ["home"]
    while ahead:
        data = ahead.pop()
        await phone.press(data)
        assert phone.shown.text, data
        assert not phone.shown.toast or data.startswith("payments:check"), (data, phone.shown.toast)
        for each in phone.data:
            if each not in seen and not each.startswith(("yes:", "language:", "broadcasts:way:")):
                seen.add(each)
                ahead.append(each)
    assert len(seen) > (30 if role == "owner" else 5)
    if role != "operator":
        assert f"payments:see:{invoice.id}" in seen
    assert switchboard.MENUS.keys() >= {"users", "payments", "generations", "codes", "broadcasts"}
