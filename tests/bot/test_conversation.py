"""Who gets what: admins their studio in two taps, strangers a code, groups silence. Buttons carry no authority."""

from __future__ import annotations

import pytest

from limner.sql import alerts, audit, pairings
from limner.sql import telegram as books
from limner.sql.alerts import Trouble
from tests.bot.conftest import CAROL, STRANGER, dashboard, running, tap
from tests.upstreams.telegram import FakeTelegram

LAST = 99
KINDS = [
    "edited_message", "channel_post", "edited_channel_post", "business_message", "message_reaction", "inline_query",
    "chosen_inline_result", "shipping_query", "pre_checkout_query", "poll_answer", "my_chat_member", "chat_member",
    "chat_join_request", "something_of_next_year",
]  # fmt: skip


async def all_heard(fake: FakeTelegram) -> None:
    """Until everything so far is handled: updates are, in their order, and this one gets an answer."""
    await fake.say(LAST, "hello")
    while (await fake.next("message")).args["chat_id"] != str(LAST):
        pass


async def last_key(db, state: str = "active") -> int:
    return await db.fetchval("select id from provider_key where state = $1 order by id desc limit 1", state)


async def test_an_admin_sees_the_studio_at_a_glance(fake, config, db, carol, cast):
    await alerts.see(db, [Trouble("no_worker", "No worker is alive: <nothing> is painted.")])
    async with running(db, config):
        shown = await dashboard(fake)
    assert "0.00 USD</b> came in today" in shown.text
    assert "3 accounts · 1 subscribed" in shown.text
    assert "🔑 3 ready · 0 resting · 0 lost" in shown.text
    assert "no worker is alive" in shown.text
    assert "⚠️ No worker is alive: &lt;nothing&gt; is painted." in shown.text
    assert shown.buttons["🔄 Refresh"] == "home" and shown.buttons["🔑 Keys"] == "keys"


async def test_refresh_changes_the_message_in_its_place(fake, config, db, carol):
    async with running(db, config):
        shown = await dashboard(fake)
        await db.execute("insert into worker (id, role, host, pid) values (gen_random_uuid(), 'worker', 'brush-1', 1)")
        again = await tap(fake, shown, "home")
        await fake.next("answerCallbackQuery")
    assert again.args["message_id"] == str(fake.shown(shown)["message_id"])
    assert "processes alive: 2" in again.text
    assert len(fake.of("message")) == 1


async def test_a_key_is_disabled_only_after_asking_twice_and_audited(fake, config, db, carol):
    key = await last_key(db)
    async with running(db, config):
        shown = await dashboard(fake)
        listed = await tap(fake, shown, shown.buttons["🔑 Keys"])
        assert "3 of 3 ready" in listed.text
        (button,) = [data for text, data in listed.buttons.items() if data == f"keys:see:{key}"]
        one = await tap(fake, shown, button)
        sure = await tap(fake, shown, one.buttons["⛔ Disable"])
        assert await db.fetchval("select state from provider_key where id = $1", key) == "active"
        done = await tap(fake, shown, sure.buttons["✅ Yes, disable it"])
    assert await db.fetchval("select state from provider_key where id = $1", key) == "disabled"
    assert "disabled · 0 of" in done.text and "☀️ Wake" in done.buttons and "⛔ Disable" not in done.buttons
    entry = (await audit.listing(db))[0]
    assert (entry.actor, entry.action) == (f"bot {CAROL}", "key.state")
    assert entry.subject.startswith(f"key {key} …")


async def test_a_lost_key_can_be_woken(fake, config, db, carol):
    key = await last_key(db)
    await db.execute("update provider_key set state = 'out_of_funds', why = 'insufficient_quota' where id = $1", key)
    async with running(db, config):
        shown = await dashboard(fake)
        one = await tap(fake, shown, f"keys:see:{key}")
        assert "Why: insufficient_quota" in one.text
        sure = await tap(fake, shown, one.buttons["☀️ Wake"])
        await tap(fake, shown, sure.buttons["✅ Yes, wake it"])
    assert await db.fetchval("select state from provider_key where id = $1", key) == "active"


async def test_pressing_yes_twice_changes_the_key_once(fake, config, db, carol):
    key = await last_key(db)
    async with running(db, config):
        shown = await dashboard(fake)
        sure = await tap(fake, shown, f"keys:disable:{key}")
        for _ in range(2):
            await tap(fake, shown, sure.buttons["✅ Yes, disable it"])
    entries = [entry for entry in await audit.listing(db) if entry.action == "key.state"]
    assert len(entries) == 1


BROKEN = [
    "", "yes", "yes:1", "yes:1:2", "keys:see:99999", "keys:see:x", "keys:page:-1", "keys:page:9999999999", "?", "home:1",
    "keys:wake:x", "keys:nothing", "system:1", "language:tlh",
]  # fmt: skip


async def test_a_button_that_makes_no_sense_any_more_does_no_harm(fake, config, db, carol):
    async with running(db, config):
        shown = await dashboard(fake)
        for data in BROKEN:
            await fake.press(CAROL, data, fake.shown(shown))
            await fake.next("answerCallbackQuery")
    assert [row["state"] for row in await db.fetch("select distinct state from provider_key")] == ["active"]


