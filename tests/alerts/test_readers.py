"""Whoever leaves the bot, or sees no money there any more, does not get what was written for them before."""

from __future__ import annotations

import aiohttp
import pytest

from limner.actors import courier
from limner.runtime.errors import Refused
from limner.sql import dispatches, notices, pairings, telegram
from tests.alerts.conftest import CAROL
from tests.alerts.test_money import owners_and_operators
from tests.alerts.test_telling import away, mails
from tests.beside import beside
from tests.upstreams.telegram import telegram as fake_telegram

DANA = 8


async def pair(watched, role: str | None = None) -> telegram.Admin:
    return await pairings.confirm(watched.db, await pairings.ask(watched.db, DANA, "Dana"), actor="cli", role=role)


@pytest.fixture
async def with_dana(watched):
    """A second owner; Telegram is not reached, and an alert and the morning's sums wait for both."""
    await pair(watched, "owner")
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await away(watched)
    await watched.look()
    assert await waiting(watched) == {CAROL: 2, DANA: 2}
    return watched


async def waiting(watched) -> dict[int, int]:
    rows = await watched.db.fetch("""
        select recipient::bigint as id, count(*) as n from notice
        where channel = 'telegram' and sent_at is null and failed_at is null group by 1
    """)
    return {row["id"]: row["n"] for row in rows}


async def revoked(watched) -> None:
    await telegram.revoke(watched.db, DANA, "cli")


async def demoted(watched) -> None:
    await telegram.set_role(watched.db, DANA, "operator", "cli")


async def paired_as_less(watched) -> None:
    await pair(watched, "operator")


AWAY = (revoked, demoted, paired_as_less)


@pytest.mark.parametrize("how", [demoted, paired_as_less])
async def test_who_sees_no_money_any_more_still_gets_what_tells_of_none(with_dana, how):
    await how(with_dana)
    assert await waiting(with_dana) == {CAROL: 2, DANA: 1}
    left = await with_dana.db.fetchval("select body from notice where recipient = $1 and failed_at is null", str(DANA))
    assert "No worker is alive" in left


async def test_what_waits_for_whoever_is_revoked_is_not_sent_when_telegram_is_back(with_dana):
    await revoked(with_dana)
    async with fake_telegram() as fake, aiohttp.ClientSession() as session:
        back = with_dana.config.model_copy(update={"telegram_url": fake.url})
        assert await courier.deliver(with_dana.db, back, session) == 2
        assert {call.args["chat_id"] for call in fake.of("sendMessage")} == {str(CAROL)}
    await with_dana.look()
    assert await mails(with_dana) == [], "Carol has it all"


@pytest.mark.parametrize("how", AWAY)
async def test_nor_does_an_admin_send_it_to_them_again(with_dana, how):
    number = await with_dana.db.fetchval("select min(id) from notice where recipient = $1", str(DANA))
    await with_dana.db.execute("update notice set failed_at = now(), error = 'Forbidden' where id = $1", number)
    await how(with_dana)
    with pytest.raises(Refused, match="left the bot meanwhile, or has another role there"):
        await dispatches.send_again(with_dana.db, await dispatches.get(with_dana.db, number), "", actor="carol")


async def test_who_pairs_again_or_only_looks_from_now_on_gets_what_waits(with_dana):
    await pair(with_dana)
    await telegram.set_role(with_dana.db, DANA, "viewer", "cli")
    assert await waiting(with_dana) == {CAROL: 2, DANA: 2}


async def test_who_pairs_again_in_the_same_role_is_sent_it_again(with_dana):
    number = await with_dana.db.fetchval("select min(id) from notice where recipient = $1", str(DANA))
    await with_dana.db.execute("update notice set failed_at = now(), error = 'Forbidden' where id = $1", number)
    await pair(with_dana)
    await dispatches.send_again(with_dana.db, await dispatches.get(with_dana.db, number), "", actor="carol")
    assert await waiting(with_dana) == {CAROL: 2, DANA: 2}


async def test_what_nobody_else_is_told_of_goes_by_mail_when_the_last_one_leaves(watched):
    await away(watched)
    await watched.look()
    await telegram.revoke(watched.db, CAROL, "cli", even_the_last=True)
    await watched.look()
    (mail,) = await mails(watched)
    assert "No worker is alive" in mail["details"]["words"]


async def test_who_is_revoked_while_the_watchman_writes_does_not_get_it_either(watched):
    """The revocation waits until what it has to take back is there."""
    await owners_and_operators(watched)

    async def write(tx) -> None:
        for admin in await telegram.readers(tx):
            await notices.queue(tx, "telegram", str(admin.telegram_id), "sums", dedupe_key="alert 1 1")

    await beside(watched.db, write, telegram.revoke(watched.db, 9, "cli"))
    assert await waiting(watched) == {CAROL: 1, 8: 1}
