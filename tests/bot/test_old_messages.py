"""Whatever becomes of a message: a button below it leads somewhere, and a refusal is there to be read."""

from __future__ import annotations

import pytest

from limner.sql import alerts
from limner.sql.alerts import Trouble
from tests.bot.conftest import CAROL, STRANGER, dashboard, running, tap

GONE = [
    "Bad Request: message can't be edited",
    "Bad Request: message to edit not found",
    "Bad Request: there is no text in the message to edit",
]


@pytest.mark.parametrize("why", GONE)
async def test_what_cannot_be_changed_is_sent_anew(fake, config, db, carol, why):
    async with running(db, config):
        first = await dashboard(fake)
        fake.refuse("editMessageCaption", 400, why)
        await fake.press(CAROL, "keys", fake.shown(first))
        assert (await fake.next("edit")).text == (await fake.next("message")).text


async def test_a_button_below_a_message_that_somebody_deleted_leads_on(fake, config, db, carol):
    async with running(db, config):
        first = await dashboard(fake)
        below = fake.shown(first)
        fake.forget(first)
        await fake.press(CAROL, "keys", below)
        assert "3 of 3 ready" in (await fake.next("message")).text
    assert "message to edit not found" in fake.refused[-1]


async def test_a_button_below_a_message_that_telegram_hides_by_now_leads_on(fake, config, db, carol):
    async with running(db, config):
        first = await dashboard(fake)
        await fake.press(CAROL, "keys", fake.shown(first), is_old=True)
        assert "3 of 3 ready" in (await fake.next("message")).text
        await fake.press(CAROL, "keys:see:99999", fake.shown(first), is_old=True)
        assert "There is no such key" in (await fake.next("message")).text
    assert fake.of("edit") == []
    assert {why.partition(":")[0] for why in fake.refused} == {"answerCallbackQuery"}


async def test_a_screen_that_is_the_same_again_is_not_sent_anew(fake, config, db, carol):
    async with running(db, config):
        first = await dashboard(fake)
        for _ in range(2):
            await tap(fake, first, "language")
        await dashboard(fake)
    assert "not modified" in fake.refused[-1] and len(fake.of("message")) == 2


async def test_a_refusal_stands_above_the_screen_until_the_next_press(fake, config, db, carol):
    async with running(db, config):
        first = await dashboard(fake)
        gone = await tap(fake, first, "keys:see:99999")
        assert gone.text.splitlines()[0] == "❗ There is no such key any more."
        assert fake.of("answerCallbackQuery")[-1].args["text"] == "There is no such key any more."
        stale = await tap(fake, first, "yes:none")
        assert stale.text.startswith("❗ That button is out of date.\n\n<b>Limner</b>")
        assert "❗" not in (await tap(fake, first, "home")).text


async def test_the_picture_stays_when_trouble_comes(fake, config, db, carol):
    """As much as fits below it is said of each trouble."""
    rules = ("no_worker", "queue_waits", "disk_full", "balance_low", "key_lost")
    await alerts.see(db, [Trouble(rule, f"{rule} 🖌️ <{'x ' * 140}>", rule) for rule in rules])
    async with running(db, config):
        shown = await dashboard(fake)
        assert shown.method == "sendPhoto" and shown.text.count("⚠️") == 4 and "…" in shown.text
        again = await tap(fake, shown, "keys:see:" + "9" * 40)
        assert again.method == "editMessageMedia" and again.text.startswith("❗")
    assert fake.refused == []


async def test_a_chat_that_has_to_wait_holds_up_no_other_and_keeps_its_order(fake, config, db, carol):
    fake.refuse("sendPhoto", 429, retry_after=3600)
    async with running(db, config):
        await fake.say(CAROL, "hello")
        await fake.next("sendPhoto")
        await fake.say(STRANGER, "hello")
        assert (await fake.next("sendMessage")).args["chat_id"] == str(STRANGER)
        assert await db.fetchval("select count(*) from telegram_update where handled_at is null") == 0


async def test_what_waits_for_a_chat_comes_in_its_order(fake, config, db, carol):
    async with running(db, config):
        first = await dashboard(fake)
        fake.refuse("editMessageCaption", 429, retry_after=1)
        await fake.press(CAROL, "language", fake.shown(first))
        await fake.press(CAROL, "system", fake.shown(first))
        texts = [(await fake.next("edit")).text for _ in range(3)]
    assert texts[0] == texts[1] == "In which language shall I speak?" and texts[2].startswith("<b>System")


async def test_what_telegram_did_is_not_done_again_however_oddly_it_says_so(fake, config, db, carol):
    fake.odd = "sendPhoto"
    async with running(db, config):
        await fake.say(CAROL, "hello")
        await fake.next("sendPhoto")
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")
    assert len(fake.of("sendPhoto")) == 1
