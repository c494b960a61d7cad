"""The inbox: in order, with effect once, and no update that holds up the others."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from asyncpg import InterfaceError

from limner.actors.bot.menus import registry
from limner.actors.bot.menus.visit import EVERYBODY, Menu
from limner.actors.bot.reader import PATIENCE, TRIES, Reader
from limner.actors.bot.telegram import Telegram
from limner.runtime.child import is_nothing_but_outage
from limner.sql import telegram as books
from tests.bot.conftest import CAROL, STRANGER, running

POISON = {"update_id": 1, "message": {"message_id": "not a number"}}


def letter(fake, number: int, sender: int = STRANGER) -> dict:
    return {"update_id": number, "message": fake.message(fake.person(sender), sender, "private", f"letter {number}")}


async def waiting(db) -> list[int]:
    return [
        row[0] for row in await db.fetch("select update_id from telegram_update where handled_at is null order by 1")
    ]


async def test_a_poisoned_update_is_put_aside_and_the_others_are_answered(fake, config, db):
    assert await books.keep(db, 1, POISON)
    for number in (2, 3):
        await books.keep(db, number, letter(fake, number, sender=100 + number))
    async with running(db, config) as bot:
        for _ in (2, 3):
            await fake.next("sendMessage")
        while await waiting(db):
            await bot.reader.read_all()
    assert await waiting(db) == []
    assert len(fake.of("sendMessage")) == 2


async def _never_ends(visit, args):
    await visit.db.fetchval("select pg_sleep(60)")


async def _gives_up(visit, args):
    raise TimeoutError  # as asyncpg does after ten seconds


async def _loses_its_connection(visit, args):
    await visit.db.fetchval("select pg_terminate_backend(pg_backend_pid())")


def press(fake, data: str) -> dict:
    """Carol's, as the first update."""
    carol = fake.person(CAROL)
    sent = fake.message(carol, CAROL, "private", "a screen")
    query = {"id": "q1", "from": carol, "chat_instance": "1", "data": data, "message": sent}
    return {"update_id": 1, "callback_query": query}


@contextlib.asynccontextmanager
async def reading(db, config) -> AsyncIterator[Reader]:
    telegram = Telegram(config)
    try:
        yield Reader(db, telegram, config)
    finally:
        await telegram.close()


@pytest.mark.parametrize("work", [_never_ends, _gives_up])
async def test_a_screen_that_takes_too_long_is_put_aside_and_holds_up_nobody(
    fake, config, db, carol, monkeypatch, work
):
    monkeypatch.setitem(registry.MENUS, "slow", Menu("slow", work, looks=EVERYBODY, on_dashboard=False))
    await books.keep(db, 1, press(fake, "slow"))
    async with reading(db, config) as reader:
        reader.patience = 0.2
        for _ in range(TRIES):
            assert await waiting(db) == [1]
            await reader.read_all()
        assert await waiting(db) == []
        reader.patience = PATIENCE
        await books.keep(db, 2, letter(fake, 2, sender=CAROL))
        await reader.read_all()
    assert "Limner" in (await fake.next("message")).text
    assert fake.of("answerCallbackQuery") == []


async def test_an_update_in_whose_midst_the_connection_broke_is_not_to_blame(fake, config, db, carol, monkeypatch):
    menu = Menu("cut", _loses_its_connection, looks=EVERYBODY, on_dashboard=False)
    monkeypatch.setitem(registry.MENUS, "cut", menu)
    await books.keep(db, 1, press(fake, "cut"))
    async with reading(db, config) as reader:
        for _ in range(TRIES + 1):
            with pytest.raises(InterfaceError) as fall:
                await reader.read_all()
            assert is_nothing_but_outage(fall.value)
    assert await waiting(db) == [1]


async def test_why_the_reader_fell_is_said_as_it_is(fake, config, db, carol, monkeypatch):
    """The page of health shows it: that errors in a group were unhandled tells nobody anything."""
    menu = Menu("cut", _loses_its_connection, looks=EVERYBODY, on_dashboard=False)
    monkeypatch.setitem(registry.MENUS, "cut", menu)
    await books.keep(db, 1, press(fake, "cut"))
    async with reading(db, config) as reader:
        with pytest.raises(InterfaceError):
            await reader.run()


