"""What an admin lets go is never sent, by mail neither; and who has the mail does not get the message beside it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from limner.actors import herald
from limner.runtime.errors import Refused
from limner.sql import broadcasts, deliveries, dispatches, mails, notices, spreading
from limner.sql.spreading import Ways
from tests.beside import beside
from tests.mail.test_broadcasts import all_spread, begun, linked, recipients


@pytest.fixture
def studio(config):
    """One with a bot."""
    return config.model_copy(update={"bot_token": SecretStr("1:x")})


@pytest.fixture
async def found(server, db, studio, cast):
    """A broadcast under way: Alice gets it by Telegram, Bob and Carol by mail."""
    await linked(db, (cast.alice, "1001"))
    found = await begun(db, ways=Ways.of(studio), by_telegram=True)
    await herald.spread(db, studio)
    return found


async def alices(db) -> dispatches.Told:
    return await dispatches.get(db, await db.fetchval("select id from notice where recipient = '1001'"))


async def let_go(db) -> None:
    await dispatches.let_go(db, await alices(db), "a typo", actor="carol@example.com")


async def send_again(db) -> None:
    await dispatches.send_again(db, await alices(db), "she unblocked it", actor="carol@example.com")


async def refused(db) -> None:
    await deliveries.failed(db, await notices.take(db, "telegram", 30), "Forbidden: bot was blocked by the user")


async def test_a_message_that_somebody_let_go_goes_by_mail_neither_and_the_broadcast_ends(server, db, studio, found):
    await let_go(db)
    await all_spread(db, studio)
    assert recipients(server) == ["bob@example.com", "carol@example.com"]
    assert (await broadcasts.get(db, found.id)).state == "done"
    assert await spreading.progress(db, found.id) == spreading.Progress(0, 0, 2, 1, 0)
    assert await spreading.troubles(db, found.id) == [("given up by carol@example.com", 1)]


async def test_what_was_let_go_and_is_sent_again_is_refused_like_any_other(server, db, studio, found):
    await let_go(db)
    await send_again(db)
    await refused(db)
    await all_spread(db, studio)
    assert recipients(server) == ["alice@example.com", "bob@example.com", "carol@example.com"]


async def test_what_went_by_mail_is_not_sent_by_telegram_beside_it(server, db, studio, found):
    await refused(db)
    await all_spread(db, studio)
    assert "alice@example.com" in recipients(server)
    with pytest.raises(Refused, match="A mail goes to them in its place"):
        await send_again(db)
    assert await notices.take(db, "telegram", 30) is None


async def test_what_no_mail_went_for_is_sent_again_and_no_mail_goes(server, db, studio, found):
    await refused(db)
    await send_again(db)
    assert await deliveries.sent(db, await notices.take(db, "telegram", 30))
    await all_spread(db, studio)
    assert recipients(server) == ["bob@example.com", "carol@example.com"]


async def test_mails_that_somebody_let_go_are_none_that_were_refused(db, config):
    for number in range(6):
        await notices.mail(db, f"{number}@example.com", "test")
    await db.execute("update notice set attempts = 1, error = '451 later', next_at = now() + interval '1 hour'")
    for row in await db.fetch("select id from notice"):
        await dispatches.let_go(db, await dispatches.get(db, row["id"]), "the server moved", actor="carol@example.com")
    assert (await mails.jam(db, 60)).failed == 0


async def test_who_is_just_being_sent_it_again_gets_no_mail_in_its_place(server, db, studio, found):
    await refused(db)
    await beside(db, send_again, herald.spread(db, studio))
    assert await deliveries.sent(db, await notices.take(db, "telegram", 30))
    await all_spread(db, studio)
    assert recipients(server) == ["bob@example.com", "carol@example.com"]
