"""A notice's own page: what became of it, and sending it again or letting it go, with a reason, also by Telegram."""

from __future__ import annotations

import pytest

from limner.sql import accounts, deliveries, notices, pairings, telegram, tickets


@pytest.fixture
async def dana(db):
    """An admin of the bot."""
    code = await pairings.ask(db, 77, "Dana")
    return await pairings.confirm(db, code, actor="test", role="owner")


@pytest.fixture
async def failed(db, dana):
    """A message to her that Telegram did not take."""
    await notices.queue(db, "telegram", "77", "2 keys ran dry", dedupe_key="alert 1")
    await deliveries.failed(db, await notices.take(db, "telegram", 60), "Forbidden: bot was blocked by the user")
    return await db.fetchval("select max(id) from notice")


async def audited(db):
    return await db.fetch(
        "select action, subject, before, after from audit where action like 'notice.%' or action like 'mail.%' order by id"
    )


async def test_carol_sends_a_failed_telegram_message_again_after_saying_why(carol, db, site, failed):
    page = await carol.get(f"/admin/notices/{failed}")
    assert page.status == 200 and f'href="/admin/notices/{failed}"' in (await carol.get("/admin/notices")).text
    assert all(words in page.text for words in ("Dana", "2 keys ran dry", "bot was blocked by the user"))
    path = f"/admin/notices/{failed}/retries"
    asked = await carol.post(path)
    assert (asked.status, "Send it to Dana again?" in asked.text) == (200, True)
    assert await notices.take(db, "telegram", 60) is None and await audited(db) == []
    assert (await carol.confirm(path, asked, "she unblocked it")).location == f"/admin/notices/{failed}"
    again = await notices.take(db, "telegram", 60)
    assert (again.id, again.attempts) == (failed, 2)
    [entry] = await audited(db)
    assert (entry["action"], entry["subject"]) == ("notice.retry", "telegram 77")
    assert entry["before"] == {"state": "failed", "error": "Forbidden: bot was blocked by the user"}
    assert entry["after"] == {"notice": failed, "reason": "she unblocked it"}
    assert "she unblocked it" in (await carol.get(f"/admin/notices/{failed}")).text
    refused = await carol.act(path)
    assert (refused.status, "on its way just now" in refused.text) == (400, True)
    assert await deliveries.sent(db, again)
    refused = await carol.act(path)
    assert (refused.status, "has gone out" in refused.text) == (400, True)


async def test_carol_lets_a_message_go_that_waits(carol, db, dana):
    await notices.queue(db, "telegram", "77", "hello")
    number = await db.fetchval("select max(id) from notice")
    path = f"/admin/notices/{number}/dismissal"
    assert (await carol.act(path, reason="old news")).status == 303
    assert await notices.take(db, "telegram", 60) is None
    [entry] = await audited(db)
    assert (entry["action"], entry["before"]) == ("notice.give_up", {"state": "waiting"})
    refused = await carol.act(path)
    assert (refused.status, "given up already" in refused.text) == (400, True)


async def test_what_was_written_for_an_admin_is_not_sent_to_who_is_none_any_more(carol, db, failed):
    await db.execute("insert into telegram_admin (telegram_id, name) values (5, 'Eve')")
    await telegram.set_role(db, 77, "operator", "test")
    refused = await carol.act(f"/admin/notices/{failed}/retries")
    assert (refused.status, "has another role there" in refused.text) == (400, True)
    await telegram.revoke(db, 77, "test")
    assert (await carol.act(f"/admin/notices/{failed}/retries")).status == 400
    assert await notices.take(db, "telegram", 60) is None and await audited(db) == []


async def test_a_mail_has_the_same_page_without_what_is_for_its_reader_alone(carol, cast, db, site):
    made = await tickets.issue(db, cast.bob.id, "reset", minutes=60)
    said = {"minutes": 60, "code": "GIFT-1234", "message": "happy birthday"}
    await notices.mail(db, cast.bob.email, "reset_password", details=said, ticket_id=made)
    number = await db.fetchval("select max(id) from notice")
    page = (await carol.get(f"/admin/notices/{number}")).text
    assert "reset password" in page and cast.bob.email in page and "No mail server is set up" in page
    secret = tickets.secret(made, site.config.secret_keys)
    assert not any(hidden in page for hidden in ("GIFT-1234", "happy birthday", secret))
    assert (await carol.act(f"/admin/notices/{number}/dismissal", reason="he rang")).status == 303
    assert "he rang" in (await carol.get(f"/admin/notices/{number}")).text
    assert (await carol.act(f"/admin/notices/{number}/retries")).status == 303
    assert [row["before"]["state"] for row in await audited(db)] == ["waiting", "failed"]
    assert [row["after"]["mail"] for row in await audited(db)] == [number] * 2


async def test_support_sees_no_notice_and_what_is_none_is_not_found(site, carol, cast, db, failed):
    await accounts.set_role(db, cast.alice, "support", actor="test")
    support = await site.browser(cast.alice)
    assert (await support.get(f"/admin/notices/{failed}")).status == 403
    assert (await support.act(f"/admin/notices/{failed}/retries")).status == 403
    for number in ("999999", "x", "9" * 30):
        assert (await carol.get(f"/admin/notices/{number}")).status == 404
        assert (await carol.act(f"/admin/notices/{number}/dismissal")).status == 404
