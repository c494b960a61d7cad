"""The admin's page of mails: links to pass on while there is no mail server, each showing written down, and the retries."""

from __future__ import annotations

import re

import pytest

from limner.sql import accounts, audit, deliveries, mails, notices, tickets

AT = "2026-12-05T14:00:00+00:00"


@pytest.fixture
async def ticket(db, cast):
    made = await tickets.issue(db, cast.bob.id, "reset", minutes=60)
    await notices.mail(db, cast.bob.email, "reset_password", details={"minutes": 60}, ticket_id=made)
    return made


async def mail_id(db) -> int:
    return int(await db.fetchval("select max(id) from notice"))


async def act(carol, number, name, reason="they asked"):
    """Press a button of the row, and say on the next page why."""
    asked = await carol.act("/admin/mails/acts", {"act": name, "chosen": str(number)})
    assert (asked.status, "Reason" in asked.text) == (200, True)
    return await carol.act("/admin/mails/acts", {"act": name, "chosen": str(number), "sure": "1", "reason": reason})


async def test_carol_passes_a_link_on_and_it_is_written_down(carol, cast, db, site, ticket):
    page = await carol.get("/admin/mails")
    secret = tickets.secret(ticket, site.config.secret_keys)
    assert "Pass the links on yourself" in page.text and "reset password" in page.text
    assert secret not in page.text  # looking is not showing
    shown = await carol.act(f"/admin/mails/{await mail_id(db)}/link")
    assert shown.status == 200 and shown.headers["Cache-Control"] == "no-store"
    link = re.search(r'readonly value="([^"]+)"', shown.text)
    assert link and link[1] == f"{site.config.public_url}/reset/{secret}"
    assert (await tickets.use(db, secret, "reset", site.config.secret_keys)).account_id == cast.bob.id
    entry = (await audit.listing(db, count=1))[0]
    assert (entry.actor, entry.action, entry.subject) == (cast.carol.email, "mail.link_shown", cast.bob.email)
    assert secret not in f"{entry.before}{entry.after}"


@pytest.mark.parametrize(
    ("ending", "status", "words"),
    [
        ("update ticket set used_at = now()", 410, "used already"),
        ("update ticket set expires_at = now()", 410, "too old"),
        ("update notice set sent_at = now()", 400, "went out"),
        ("update notice set ticket_id = null", 400, "no link of its own"),
    ],
)
async def test_a_link_that_is_over_or_with_its_owner_is_not_shown(carol, db, site, ticket, ending, status, words):
    await db.execute(ending)
    assert "/link" not in (await carol.get("/admin/mails")).text
    before = len(await audit.listing(db))
    page = await carol.act(f"/admin/mails/{await mail_id(db)}/link")
    assert page.status == status and words in page.text
    assert tickets.secret(ticket, site.config.secret_keys) not in page.text and len(await audit.listing(db)) == before


async def test_support_sees_nothing_of_it(site, cast, db, ticket):
    await accounts.set_role(db, cast.alice, "support", actor="test")
    support = await site.browser(cast.alice)
    assert (await support.get("/admin/mails")).status == 403
    assert (await support.act(f"/admin/mails/{await mail_id(db)}/link")).status == 403
    assert "/admin/mails" not in (await support.get("/admin")).text


async def test_carol_retries_what_failed_and_gives_up_what_waits(carol, cast, db, ticket):
    number = await mail_id(db)
    mail = await mails.take(db, 60)
    refused = await act(carol, number, "retry")
    assert refused.status == 409 and "on its way just now" in refused.text
    await deliveries.failed(db, mail, "550 5.1.1 nobody of that name")
    assert "550 5.1.1 nobody of that name" in (await carol.get("/admin/mails?state=failed")).text
    assert (await act(carol, number, "retry", reason="")).status == 400
    assert await mails.take(db, 0) is None
    assert (await act(carol, number, "retry")).status == 303
    again = await mails.take(db, 0)
    assert again.id == number and again.attempts == 2
    assert (await act(carol, number, "give_up")).status == 303
    assert await mails.take(db, 0) is None
    assert (await act(carol, number, "give_up")).status == 409
    rows = await db.fetch("select action, after ->> 'reason' as why from audit order by id desc limit 2")
    assert [tuple(row) for row in rows] == [("mail.give_up", "they asked"), ("mail.retry", "they asked")]


async def test_what_went_out_is_not_sent_again(carol, db, ticket):
    await deliveries.sent(db, await mails.take(db, 60))
    for name in ("retry", "give_up"):
        page = await act(carol, await mail_id(db), name)
        assert page.status == 409 and "has gone out" in page.text
    assert await mails.take(db, 0) is None


async def test_a_telegram_notice_is_no_mail(carol, db):
    await notices.queue(db, "telegram", "7", "hello")
    assert (await carol.act(f"/admin/mails/{await mail_id(db)}/link")).status == 404
    for name in ("retry", "give_up"):
        assert (await act(carol, await mail_id(db), name)).status == 409
    assert "No mail has been written yet" in (await carol.get("/admin/mails")).text


async def test_many_mails_are_turned_by_the_page_and_told_apart_by_their_state(carol, db):
    for number in range(60):
        await notices.mail(db, f"{number}@example.com", "totp_on", details={"at": AT, "path": "/account"})
    await db.execute("update notice set sent_at = now() where recipient = '7@example.com'")
    first = (await carol.get("/admin/mails?state=waiting")).text
    older = re.search(r'href="([^"]+before=\d+)"', first)
    assert older and "59@example.com" in first and ">7@example.com" not in first
    second = (await carol.get(older[1].replace("&amp;", "&"))).text
    assert ">0@example.com" in second and ">59@example.com" not in second
    assert ">7@example.com" in (await carol.get("/admin/mails?state=sent")).text
    assert (await carol.get("/admin/mails?state=%F0%9F&before=x")).status == 400
