"""The buttons below an alert: they open a message of their own, and the alert with its links stays to be read."""

from __future__ import annotations

import aiohttp

from limner.actors import courier
from limner.sql import notices
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
