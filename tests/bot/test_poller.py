"""The poller: one at a time by a lease, nothing confirmed before it is kept, and no error retried that cannot heal."""

from __future__ import annotations

import time
from uuid import uuid4

import aiohttp
import anyio

from limner.actors.bot.telegram import TOKEN_REFUSED
from limner.runtime import lease
from tests.bot.conftest import CAROL, STRANGER, running
from tests.upstreams.telegram import TOKEN


async def test_an_update_is_kept_before_it_is_confirmed(fake, config, db):
    async with running(db, config):
        number = await fake.say(CAROL, "hello")
        assert await next_confirmation(fake) == number + 1
        assert await db.fetchval("select count(*) from telegram_update where update_id = $1", number) == 1


async def next_confirmation(fake) -> int:
    """The offset of the first poll that confirms something, as it begins."""
    while True:
        call = await fake.next("poll")
        if "offset" in call.args:
            return int(call.args["offset"])


async def test_what_is_confirmed_is_asked_for_no_more(fake, config, db):
    async with running(db, config):
        await fake.say(CAROL, "hello")
        await next_confirmation(fake)
        assert fake.updates == []
        number = await fake.push("message", fake.message(fake.person(CAROL), CAROL, "private", "again"))
        assert await next_confirmation(fake) == number + 1


async def test_numbering_may_begin_anew_after_an_idle_week(fake, config, db):
    await db.execute("insert into telegram_update (update_id, payload, handled_at) values (999999999, '{}', now())")
    async with running(db, config):
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")


async def test_what_comes_twice_is_handled_once(fake, config, db):
    async with running(db, config):
        number = await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")
        await next_confirmation(fake)
        other = STRANGER + 1  # whose message would have an answer of its own
        fake.updates.append({"update_id": number, "message": fake.message(fake.person(other), other, "private", "x")})
        await fake.say(STRANGER + 2, "and this")
        await fake.next("sendMessage")
    assert len(fake.of("sendMessage")) == 2


async def test_of_two_one_polls_and_the_other_takes_over_at_once_when_it_leaves(fake, config, db):
    patient = config.model_copy(update={"lease": 60})
    async with running(db, patient) as second:
        await fake.next("poll")
        async with running(db, patient) as third:
            assert (second.poller.state, third.poller.state) == ("polling", "waiting")
            second.group.cancel_scope.cancel()
            await fake.next("poll", within=8)  # the lease alone would take longer
            assert third.poller.state == "polling"
            await fake.say(STRANGER, "hello")
            await fake.next("sendMessage")
    assert fake.conflicts == 0


async def test_after_a_death_the_next_one_polls_within_the_lease(fake, config, db):
    await lease.take(db, "telegram", uuid4(), config.lease)
    began = time.monotonic()
    async with running(db, config) as bot:
        await fake.next("poll")
        assert time.monotonic() - began <= config.lease + 4
        assert bot.poller.state == "polling"


async def test_a_lost_lease_ends_the_poll_at_once(fake, config, db):
    async with running(db, config) as bot:
        await fake.next("poll")
        await db.execute("update lease set owner = $1, expires_at = now() + interval '1 hour'", uuid4())
        await fake.next("getUpdates")  # the line was dropped: nobody had anything to say
        await fake.say(STRANGER, "hello")
        assert bot.poller.state == "waiting"
        assert await lease_owner(db) != bot.presence.id
    assert fake.polls == 1 and len(fake.updates) == 1


async def lease_owner(db):
    return await db.fetchval("select owner from lease where name = 'telegram'")


async def test_a_stop_gives_the_lease_back(fake, config, db):
    async with running(db, config):
        await fake.next("poll")
        assert await lease_owner(db) is not None
    assert await lease_owner(db) is None


async def test_a_refused_token_ends_the_process(fake, config, db):
    fake.token = "another"
    async with running(db, config) as bot:
        with anyio.fail_after(5):
            await bot.stopped.wait()
        assert bot.poller.exit_code == TOKEN_REFUSED


async def test_somebody_else_with_the_token_is_a_conflict_until_they_stop(fake, config, db):
    async with running(db, config) as bot, aiohttp.ClientSession() as foreigner:
        await fake.next("poll")
        async with foreigner.post(f"{fake.url}/bot{fake.token}/getUpdates", json={"timeout": 0}) as answer:
            assert answer.status == 200
        await fake.next("poll")  # the foreigner's
        await fake.next("poll")  # ours, after a pause
        assert bot.poller.report()["state"] == "conflict"
        await fake.say(STRANGER, "hello")  # the next poll succeeds, with this
        await fake.next("sendMessage")
        assert bot.poller.report()["state"] == "polling"
        assert time.time() - bot.poller.report()["last_ok"] < 5


async def test_a_conflict_lasts_until_a_while_without_one(fake, config, db):
    fake.refuse("getUpdates", 409, "Conflict: terminated by other getUpdates request")
    async with running(db, config, calm=3600) as bot:
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")
        assert bot.poller.report()["state"] == "conflict"


async def test_who_gets_no_answer_for_a_while_says_that_it_is_deaf_and_why_until_the_next_one(fake, config, db):
    for _ in range(2):
        fake.refuse("getUpdates", 502)
    async with running(db, config, deaf=0) as bot:
        await fake.next("getUpdates")
        await fake.next("getUpdates")
        said = bot.poller.report()
        assert said["state"] == "deaf" and said["last_ok"] is None and said["last_error"]
        assert TOKEN.rpartition(":")[2] not in said["last_error"]
        bot.poller.deaf = 90
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")
        assert bot.poller.report() == {"name": "poller", "state": "polling", "last_ok": bot.poller.last_ok}


async def test_who_only_waits_for_the_lease_is_not_deaf(fake, config, db):
    async with running(db, config) as bot, running(db, config, deaf=0) as other:
        await fake.next("poll")
        bot.poller.deaf = 0
        owner = await lease_owner(db)
        (waits,) = [each for each in (bot, other) if each.presence.id != owner]
        assert waits.poller.report()["state"] == "waiting"


async def test_a_forgotten_webhook_is_ended(fake, config, db):
    fake.webhook = "https://example.com/old"
    async with running(db, config):
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")


async def test_a_pause_that_telegram_asks_for_is_kept(fake, config, db):
    fake.refuse("getUpdates", 429, retry_after=2)
    async with running(db, config):
        await fake.next("getUpdates")
        refused_at = time.monotonic()
        await fake.next("poll")
        assert time.monotonic() - refused_at >= 1.9


async def test_errors_of_the_other_side_are_waited_out(fake, config, db):
    for status in (500, 502):
        fake.refuse("getUpdates", status)
    async with running(db, config):
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")


async def test_an_update_that_the_database_refuses_does_not_hold_up_the_next(fake, config, db):
    async with running(db, config):
        await fake.say(STRANGER, "zero \0 byte")
        await fake.say(STRANGER, "half a \ud800 sign")
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")
    assert await db.fetchval("select count(*) from telegram_update") == 1
