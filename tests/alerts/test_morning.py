"""The digest of each morning: once, when nobody wants quiet, with what came in less what went back."""

from __future__ import annotations

from datetime import time

import anyio

from limner.actors import watchman
from limner.sql import alert_times
from tests.alerts.drills import paid
from tests.alerts.test_telling import NO_WORKER, away, mails


async def test_a_digest_whose_time_lies_in_the_quiet_hours_comes_at_their_end(watched):
    """Before midnight, too: then it is the next day's."""
    now = await watched.db.fetchval("select now() at time zone 'UTC'")
    zone = "UTC" if 1 <= now.hour <= 20 else "Etc/GMT-12"
    hour = (await watched.db.fetchval("select now() at time zone $1", zone)).hour
    around = (time(22), time(hour))
    await alert_times.change(watched.db, around, time(23), zone, 10, actor="carol@example.com")
    await watched.db.execute("update alert_times set digest_on = (now() at time zone time_zone)::date - 1")
    await watched.look()
    assert (await watched.texts())[0].startswith("☀️ Yesterday, ")
    await watched.db.execute(
        "update alert_times set digest_on = (now() at time zone time_zone)::date - 1, quiet_to = '21:59'"
    )
    assert not (await alert_times.get(watched.db)).is_morning


async def test_what_went_back_yesterday_is_not_among_what_came_in(watched):
    first, second = await paid(watched), await paid(watched)
    await watched.db.execute("update invoice set paid_at = now() - interval '1 day'")
    await watched.db.execute(
        "insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at)"
        " select id, 'whole', 999, 'USD', 'asked', 'test', 'sent', paid_at from invoice where id = $1",
        first,
    )
    found = await alert_times.yesterday(watched.db)
    assert found.revenue == {"USD": 999} and found.paid == 2 and second != first


async def test_each_morning_brings_the_numbers_of_yesterday_and_what_is_open_once(watched):
    await away(watched)
    await watched.look()
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(watchman.look, watched.db, watched.config)
    await watched.look()
    (_, digest) = await watched.texts()
    assert digest.startswith("☀️ Yesterday, ") and "0 delivered, 0 failed, of 0 orders" in digest
    assert f"⚠️ {NO_WORKER} (" in digest


async def test_where_nobody_is_paired_the_morning_comes_by_mail(watched):
    await watched.db.execute("delete from telegram_admin")
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await watched.look()
    (mail,) = await mails(watched)
    assert mail["template"] == "digest" and mail["details"]["alerts"] == ""


async def test_a_morning_that_telegram_does_not_take_comes_by_mail_as_the_morning(watched):
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await watched.look()
    await watched.db.execute("update notice set created_at = created_at - interval '11 minutes'")
    await watched.look()
    mail = await watched.db.fetchrow("select template, details from notice where channel = 'mail'")
    assert mail["template"] == "digest" and mail["details"]["delivered"] == 0 and mail["details"]["path"] == "/admin"
