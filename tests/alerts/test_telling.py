"""Who is told, when and how often: once an hour of the same trouble, nothing in the quiet hours that can wait, by one way."""

from __future__ import annotations

import re
from datetime import timedelta

import aiohttp
import pytest

from limner.actors import courier
from limner.runtime.errors import Busy, Refused
from limner.runtime.presence import Presence
from limner.sql import alert_news, alert_times, deliveries, dispatches, keys, notices, rests
from tests.alerts.conftest import CAROL, causes
from tests.alerts.drills import DRILLS, lived_for_an_hour
from tests.upstreams.telegram import telegram

NO_WORKER = "No worker is alive: nothing is painted."


async def away(watched) -> None:
    await watched.db.execute("update worker set seen_at = now() - interval '1 hour'")


async def lose(watched, *ids: int) -> None:
    for key in ids:
        await rests.die(watched.db, key, "401")


async def key_ids(watched) -> list[int]:
    return [row["id"] for row in await watched.db.fetch("select id from provider_key order by id")]


async def quiet_now(watched, *, on: bool = True) -> None:
    """Quiet from an hour ago until in an hour; or not any more."""
    now = await watched.db.fetchval("select now() at time zone 'UTC'")
    begin, end = (-1, 1) if on else (-2, -1)
    around = ((now + timedelta(hours=begin)).time(), (now + timedelta(hours=end)).time())
    await alert_times.change(watched.db, around, None, "UTC", 10, actor="carol@example.com")


async def test_a_trouble_that_flaps_is_told_once_an_hour_with_how_often_it_came_back(watched):
    await watched.rule("no_worker", again_hours=None)
    for _ in range(5):
        await away(watched)
        await watched.look()
        await watched.later(60)
        await watched.worker.beat()
        await watched.look()
        await watched.later(120)
    first, over = await watched.texts()
    assert first == f"⚠️ {NO_WORKER}" and re.fullmatch(rf"✅ Fine again after \d+ s\. It was: {NO_WORKER}", over)
    await watched.later(3600)
    await watched.look()
    await away(watched)
    for _ in range(2):
        await watched.look()
    assert (await watched.texts())[2] == f"✅ Came back 4 times, and is fine again. It was: {NO_WORKER}"
    assert len(await watched.texts()) == 3, "it was told within the hour"
    await watched.later(3601)
    await watched.look()
    assert (await watched.texts())[3] == f"⚠️ Came back once: {NO_WORKER}"


async def test_what_flutters_within_its_calm_is_one_trouble_all_along(watched):
    await watched.rule("no_worker", calm_seconds=300, again_hours=None)
    for _ in range(4):
        await away(watched)
        await watched.look()
        await watched.later(30)
        await watched.worker.beat()
        assert causes(await watched.look()) == ["no_worker"]
        await watched.later(30)
    await watched.later(300)
    assert await watched.look() == []
    first, over = await watched.texts()
    assert first == f"⚠️ {NO_WORKER}" and over == f"✅ Fine again after 4 min. It came back 3 times. It was: {NO_WORKER}"


async def test_what_lasts_is_said_again_when_the_rule_wants_it(watched):
    await away(watched)
    for _ in range(3):
        await watched.look()
        await watched.later(4 * 3600 + 1)
    assert await watched.texts() == [
        f"⚠️ {NO_WORKER}", f"⚠️ Still so after 4 h: {NO_WORKER}", f"⚠️ Still so after 8 h: {NO_WORKER}",
    ]  # fmt: skip


async def test_keys_that_fall_out_together_are_one_message_with_a_way_to_the_list(watched):
    await lose(watched, *await key_ids(watched))
    await watched.rule("model_cooled", is_on=False)
    await watched.look()
    (text,) = await watched.texts()
    assert len(text.splitlines()) == 3
    buttons = await watched.db.fetchval("select buttons from notice")
    assert buttons[0][0]["data"] == "keys" and buttons[1][0]["url"] == "https://art.example/admin/alerts"