async def test_many_readers_handle_each_update_once(fake, config, db):
    for number in range(1, 31):
        await books.keep(db, number, letter(fake, number, sender=100 + number))
    async with running(db, config), running(db, config), running(db, config):
        for _ in range(30):
            await fake.next("sendMessage")
    assert await waiting(db) == []
    assert sorted(int(call.args["chat_id"]) for call in fake.of("sendMessage")) == list(range(101, 131))


COUNT_EFFECTS = """
create table effect (telegram_id bigint);
create function note_effect() returns trigger language plpgsql as $$
begin insert into effect values (new.telegram_id); return null; end $$;
create trigger note_effect after insert or update on telegram_pairing for each row execute function note_effect();
"""


async def test_each_update_has_its_effect_once_however_often_the_bot_dies(fake, config, db):
    await db.execute(COUNT_EFFECTS)
    for death in range(25):
        for person in range(4):
            await fake.say(1000 + death * 4 + person, "hello")
        async with running(db, config):
            await fake.next(["poll", "getUpdates", "sendMessage"][death % 3])  # and dies in the midst of it
    async with running(db, config) as bot:
        while fake.updates or await waiting(db):
            await fake.next("poll")
            await bot.reader.read_all()
    effects = [row[0] for row in await db.fetch("select telegram_id from effect order by 1")]
    assert effects == list(range(1000, 1100))
    assert fake.conflicts == 0


async def test_updates_are_handled_in_their_order(fake, config, db):
    for number in (3, 1, 2):
        await books.keep(db, number, letter(fake, number, sender=100 + number))
    async with running(db, config):
        assert [int((await fake.next("sendMessage")).args["chat_id"]) for _ in range(3)] == [101, 102, 103]


async def test_an_answer_survives_a_pause_that_telegram_asks_for(fake, config, db, carol):
    fake.refuse("sendPhoto", 429, retry_after=1)
    async with running(db, config):
        await fake.say(CAROL, "hello")
        await fake.next("sendPhoto")
        answer = await fake.next("sendPhoto")
    assert "Limner" in answer.text


async def test_a_stranger_is_answered_once_and_nobody_waits_for_it(fake, config, db, carol):
    fake.refuse("sendMessage", 429, retry_after=3600)
    async with reading(db, config) as reader:
        await books.keep(db, 1, letter(fake, 1))
        await books.keep(db, 2, letter(fake, 2, sender=CAROL))
        await reader.read_all()
    assert [call.method for call in fake.calls] == ["sendMessage", "sendPhoto"]


async def test_of_many_messages_of_a_stranger_one_is_answered_until_ten_seconds_are_over(fake, config, db):
    async with reading(db, config) as reader:
        for number in range(1, 6):
            await books.keep(db, number, letter(fake, number))
        await reader.read_all()
        assert len(fake.of("sendMessage")) == 1 and await waiting(db) == []
        (code,) = [row["code_hash"] for row in await db.fetch("select code_hash from telegram_pairing")]
        await db.execute("update telegram_pairing set created_at = created_at - interval '11 seconds'")
        await books.keep(db, 6, letter(fake, 6))
        await reader.read_all()
    assert len(fake.of("sendMessage")) == 2
    assert await db.fetchval("select code_hash from telegram_pairing") != code


async def test_an_answer_that_nobody_can_get_does_not_hold_up_the_next(fake, config, db, carol):
    fake.refuse("sendMessage", 403, "Forbidden: bot was blocked by the user")
    async with running(db, config):
        await fake.say(STRANGER, "hello")
        await fake.say(CAROL, "hello")
        await fake.next("sendMessage")
        assert "Limner" in (await fake.next("sendPhoto")).text
    assert await waiting(db) == []


async def test_handled_updates_are_forgotten_when_they_cannot_come_again(db):
    await books.keep(db, 1, {})
    await books.keep(db, 2, {})
    await books.handled(db, 1)
    await db.execute(
        "update telegram_update set handled_at = handled_at - interval '4 days', received_at = now() - interval '4 days'"
    )
    assert await books.cleanup(db) == 1
    assert await waiting(db) == [2]
