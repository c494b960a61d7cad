"""The outbox: a mail goes out as soon as it is queued, one queue never holds the other up, and what is over is forgotten."""

from __future__ import annotations

import anyio
import pytest

from limner.actors import postman
from limner.actors.courier import deliver as deliver_telegram
from limner.actors.janitor import Janitor
from limner.actors.pool import Pool
from limner.runtime.bus import Bus
from limner.runtime.errors import Refused
from limner.runtime.presence import Presence
from limner.runtime.storage import open_storage
from limner.runtime.vault import Vault
from limner.sql import mails, notices, outbox, tickets

ALICE = "alice@example.com"
AT = "2026-12-05T14:00:00+00:00"


async def test_a_mail_goes_out_as_soon_as_it_is_queued(server, db, config):
    """No schedule runs here: the notification alone brings it about."""
    bus, presence = Bus(db), Presence(db, "worker", lease=config.lease)
    await presence.beat()
    async with anyio.create_task_group() as group:
        for work in (bus.run, presence.run, postman.Postman(db, bus, presence, config=config).run):
            group.start_soon(work)
        with anyio.fail_after(30):
            while not bus.is_connected:
                await anyio.sleep(0.05)
            await notices.mail(db, ALICE, "account_deleted", details={"at": AT})
            await server.reached.wait()
        group.cancel_scope.cancel()


async def test_mail_and_telegram_do_not_wait_for_each_other(server, db, config):
    """Neither takes the other's; a heap of mails without a server is no heap for Telegram."""
    await notices.queue(db, "telegram", "7", "for the phone")
    await notices.queue(db, "mail", ALICE, "plain words", subject="By hand")
    assert await deliver_telegram(db, config, None) == 0  # type: ignore[arg-type]
    assert await postman.deliver(db, config) == 1
    assert server.subjects == ["By hand"] and server.got[0].part("plain").strip() == "plain words"
    waits = await notices.take(db, "telegram", 30)
    assert waits is not None and waits.body == "for the phone"


async def janitor(db, config):
    pool = Pool(db, config, Vault.from_config(config))
    async with open_storage(config) as storage:
        await Janitor(db, Bus(db), Presence(db, "test", lease=3), storage=storage, pool=pool).tidy()


async def test_what_a_mail_said_is_forgotten_after_a_month(server, db, config):
    for who in ("old@example.com", "new@example.com"):
        await notices.mail(db, who, "email_changed", details={"new_email": "secret@example.com", "at": AT})
    await postman.deliver(db, config)
    await db.execute("update notice set sent_at = now() - interval '31 days' where recipient = 'old@example.com'")
    await janitor(db, config)
    rows = await db.fetch("select recipient, details, sent_at is not null as sent from notice order by id")
    assert [row["details"] is None for row in rows] == [True, False] and all(row["sent"] for row in rows)


async def test_a_code_is_forgotten_as_soon_as_its_mail_is_out(server, db, config):
    gift = {"giver": None, "message": None, "plan": "Monthly", "days": 31, "credits": None, "ends_at": None}
    await notices.mail(db, ALICE, "gift_code", details=gift | {"code": "GIFT-7Q2M", "path": "/plans"})
    await postman.deliver(db, config)
    assert "GIFT-7Q2M" in server.got[0].part("plain")
    assert "GIFT-7Q2M" not in str(await db.fetch("select * from notice"))


async def test_a_mail_that_is_on_its_way_just_now_is_not_given_up(server, db, config):
    """It may arrive, and then nobody would believe the outbox."""
    await notices.mail(db, ALICE, "totp_on", details={"at": AT, "path": "/account"})
    mail = await mails.take(db, 60)
    assert mail is not None
    with pytest.raises(Refused, match="on its way just now"):
        await outbox.give_up(db, mail.id, actor="carol@example.com")
    await mails.postpone(db, mail, 60, "451 later")
    await outbox.give_up(db, mail.id, actor="carol@example.com")
    assert await db.fetchval("select failed_at is not null from notice")


async def test_links_and_mails_that_nobody_waits_for_any_more_end(db, config, cast):
    """Without a mail server nothing goes out: a mail whose link is over, or that is a month old, waits no longer."""
    fresh, over, gone = [
        await tickets.issue(db, account.id, "verify", minutes=60) for account in (cast.alice, cast.bob, cast.carol)
    ]
    for ticket in (fresh, over, gone):
        await notices.mail(db, f"{ticket}@example.com", "verify_email", details={"hours": 1}, ticket_id=ticket)
    await notices.mail(db, "old@example.com", "totp_on", details={"at": AT, "path": "/account"})
    await db.execute("update notice set created_at = now() - interval '31 days' where recipient = 'old@example.com'")
    await db.execute("update ticket set expires_at = now() where id = $1", over)
    await db.execute("update ticket set expires_at = now() - interval '31 days' where id = $1", gone)
    await janitor(db, config)
    rows = await db.fetch("select error from notice where failed_at is not null order by id")
    assert [row["error"] for row in rows] == [
        "its link has expired",
        "its link has expired",
        "nobody sent it for 30 days",
    ]
    assert {row["id"] for row in await db.fetch("select id from ticket")} == {fresh, over}
    assert (await mails.jam(db, 0)).failed == 0  # nobody tried: that is no trouble


@pytest.mark.parametrize("again", [False, True])
async def test_the_same_news_goes_out_once(server, db, config, again):
    for _ in range(2):
        await notices.mail(
            db, ALICE, "totp_on", details={"at": AT, "path": "/account"}, dedupe_key=None if again else "totp 1"
        )
    assert await postman.deliver(db, config) == (2 if again else 1)