async def test_one_key_has_a_button_to_itself_and_one_to_its_page_and_its_runbook(watched):
    key = (await key_ids(watched))[0]
    await lose(watched, key)
    (alert,) = await watched.look()
    assert await watched.db.fetchval("select buttons from notice") == [
        [
            {"text": "🔑 Look at the keys", "data": f"keys:see:{key}"},
            {"text": "🔕 Snooze", "data": f"alerts:see:{alert.id}"},
        ],
        [
            {"text": "🌐 Open the admin", "url": f"https://art.example/admin/keys/{key}"},
            {"text": "📖 What to do", "url": "https://docs.example/limner/how-to/alerts/keys-need-a-look.md"},
        ],
    ]


async def test_where_the_documentation_has_no_address_the_page_is_named(watched):
    watched.config = watched.config.model_copy(update={"docs_url": None})
    await away(watched)
    await watched.look()
    assert (await watched.texts())[0].endswith("\n\nWhat to do: docs/how-to/alerts/no-worker.md")
    assert "docs" not in str(await watched.db.fetchval("select buttons from notice"))


async def test_a_storm_of_one_rule_is_four_messages_an_hour_and_then_one_for_all_the_rest(watched, vault):
    await watched.rule("model_cooled", is_on=False)
    ids = [await keys.add(watched.db, vault, "demo", f"no {n}", f"secret-{n}-0000", actor="test") for n in range(9)]
    for key in ids:
        await lose(watched, key)
        await watched.look()
    assert len(await watched.texts()) == 4
    await watched.later(3601)
    await watched.look()
    assert len(await watched.texts()) == 5 and len((await watched.texts())[4].splitlines()) == 5


async def test_in_the_quiet_hours_only_what_is_urgent_is_told_and_the_rest_afterwards_at_once(watched):
    await watched.rule("model_cooled", is_on=False)
    await quiet_now(watched)
    first, second, _ = await key_ids(watched)
    await lose(watched, first, second)
    await away(watched)
    for _ in range(3):
        await watched.look()
    assert await watched.texts() == [f"⚠️ {NO_WORKER}"]
    await keys.set_state(watched.db, second, "active", "a new key", actor="carol@example.com")
    await watched.later(600)
    await watched.look()
    await quiet_now(watched, on=False)
    for _ in range(3):
        await watched.look()
    (_, digest) = await watched.texts()
    head, still, over = digest.splitlines()
    assert head == "🌙 In the quiet hours:"
    assert still.startswith("⚠️ Key Demo brush 1") and over.startswith(
        "✅ Lasted 10 min, and is fine again. It was: Key"
    )


async def test_the_end_of_what_was_told_before_the_quiet_hours_waits_for_their_end(watched):
    await watched.rule("model_cooled", is_on=False)
    key = (await key_ids(watched))[0]
    await lose(watched, key)
    await watched.look()
    await quiet_now(watched)
    await keys.set_state(watched.db, key, "active", "a new key", actor="carol@example.com")
    await watched.look()
    assert len(await watched.texts()) == 1
    await quiet_now(watched, on=False)
    await watched.look()
    assert "✅ Fine again after" in (await watched.texts())[1]


async def test_a_snoozed_alert_says_nothing_but_its_end(watched):
    await away(watched)
    (alert,) = await watched.look()
    await alert_news.snooze(watched.db, alert.id, 12, "known", actor="carol@example.com")
    await watched.db.execute("update alert set told_at = told_at - interval '5 hours'")
    (still,) = await watched.look()
    assert still.is_snoozed and len(await watched.texts()) == 1
    await watched.worker.beat()
    await watched.look()
    assert (await watched.texts())[1].startswith("✅ Fine again")
    with pytest.raises(Refused):
        await alert_news.snooze(watched.db, alert.id, 1, "too late", actor="carol@example.com")


