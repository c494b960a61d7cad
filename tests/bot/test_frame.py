"""What all menus stand on: a yes works once, soon, and for who was asked; a word goes to the menu that asked for it."""

from __future__ import annotations

import string

import pytest

from limner.actors.bot import words
from limner.actors.bot.menus import registry
from limner.actors.bot.menus.asking import listen
from limner.actors.bot.menus.screen import Button, Screen
from limner.actors.bot.menus.visit import EVERYBODY, OWNERS, Hearing, Menu
from limner.runtime.errors import Refused
from limner.sql import audit, pairings
from limner.sql import telegram as books
from tests.bot.conftest import CAROL, dashboard, running, say, tap, toast

DAVE = 8


@pytest.fixture
async def dave(db, carol):
    """Another admin."""
    return await pairings.confirm(db, await pairings.ask(db, DAVE, "Dave"), actor="cli")


async def state_of(db, key: int) -> str:
    return await db.fetchval("select state from provider_key where id = $1", key)


async def asked_to_disable(fake, db):
    """Carol stands before "Sure?"; returns the key, the message and what its yes carries."""
    key = await db.fetchval("select min(id) from provider_key")
    shown = await dashboard(fake)
    sure = await tap(fake, shown, f"keys:disable:{key}")
    await toast(fake)
    return key, shown, sure.buttons["✅ Yes, disable it"]


async def test_a_yes_carries_nothing_but_a_name(fake, config, db, carol):
    async with running(db, config):
        key, _, yes = await asked_to_disable(fake, db)
    assert yes.startswith("yes:") and str(key) not in yes.partition(":")[2].split(":")
    assert len(yes) == len("yes:") + 16


async def test_a_yes_of_somebody_else_is_worth_nothing_and_the_one_who_was_asked_may_still_say_it(
    fake, config, db, dave
):
    async with running(db, config):
        key, shown, yes = await asked_to_disable(fake, db)
        theirs = await dashboard(fake, DAVE)
        await tap(fake, theirs, yes, person=DAVE)
        assert "out of date" in await toast(fake)
        assert await state_of(db, key) == "active"
        await tap(fake, shown, yes)
    assert await state_of(db, key) == "disabled"


async def test_a_yes_after_five_minutes_is_too_late(fake, config, db, carol):
    async with running(db, config):
        key, shown, yes = await asked_to_disable(fake, db)
        left = "select extract(epoch from expires_at - now())::int from telegram_confirmation"
        assert 290 <= await db.fetchval(left) <= 300
        await db.execute("update telegram_confirmation set expires_at = now()")
        await tap(fake, shown, yes)
        assert "out of date" in await toast(fake)
    assert await state_of(db, key) == "active"
    assert [entry for entry in await audit.listing(db) if entry.action == "key.state"] == []


async def test_who_lost_the_role_between_question_and_yes_is_refused(fake, config, db, carol):
    async with running(db, config):
        key, shown, yes = await asked_to_disable(fake, db)
        await db.execute("update telegram_admin set role = 'viewer'")
        assert "paints" in (await tap(fake, shown, yes)).text  # back where they came from
        assert await toast(fake) == "You may look, not change."
    assert await state_of(db, key) == "active"


async def test_revoking_somebody_ends_what_they_were_asked(fake, config, db, carol):
    async with running(db, config):
        await asked_to_disable(fake, db)
        await books.revoke(db, CAROL, "cli", even_the_last=True)
    assert await db.fetchval("select count(*) from telegram_confirmation") == 0


async def _asks(visit, args):
    if args:
        raise visit.stale()
    return await listen(visit, "echo.said", {"n": 1}, "What?", back="echo")


async def _said(visit, text, what):
    await visit.db.execute("update telegram_admin set name = $1", text)
    if text == "wrong":
        raise Refused("That <will> not do.")
    return Screen(visit.say("keys.why", why=f"{text} {what['n']}"))


@pytest.fixture
def echo(monkeypatch):
    menu = Menu("echo", _asks, looks=EVERYBODY, hears={"said": Hearing(_said, by=OWNERS)}, on_dashboard=False)
    monkeypatch.setitem(registry.MENUS, "echo", menu)


async def test_the_next_message_is_the_answer_and_the_one_after_it_is_not(fake, config, db, carol, echo):
    async with running(db, config):
        shown = await dashboard(fake)
        assert (await tap(fake, shown, "echo")).buttons == {"✖ Cancel": "echo"}
        assert (await say(fake, "a <fox>")).text == "Why: a &lt;fox&gt; 1"
        assert "delivered" in (await say(fake, "again")).text


async def test_a_refused_answer_may_be_mended_and_leaves_no_trace(fake, config, db, carol, echo):
    async with running(db, config):
        shown = await dashboard(fake)
        await tap(fake, shown, "echo")
        assert (await say(fake, "wrong")).text.startswith("That &lt;will&gt; not do.")
        assert await db.fetchval("select name from telegram_admin") == "Carol"
        assert (await say(fake, "right")).text == "Why: right 1"


@pytest.mark.parametrize("instead", ["press", "command", "time"])
async def test_who_went_on_to_something_else_is_not_heard(fake, config, db, carol, echo, instead):
    async with running(db, config):
        shown = await dashboard(fake)
        await tap(fake, shown, "echo")
        if instead == "press":
            await tap(fake, shown, "keys")
        elif instead == "command":
            await say(fake, "/start")
        else:
            await db.execute("update telegram_prompt set expires_at = now()")
        assert "delivered" in (await say(fake, "hello")).text
    assert await db.fetchval("select name from telegram_admin") == "Carol"


async def test_who_may_not_say_it_is_refused_by_the_role_as_it_is(fake, config, db, carol, echo):
    async with running(db, config):
        shown = await dashboard(fake)
        await tap(fake, shown, "echo")
        await db.execute("update telegram_admin set role = 'operator'")
        assert "You may look, not change." in (await say(fake, "hello")).text


async def test_the_bot_speaks_as_telegram_does_until_somebody_chooses(fake, config, db, carol):
    fake.language = "zh-hans"
    async with running(db, config):
        shown = await dashboard(fake)
        assert "🔑 密钥" in shown.buttons
        await tap(fake, shown, "language:ru")
        assert "🔑 Ключи" in (await tap(fake, shown, "home")).buttons
    assert (await books.admin(db, CAROL)).locale == "ru"


def fields(line: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(line) if name is not None}


@pytest.mark.parametrize("table", words.TABLES)
def test_every_line_is_there_in_every_language_with_the_same_gaps(table):
    for name, lines in words.TABLES[table].items():
        assert len(lines) == len(words.ORDER) == 3 and all(lines), name
        assert fields(lines[0]) == fields(lines[1]) == fields(lines[2]), name
        tags = [sorted(part.split(">")[0] for part in line.split("<")[1:]) for line in lines]
        assert tags[0] == tags[1] == tags[2], name


def test_each_menu_has_a_name_of_its_own_that_leaves_room_in_a_button():
    assert {"home", "yes"}.isdisjoint(registry.MENUS)
    for name, menu in registry.MENUS.items():
        assert name == menu.name and len(name) <= 16
        assert not menu.on_dashboard or words.label("en", f"{name}.menu")
    with pytest.raises(ValueError, match="64 bytes"):
        Button("?", "x" * 65)
