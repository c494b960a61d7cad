"""What the watchman tells of mails, and that he writes to admins where nobody is paired."""

from __future__ import annotations

import pytest

from limner.actors import postman, watchman
from limner.runtime.metrics import Metrics
from limner.runtime.presence import Presence
from limner.sql import alerts, gauges, notices, pairings
from tests.bot.conftest import CAROL
from tests.upstreams.telegram import TOKEN


@pytest.fixture
async def look(db, config):
    await Presence(db, "worker", lease=config.lease).beat()

    async def looked(settings=config) -> dict[str, str]:
        await watchman.look(db, settings)
        return {each.cause: each.words for each in await alerts.still_open(db) if each.cause.startswith("mails")}

    return looked


async def test_mails_that_wait_are_told_and_so_is_that_they_are_out(server, db, config, look):
    await notices.mail(db, "alice@example.com", "test")
    assert await look() == {}
    await db.execute(
        "update notice set created_at = now() - interval '20 minutes' where recipient = 'alice@example.com'"
    )
    assert await look() == {
        "mails_wait": "1 mail does not get out, the oldest for 20 min: see `limner doctor --only mail`."
    }
    await postman.deliver(db, config)
    assert await look() == {}


async def test_refusals_are_told_when_they_are_more_than_a_mistyped_address(server, db, config, look):
    for number in range(5):
        await notices.mail(db, f"{number}@example.com", "test")
    server.refuse("RCPT", "550 5.7.1 relaying denied")
    await postman.deliver(db, config)
    assert await look() == {"mails_refused": "5 mails were refused within a day: see Mails in the admin."}


async def test_without_a_mail_server_waiting_is_how_it_is_meant(db, config, look):
    await notices.mail(db, "alice@example.com", "test")
    await db.execute("update notice set created_at = now() - interval '20 minutes'")
    assert await look(config.model_copy(update={"smtp_host": None})) == {}


async def test_admins_read_of_a_trouble_by_mail_where_nobody_is_paired(server, db, config, cast, look):
    await db.execute("update worker set seen_at = now() - interval '1 hour'")
    await look()
    assert await postman.deliver(db, config) == 1
    mail = server.got[0]
    assert mail.recipients == [cast.carol.email] and "No worker is alive" in mail.part("plain")
    assert mail.message["Subject"].startswith("Limner: ")


async def test_where_somebody_is_paired_telegram_tells(server, db, config, look):
    from pydantic import SecretStr

    await pairings.confirm(db, await pairings.ask(db, CAROL, "Carol"), actor="cli")
    await db.execute("update worker set seen_at = now() - interval '1 hour'")
    await look(config.model_copy(update={"bot_token": SecretStr(TOKEN)}))
    assert [row["channel"] for row in await db.fetch("select channel from notice")] == ["telegram"]


async def test_the_metrics_tell_of_mails_only_where_there_is_a_server(server, db, config):
    await notices.mail(db, "alice@example.com", "test")
    await postman.deliver(db, config)
    await notices.mail(db, "bob@example.com", "test")
    page = (await Metrics(dict, lambda: gauges.read(db, 15, sends_mail=True)).page()).decode()
    assert "limner_mails_waiting 1.0" in page and 'limner_mails_ended{how="sent"} 1.0' in page
    assert "limner_mails" not in (await Metrics(dict, lambda: gauges.read(db, 15)).page()).decode()