async def test_a_snooze_ends(watched):
    await away(watched)
    (alert,) = await watched.look()
    await alert_news.snooze(watched.db, alert.id, 1, "known", actor="carol@example.com")
    await watched.later(5 * 3600)
    await watched.look()
    assert len(await watched.texts()) == 2


async def test_what_telegram_does_not_take_goes_by_mail_once_and_never_by_both_ways(watched):
    async with aiohttp.ClientSession() as session:
        await away(watched)
        await watched.look()
        with pytest.raises(Busy):
            await courier.deliver(watched.db, watched.config, session)
        assert await mails(watched) == []
        await watched.db.execute("update notice set created_at = created_at - interval '11 minutes'")
        for _ in range(3):
            await watched.look()
        (mail,) = await mails(watched)
        assert NO_WORKER in mail["details"]["words"] and mail["recipient"] == watched.carol.email
        async with telegram() as fake:
            back = watched.config.model_copy(update={"telegram_url": fake.url})
            assert await courier.deliver(watched.db, back, session) == 0
            assert fake.of("sendMessage") == []


async def test_what_every_phone_refuses_goes_by_mail_at_once(watched):
    await away(watched)
    await watched.look()
    async with telegram() as fake, aiohttp.ClientSession() as session:
        fake.refuse("sendMessage", 403, "Forbidden: bot was blocked by the user")
        await courier.deliver(watched.db, watched.config.model_copy(update={"telegram_url": fake.url}), session)
    await watched.look()
    assert len(await mails(watched)) == 1


async def test_where_one_phone_got_it_no_mail_goes(watched):
    await watched.pair(8)
    await away(watched)
    await watched.look()
    await watched.db.execute("update notice set sent_at = now() where recipient = $1", str(CAROL))
    await watched.db.execute("update notice set created_at = created_at - interval '1 hour'")
    await watched.look()
    assert await mails(watched) == []


async def test_one_that_is_on_its_way_is_left_alone(watched):
    await away(watched)
    await watched.look()
    await watched.db.execute("update notice set created_at = created_at - interval '1 hour'")
    taken = await notices.take(watched.db, "telegram", 30)
    await watched.look()
    assert taken is not None and await mails(watched) == []
    await deliveries.let_go(watched.db, taken)
    await watched.look()
    assert len(await mails(watched)) == 1


async def test_the_buttons_reach_the_phone_and_an_address_that_telegram_does_not_like_costs_no_news(watched):
    key = (await key_ids(watched))[0]
    await lose(watched, key)
    await watched.look()
    async with telegram() as fake, aiohttp.ClientSession() as session:
        fake.refuse("sendMessage", 400, "Bad Request: inline keyboard button URL 'http://127.0.0.1' is invalid")
        await courier.deliver(watched.db, watched.config.model_copy(update={"telegram_url": fake.url}), session)
        first, second = [call.args["reply_markup"]["inline_keyboard"] for call in fake.of("sendMessage")]
    assert first[0][0] == {"text": "🔑 Look at the keys", "callback_data": f"new:keys:see:{key}"} and len(first) == 2
    assert second == first[:1]


async def mails(watched) -> list[dict]:
    found = await watched.db.fetch("select recipient, template, details from notice where channel = 'mail' order by id")
    return [dict(row) for row in found]


async def test_what_is_too_long_for_one_message_says_how_much_more_there_is_and_still_what_to_do(watched, vault):
    watched.config = watched.config.model_copy(update={"docs_url": None})
    await watched.rule("model_cooled", is_on=False)
    for number in range(20):
        key = await keys.add(
            watched.db, vault, "demo", f"no {number} {'x' * 90}", f"secret-{number}-0000", actor="test"
        )
        await rests.die(watched.db, key, "401: " + "because " * 60)
    await watched.look()
    (text,) = await watched.texts()
    *lines, more, _, runbook = text.splitlines()
    assert len(text) < 4096 and 3 < len(lines) < 12 and all(line.startswith("⚠️ Key no ") for line in lines)
    assert more == f"… and {20 - len(lines)} more." and runbook.endswith("docs/how-to/alerts/keys-need-a-look.md")