async def test_a_forged_button_of_a_stranger_gets_silence(fake, config, db, carol):
    key = await last_key(db)
    async with running(db, config):
        shown = await dashboard(fake)
        forged = fake.shown(shown) | {"chat": {"id": STRANGER, "type": "private"}}
        await fake.press(STRANGER, f"keys:disable:{key}", forged)
        await fake.press(STRANGER, f"keys:disable:{key}", fake.shown(shown))  # in Carol's chat, as only a forger could
        await fake.press(CAROL, f"keys:disable:{key}", forged)
        await all_heard(fake)
    assert await db.fetchval("select state from provider_key where id = $1", key) == "active"
    assert fake.of("answerCallbackQuery") == fake.of("edit") == []
    assert await db.fetchval("select count(*) from telegram_update where handled_at is null") == 0


async def test_a_revoked_admin_is_a_stranger_from_the_next_tap_on(fake, config, db, carol):
    key = await last_key(db)
    async with running(db, config):
        shown = await dashboard(fake)
        await books.revoke(db, CAROL, "cli", even_the_last=True)
        await fake.press(CAROL, f"keys:disable:{key}", fake.shown(shown))
        await fake.say(CAROL, "hello?")
        assert "limner pair" in (await fake.next("message")).text
    assert await db.fetchval("select state from provider_key where id = $1", key) == "active"
    assert fake.of("edit") == []


async def test_a_viewer_may_look_but_not_change(fake, config, db, carol):
    key = await last_key(db)
    await db.execute("update telegram_admin set role = 'viewer'")
    async with running(db, config):
        shown = await dashboard(fake)
        one = await tap(fake, shown, f"keys:see:{key}")
        assert set(one.buttons) == {"🔄 Refresh", "⬅ Back"}
        await tap(fake, shown, f"keys:disable:{key}")
    assert [call.args.get("text") for call in fake.of("answerCallbackQuery")][1:] == ["You may look, not change."]
    assert await db.fetchval("select state from provider_key where id = $1", key) == "active"


@pytest.mark.parametrize("chat_type", ["group", "supergroup", "channel"])
async def test_groups_get_silence_even_from_admins(fake, config, db, carol, chat_type):
    key = await last_key(db)
    async with running(db, config):
        shown = await dashboard(fake)
        for person in (CAROL, STRANGER):
            await fake.say(person, "/start", chat_type)
            in_group = fake.shown(shown) | {"chat": {"id": -100, "type": chat_type}}
            await fake.press(person, f"keys:disable:{key}", in_group, chat_type=chat_type)
        await all_heard(fake)
    assert [call.args["chat_id"] for call in fake.of("message")] == [str(CAROL), str(LAST)]
    assert fake.of("answerCallbackQuery") == fake.of("edit") == []
    assert await db.fetchval("select state from provider_key where id = $1", key) == "active"
    assert [one.telegram_id for one in await pairings.pending(db)] == [LAST]


async def test_other_types_of_updates_get_silence(fake, config, db, carol):
    person = fake.person(STRANGER)
    address = ["country_code", "state", "city", "street_line1", "street_line2", "post_code"]
    body = fake.message(person, STRANGER, "private", "hello") | {
        "user": person, "id": "1", "query": "q", "offset": "", "result_id": "1", "invoice_payload": "x",
        "currency": "USD", "total_amount": 1, "poll_id": "1", "option_ids": [], "option_persistent_ids": [],
        "user_chat_id": STRANGER, "shipping_address": dict.fromkeys(address, ""), "old_reaction": [], "new_reaction": [],
        "old_chat_member": {"status": "left", "user": person}, "new_chat_member": {"status": "left", "user": person},
    }  # fmt: skip
    for kind in KINDS:
        await fake.push(kind, body)
    async with running(db, config):
        await all_heard(fake)
    assert len(fake.of("sendMessage")) == 1
    assert [one.telegram_id for one in await pairings.pending(db)] == [LAST]
    handled = "select count(*) filter (where handled_at is not null) from telegram_update"
    assert await db.fetchval(handled) == len(KINDS) + 1


async def test_what_people_typed_stays_text(fake, config, db, carol):
    key = await last_key(db)
    nasty = "<b>&amp;</b><a href='x'>"
    await db.execute("update provider_key set label = $2, why = $2 where id = $1", key, nasty)
    async with running(db, config):
        shown = await dashboard(fake)
        one = await tap(fake, shown, f"keys:see:{key}")
        sure = await tap(fake, shown, one.buttons["⛔ Disable"])
    for call in (one, sure):
        assert nasty not in call.text
        assert "&lt;b&gt;&amp;amp;&lt;/b&gt;&lt;a href=&#x27;x&#x27;&gt;" in call.text


async def test_a_large_pool_is_shown_by_pages(fake, config, db, carol):
    await db.execute("""
        insert into provider_key (provider_id, label, fingerprint)
        select provider_id, 'Key ' || n, 'f' || n from generate_series(1, 20) as n,
            (select provider_id from provider_key limit 1) as p
    """)
    async with running(db, config):
        shown = await dashboard(fake)
        first = await tap(fake, shown, "keys")
        assert "page 1 of 3" in first.text and "▶" in first.buttons and "◀" not in first.buttons
        last = await tap(fake, shown, "keys:page:99")
    assert "page 3 of 3" in last.text and "▶" not in last.buttons and "◀" in last.buttons
