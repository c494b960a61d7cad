"""The buttons below an alert: they open a message of their own, and the alert with its links stays to be read."""

from __future__ import annotations

import aiohttp

from limner.actors import courier, watchman
from limner.sql import alerts, notices
from tests.bot.conftest import CAROL, running, tap

WORDS = "⚠️ No worker is alive: nothing is painted."


async def test_a_button_below_an_alert_opens_a_message_of_its_own(fake, config, db, carol):
    buttons = [[{"text": "🔑 Look at the keys", "data": "keys"}], [{"text": "🌐", "url": "https://art.example/admin"}]]
    await notices.queue(db, "telegram", str(CAROL), WORDS, buttons=buttons)
    async with aiohttp.ClientSession() as session:
        assert await courier.deliver(db, config, session) == 1
    alert = await fake.next("message")
    pressed = alert.args["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
    async with running(db, config):
        shown = await tap(fake, alert, pressed)
        assert shown.method == "sendMessage" and "3 of 3 ready" in shown.text
        await fake.next("answerCallbackQuery")
        changed = await tap(fake, shown, "language")
        assert changed.method == "editMessageText"
        assert int(changed.args["message_id"]) == shown.args["made"]
    assert fake.shown(alert)["text"] == WORDS


async def test_an_alert_is_silenced_from_its_own_message_and_stays_to_be_read(fake, config, db, carol):
    """One press opens the choice, a second one chooses; both leave the alert's message as it was."""
    await watchman.look(db, config)
    async with aiohttp.ClientSession() as session:
        assert await courier.deliver(db, config, session) == 1
    told = await fake.next("message")
    buttons = {each["text"]: each for row in told.args["reply_markup"]["inline_keyboard"] for each in row}
    async with running(db, config):
        choice = await tap(fake, told, buttons["🔕 Snooze"]["callback_data"])
        assert choice.method == "sendMessage" and "Say nothing of it for how long?" in choice.text
        await fake.next("answerCallbackQuery")
        silent = await tap(fake, choice, choice.buttons["🔕 8 h"])
        assert silent.method == "editMessageText" and "🔕 Silent until" in silent.text
    assert fake.shown(told)["text"].startswith(WORDS)
    assert [each.is_snoozed for each in await alerts.still_open(db)] == [True]


async def test_the_alerts_speak_the_language_of_whoevers_telegram_was_heard_last(fake, config, db, carol):
    """Nobody has chosen one: what their Telegram said with their last message counts."""
    fake.language = "zh-hans"
    async with running(db, config):
        await fake.say(CAROL, "/start")
        await fake.next("message")
    assert await db.fetchval("select spoken from telegram_admin") == "zh"
    await watchman.look(db, config)
    assert (await db.fetchval("select body from notice")).startswith("⚠️ 没有存活的 worker：无法绘制图片。")