async def test_what_a_rule_that_is_off_has_waiting_is_not_told_in_the_morning(watched):
    await quiet_now(watched)
    lost, over = (await key_ids(watched))[:2]
    await lose(watched, lost, over)
    assert len(await watched.look()) == 2
    await keys.set_state(watched.db, over, "active", "a new key", actor="carol@example.com")
    assert len(await watched.look()) == 1
    await watched.rule("key_lost", is_on=False)
    for _ in range(2):
        assert await watched.look() == []
    await quiet_now(watched, on=False)
    await watched.look()
    assert await watched.texts() == []


async def test_what_waits_and_sleeps_is_told_when_it_is_awake_or_over(watched):
    await quiet_now(watched)
    first, second = (await key_ids(watched))[:2]
    await lose(watched, first, second)
    for alert in await watched.look():
        await alert_news.snooze(watched.db, alert.id, 4, "I know", actor="carol@example.com")
    await quiet_now(watched, on=False)
    await watched.look()
    assert await watched.texts() == []
    await keys.set_state(watched.db, first, "active", "a new key", actor="carol@example.com")
    await watched.look()
    (text,) = await watched.texts()
    assert text.startswith("🌙 In the quiet hours:\n✅ ") and len(text.splitlines()) == 2
    await watched.later(4 * 3600 + 1)
    await watched.look()
    assert (await watched.texts())[1].startswith("🌙 In the quiet hours:\n⚠️ Key ")


async def test_a_fifth_trouble_that_is_urgent_is_gathered_for_five_minutes_and_one_that_can_wait_for_an_hour(watched):
    for severity, minutes in (("urgent", 5), ("normal", 60)):
        await watched.rule("key_lost", severity=severity)
        await watched.db.execute("delete from notice")
        await watched.db.execute("delete from alert")
        for count in range(1, 7):
            made = await keys.add(
                watched.db, watched.vault, "demo", f"{severity} {count}", f"secret-{severity}-{count}", actor="test"
            )
            await lose(watched, made)
            await watched.look()
        assert len(await watched.texts()) == 4
        await watched.later(minutes * 60 - 120)
        await watched.look()
        assert len(await watched.texts()) == 4
        await watched.later(121)
        await watched.look()
        (*_, last) = await watched.texts()
        assert len(await watched.texts()) == 5 and last.count("⚠️") == 2
        for row in await watched.db.fetch("select id from provider_key where state = 'disabled'"):
            await keys.set_state(watched.db, row["id"], "active", "a new key", actor="carol@example.com")


async def test_that_the_bot_is_ill_goes_by_mail_at_once_beside_telegram(watched):
    async with DRILLS["a_telegram_that_is_silent"].trouble(watched):
        (alert,) = await watched.look()
    (mail,) = await watched.db.fetch("select recipient, details from notice where channel = 'mail'")
    assert mail["recipient"] == watched.carol.email and alert.words in mail["details"]["words"]
    assert (
        mail["details"]["runbook"].endswith("/how-to/alerts/bot-deaf.md") and mail["details"]["path"] == "/admin/health"
    )
    assert await watched.texts() == [f"⚠️ {alert.words}"]


async def test_without_a_token_nobody_misses_the_bot(watched):
    watched.config = watched.config.model_copy(update={"bot_token": None})
    async with DRILLS["a_telegram_that_is_silent"].trouble(watched):
        assert await watched.look() == []
    await watched.db.execute("update worker set seen_at = now() - interval '1 hour' where role = 'bot'")
    assert await watched.look() == []


