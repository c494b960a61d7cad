"""A walker presses every button it finds, in each language and as each role: none is dead, none fails, none misleads."""

from __future__ import annotations

import re

import pytest

from limner.actors.bot import words
from limner.sql import pairings
from limner.sql import telegram as books
from tests.bot.conftest import CAROL, STRANGER, dashboard, running, say, tap
from tests.bot.walker import Walk

pytestmark = pytest.mark.timeout(300)

LETTERS = {"ru": "[А-я]", "zh": "[\u4e00-\u9fff]"}
MONEY = re.compile(r"\d (USD|EUR)\b")
ACTS_ON_MONEY = re.compile(r"💵|↩|💸")


@pytest.mark.parametrize("locale", words.ORDER)
@pytest.mark.parametrize("role", books.ROLES)
async def test_no_button_is_dead_or_fails_and_none_promises_what_the_role_may_not(
    fake, config, db, carol, busy_studio, role, locale
):
    await db.execute("update telegram_admin set role = $1, locale = $2", role, locale)
    async with running(db, config):
        seen = await Walk(fake).all()
    screens = [each.screen for each in seen]
    assert await db.fetchval("select count(*) from telegram_update where handled_at is null") == 0
    assert [why for why in fake.refused if "not modified" not in why] == []  # a refresh within a minute
    texts = [screen.text for screen in screens]
    assert all(text and "{" not in text for text in texts)
    if locale in LETTERS:
        ours = [
            each.screen.text for each in seen if not each.data.startswith("broadcasts:read:")
        ]  # the words of others
        speechless = [text for text in ours if not re.search(LETTERS[locale], text)]
        assert speechless == []
    buttons = {text for screen in screens for text in screen.buttons}
    yes = [data for screen in screens for data in screen.buttons.values() if data.startswith("yes:")]
    if role == "viewer":
        assert yes == []
    else:
        assert len(yes) >= 4
    if role == "operator":
        assert [text for text in texts if MONEY.search(text)] == []
    if role != "owner":
        assert [text for text in buttons if ACTS_ON_MONEY.search(text)] == []
    assert len(screens) > 15


@pytest.mark.parametrize("role", ["operator", "viewer"])
async def test_whoever_forges_an_owners_button_is_refused(fake, config, db, carol, busy_studio, role):
    """Callback data carries no authority: each of the owner's buttons, pressed by somebody who may less, changes nothing."""
    await pairings.confirm(db, await pairings.ask(db, STRANGER, "Dave"), actor="cli", role="owner")
    async with running(db, config):
        seen = await Walk(fake).all()
        await db.execute("update telegram_admin set role = $2 where telegram_id = $1", CAROL, role)
        lesser = {data for each in await Walk(fake).all() for data in each.screen.buttons.values()}
        forbidden = {data for each in seen for data in each.screen.buttons.values()} - lesser
        assert forbidden
        before = await everything(db)
        shown = await dashboard(fake)
        for data in forbidden:
            is_theirs = role == "operator" and data.startswith(
                "generations:retry:"
            )  # of orders that they did not walk to
            if not data.startswith(("language", "yes:", "home")) and not is_theirs:
                await tap(fake, shown, data)
                assert not any(
                    onward.startswith("yes:") for onward in fake.of("answerCallbackQuery")[-1].buttons.values()
                )
    assert await everything(db) == before
    assert await db.fetchval("select count(*) from telegram_prompt") == 0


async def everything(db) -> list:
    tables = ("audit", "telegram_confirmation", "backup_wish", "top_up")
    counts = [await db.fetchval(f"select count(*) from {table}") for table in tables]
    return [
        *counts,
        [tuple(row) for row in await db.fetch("select id, state, rests_until from provider_key order by id")],
    ]


async def test_an_owner_sets_what_is_left_on_an_account_after_asking_twice(fake, config, db, carol, busy_studio):
    key = await db.fetchval("select min(id) from provider_key")
    async with running(db, config):
        shown = await dashboard(fake)
        one = await tap(fake, shown, f"keys:see:{key}")
        assert "Balance: 12.50 USD" in one.text
        await tap(fake, shown, one.buttons["💵 Set balance"])
        assert "looks like 12.50, not “a lot”" in (await say(fake, "a lot")).text
        sure = await say(fake, "$7,25")
        assert "Set the balance of" in sure.text and "7.25 USD" in sure.text
        await fake.press(CAROL, sure.buttons["✅ Yes"], fake.shown(sure))
        assert "Balance: 7.25 USD" in (await fake.next("edit")).text
    entry = await db.fetchrow(
        "select actor, before, after from audit where action = 'fund.set' order by id desc limit 1"
    )
    assert entry["actor"] == f"bot {CAROL}"
    assert (entry["before"], entry["after"]["micros"]) == ({"micros": 12_500_000}, 7_250_000)
    assert await db.fetchval("select micros from top_up order by id desc limit 1") == -5_250_000


async def test_a_key_rests_for_as_long_as_they_say_and_paints_nothing_meanwhile(fake, config, db, carol, cast):
    key = await db.fetchval("select min(id) from provider_key")
    async with running(db, config):
        shown = await dashboard(fake)
        one = await tap(fake, shown, f"keys:see:{key}")
        how_long = await tap(fake, shown, one.buttons["🌙 Rest"])
        sure = await tap(fake, shown, how_long.buttons["6 h"])
        rested = await tap(fake, shown, sure.buttons["✅ Yes, let it rest"])
    assert "rests" in rested.text and "Rests until" in rested.text
    hours = (
        "select extract(epoch from rests_until - now()) / 3600 from provider_key where id = $1 and state = 'cooldown'"
    )
    assert 5.9 < await db.fetchval(hours, key) <= 6
    verdict = """
        select v.verdict from provider_key as k
        cross join lateral key_verdicts(k.provider_id, 'demo', '{}', null, now()) as v where k.id = $1 and v.key_id = $1
    """
    assert await db.fetchval(verdict, key) == "rests"
    entry = await db.fetchrow("select before, after from audit where action = 'key.rest'")
    assert entry["before"]["state"] == "active" and entry["after"]["state"] == "cooldown"
