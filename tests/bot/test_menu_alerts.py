"""The menu of alerts: what is wrong, the way to where it is mended, and silence for a while by who may."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from limner.actors import watchman
from limner.runtime.presence import Presence
from limner.sql import alert_news, alert_times, alerts
from limner.sql.alerts import Trouble
from tests.bot.phone import acts, paired

STUCK = Trouble("proxy 1", "Proxy Lisbon is dead.", "proxy_dead", button="keys")
MONEY = Trouble("ledger_wrong", "The books do not add up.", "ledger_wrong")


@pytest.fixture
async def phone(db, config, cast):
    await alerts.see(db, [STUCK])
    await alerts.see(db, [STUCK, MONEY])
    return await paired(db, config)


async def lasts(db, cause: str) -> timedelta:
    """For how long an alert is silent."""
    return await db.fetchval("select snoozed_until - now() from alert where cause = $1", cause)


async def test_an_alert_shows_what_it_is_where_it_is_mended_and_what_to_do(phone):
    listed = await phone.press("alerts")
    assert "What is wrong</b>: 2" in listed.text and phone.words[0] == "⚠️ Proxy Lisbon is dead."
    shown = await phone.tap("Lisbon")
    assert shown.text.startswith("⚠️ Proxy Lisbon is dead.") and "docs/how-to/alerts/proxy-dead.md" in shown.text
    assert phone.words == ["🔕 1 h", "🔕 8 h", "🔕 Till tomorrow morning", "🔧 Where to mend it", "⬅ Back"]
    assert "<b>Keys</b>" in (await phone.tap("mend")).text


@pytest.mark.parametrize("hours", [1, 8])
async def test_an_alert_is_silenced_for_some_hours_says_until_when_and_is_audited(db, phone, hours):
    await phone.press("alerts")
    await phone.tap("Lisbon")
    shown = await phone.tap(f"🔕 {hours} h")
    until = await db.fetchval("select snoozed_until from alert where cause = 'proxy 1'")
    assert timedelta(hours=hours, minutes=-1) < await lasts(db, "proxy 1") <= timedelta(hours=hours)
    assert shown.text.startswith("🔕 Proxy Lisbon") and f"Silent until <b>{until:%d.%m. %H:%M} UTC</b>" in shown.text
    assert shown.toast == f"Silent until {until:%d.%m. %H:%M} UTC."
    assert await acts(db) == [("bot 7", "alert.snooze")]
    after = await db.fetchval("select after from audit where action = 'alert.snooze'")
    assert after == {"until": until.isoformat(), "reason": "Carol said so by Telegram"}


@pytest.mark.parametrize(("hour", "days"), [(2, 0), (5, 1), (14, 1), (23, 1)])
@pytest.mark.parametrize(("digest", "morning"), [(time(7, 30), time(7, 30)), (None, time(8))])
async def test_till_tomorrow_morning_is_when_the_digest_comes_in_the_studios_time(
    db, phone, hour, days, digest, morning
):
    """Who is up at two in the night means the morning that comes."""
    west = ((await db.fetchval("select now() at time zone 'UTC'")).hour - hour + 12) % 24 - 12
    zone = f"Etc/GMT{west:+d}"
    await alert_times.change(db, None, digest, zone, 10, actor="cli")
    await phone.press("alerts")
    await phone.tap("Lisbon")
    await phone.tap("morning")
    asleep = "select snoozed_until at time zone $1 from alert where cause = 'proxy 1'"
    there = await db.fetchrow(f"select ({asleep}) as until, (now() at time zone $1)::date as today", zone)
    assert (there["until"].date(), there["until"].time()) == (there["today"] + timedelta(days), morning)


async def test_where_there_is_no_digest_the_morning_is_the_end_of_the_quiet_hours(db, phone):
    await alert_times.change(db, (time(22), time(6, 15)), None, "UTC", 10, actor="cli")
    await alert_news.snooze_until_morning(db, (await alerts.still_open(db))[0].id, "", actor="cli")
    assert (await alerts.still_open(db))[0].snoozed_until.time() == time(6, 15)


@pytest.mark.parametrize(
    ("digest", "quiet_to", "morning"),
    [
        (time(2), time(7), time(7)),
        (time(21), None, time(8)),
        (time(21), time(1), time(8)),
        (time(3, 59), time(12, 1), time(8)),
        (time(4), time(7), time(4)),
        (None, time(13), time(8)),
    ],
)
async def test_what_comes_at_night_or_in_the_evening_is_no_morning(db, phone, digest, quiet_to, morning):
    quiet = quiet_to and (time(23), quiet_to)
    for hour in (3, 9, 20):
        west = ((await db.fetchval("select now() at time zone 'UTC'")).hour - hour + 12) % 24 - 12
        zone = f"Etc/GMT{west:+d}"
        await alert_times.change(db, quiet, digest, zone, 10, actor="cli")
        (alert, *_) = await alerts.still_open(db)
        await alert_news.snooze_until_morning(db, alert.id, "", actor="cli")
        there = await db.fetchrow(
            "select snoozed_until at time zone $1 as until, snoozed_until > now() as is_to_come from alert where id = $2",
            zone, alert.id,
        )  # fmt: skip
        assert there["until"].time() == morning and there["is_to_come"]


async def test_a_silenced_alert_is_woken_up_again(db, phone):
    await phone.press("alerts")
    await phone.tap("Lisbon")
    await phone.tap("8 h")
    assert phone.words == ["🔔 Wake it up", "🔧 Where to mend it", "⬅ Back"]
    woken = await phone.tap("Wake")
    assert woken.toast == "It is told of again." and "🔕 1 h" in phone.words
    assert await db.fetchval("select snoozed_until <= now() from alert where cause = 'proxy 1'")
    assert await acts(db) == [("bot 7", "alert.snooze")] * 2


async def test_a_silenced_alert_tells_of_its_end(db, config, phone):
    await db.execute("delete from alert")
    await watchman.look(db, config)
    (alert,) = await alerts.still_open(db)
    await phone.press(f"alerts:sleep:{alert.id}:8")
    await db.execute("update alert set told_at = told_at - interval '9 hours'")
    await watchman.look(db, config)
    await Presence(db, "worker", lease=config.lease).beat()
    await watchman.look(db, config)
    told = [row["body"] for row in await db.fetch("select body from notice order by id")]
    assert len(told) == 2 and told[1].startswith("✅ Fine again after ")
    assert (await phone.press(f"alerts:see:{alert.id}")).text.startswith("✅ It is over: No worker")
    refused = await phone.press(f"alerts:sleep:{alert.id}:1")
    assert refused.toast == "It is over: there is nothing to be quiet about."


async def test_who_only_looks_silences_nothing(db, phone):
    await db.execute("update telegram_admin set role = 'viewer'")
    await phone.press("alerts")
    await phone.tap("Lisbon")
    assert phone.words == ["🔧 Where to mend it", "⬅ Back"]
    (alert, _) = await alerts.still_open(db)
    for forged in (f"alerts:sleep:{alert.id}:8", f"alerts:morning:{alert.id}", f"alerts:wake:{alert.id}"):
        assert (await phone.press(forged)).toast == "You may look, not change."
    assert await lasts(db, "proxy 1") is None and await acts(db) == []


async def test_an_operator_silences_what_is_no_money_and_the_rest_is_not_there(db, phone):
    await db.execute("update telegram_admin set role = 'operator'")
    listed = await phone.press("alerts")
    assert "books" not in str(phone.words) and "</b>: 1" in listed.text
    stuck, money = await alerts.still_open(db)
    assert (await phone.press(f"alerts:morning:{money.id}")).toast == "There is no such alert any more."
    await phone.press(f"alerts:morning:{stuck.id}")
    assert await lasts(db, "ledger_wrong") is None and await lasts(db, "proxy 1") > timedelta(0)


@pytest.mark.parametrize(
    "forged", ["alerts:see:0", "alerts:see:x", "alerts:sleep:1:7", "alerts:sleep:1:-8", "alerts:what"]
)
async def test_a_button_that_makes_no_sense_changes_nothing(db, phone, forged):
    assert (await phone.press(forged)).toast in ("There is no such alert any more.", "That button is out of date.")
    assert await acts(db) == []


@pytest.mark.parametrize(("locale", "words", "toast"), [
    ("ru", "🔕 8 ч", "Отложено до "), ("zh", "🔕 8 小时", "暂停提醒至 "),
])  # fmt: skip
async def test_the_menu_speaks_the_readers_language(db, config, phone, locale, words, toast):
    phone.locale = locale
    await db.execute("delete from alert")
    await watchman.look(db, config)
    (alert,) = await alerts.still_open(db)
    shown = await phone.press(f"alerts:see:{alert.id}")
    assert words in phone.words and ("воркера" in shown.text or "worker" in shown.text)
    assert (await phone.tap(words)).toast.startswith(toast)