async def test_a_role_that_never_was_or_left_days_ago_is_missed_by_nobody_and_one_that_dies_at_once_is(watched):
    await watched.look()
    assert await watched.look() == []
    await lived_for_an_hour(watched, "web", 0)
    await watched.look()
    await watched.db.execute("delete from worker where role = 'web'")
    await watched.db.execute("update alert_reading set read_at = read_at - interval '73 hours'")
    assert await watched.look() == []
    await lived_for_an_hour(watched, "web", 0)
    await watched.look()
    await watched.db.execute("delete from worker where role = 'web'")
    stillborn = Presence(watched.db, "web", lease=watched.config.lease)
    await stillborn.beat()
    await stillborn.leave()
    await watched.look()
    await watched.later(15)
    assert [alert.cause for alert in await watched.look()] == ["no_web"]


async def test_after_an_outage_of_the_database_nobody_is_missed_who_had_no_time_to_say_that_they_live(watched):
    for role in ("web", "bot"):
        await lived_for_an_hour(watched, role, 5)
    await watched.look()
    await watched.db.execute("update worker set seen_at = seen_at - interval '2 minutes'")
    await watched.worker.beat()
    assert await watched.look() == []
    for role in ("web", "bot"):
        await lived_for_an_hour(watched, role, 0)
    await watched.later(15)
    assert await watched.look() == [] and await watched.texts() == []


async def test_a_mail_in_telegrams_place_says_and_links_the_same(watched):
    await quiet_now(watched, on=False)
    key = (await key_ids(watched))[0]
    await lose(watched, key)
    await watched.look()
    await watched.db.execute("update notice set created_at = created_at - interval '11 minutes'")
    await watched.look()
    details = await watched.db.fetchval("select details from notice where channel = 'mail'")
    assert details["path"] == f"/admin/keys/{key}"
    assert details["runbook"] == "https://docs.example/limner/how-to/alerts/keys-need-a-look.md"


async def test_where_nobody_reads_mails_telegram_keeps_it(watched):
    await away(watched)
    await watched.look()
    await watched.db.execute("update account set role = 'user'")
    await watched.db.execute("update notice set created_at = created_at - interval '1 hour'")
    await watched.look()
    assert await watched.db.fetchval("select count(*) from notice where failed_at is null and sent_at is null") == 1


async def test_old_notices_are_forgotten_and_the_keys_of_mails_stay_longer(watched):
    await notices.queue(watched.db, "telegram", "7", "old", dedupe_key="alert 1 1")
    await notices.mail(watched.db, "alice@example.com", "test", dedupe_key="paid 1")
    await notices.mail(watched.db, "alice@example.com", "test")
    await notices.queue(watched.db, "telegram", "7", "waits")
    old = "update notice set sent_at = now() - interval '91 days', created_at = now() - interval '91 days' where body <> 'waits'"
    await watched.db.execute(old)
    assert await notices.forget_old(watched.db) == 2
    assert [row["body"] for row in await watched.db.fetch("select body from notice order by id")] == ["", "waits"]
    await watched.db.execute("update notice set sent_at = now() - interval '401 days' where channel = 'mail'")
    assert await notices.forget_old(watched.db) == 1


async def let_go(watched, recipient: int) -> None:
    number = await watched.db.fetchval("select id from notice where recipient = $1", str(recipient))
    told = await dispatches.get(watched.db, number)
    await dispatches.let_go(watched.db, told, "old news", actor="carol@example.com")


async def test_what_somebody_let_go_goes_by_mail_neither(watched):
    await away(watched)
    await watched.look()
    await let_go(watched, CAROL)
    await watched.db.execute("update notice set created_at = created_at - interval '1 hour'")
    await watched.look()
    assert await mails(watched) == []


async def test_what_one_phone_refused_goes_by_mail_though_that_for_another_was_let_go(watched):
    await watched.pair(8)
    await away(watched)
    await watched.look()
    await let_go(watched, 8)
    await watched.look()
    assert await mails(watched) == []
    await watched.db.execute(
        "update notice set failed_at = now(), error = 'Forbidden' where recipient = $1", str(CAROL)
    )
    await watched.look()
    assert len(await mails(watched)) == 1
