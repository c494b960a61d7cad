"""The admin's page of alerts: what is open and what was, the rules and their bounds, quiet hours, and a snooze."""

from __future__ import annotations

import re

import pytest

from limner.sql import accounts, alert_rules, alert_times, alerts, audit
from limner.sql.alerts import Trouble

TERMS = {
    "is_on": "yes", "severity": "urgent", "begins": "300", "ends": "30.5", "after_seconds": "10", "calm_seconds": "0",
    "again_hours": "", "reason": "a slow day",
}  # fmt: skip
TIMES = {
    "quiet_from": "22:00", "quiet_to": "07:30", "digest_at": "", "time_zone": "Europe/Rome", "mail_after_minutes": "5",
}  # fmt: skip


async def see(db, *causes: str) -> None:
    await alerts.see(db, [Trouble(cause, f"Trouble <{cause}>.", "key_lost", place="/admin/keys") for cause in causes])


async def test_carol_sees_what_is_open_and_what_was(carol, db):
    await see(db, "key 1")
    await see(db, "key 2")
    page = (await carol.get("/admin/alerts")).text
    assert "Trouble &lt;key 1&gt;." in page and "Trouble &lt;key 2&gt;." in page
    still = (await carol.get("/admin/alerts?state=open")).text
    assert "key 2" in still and "key 1&gt;" not in still
    assert "key 1&gt;" in (await carol.get("/admin/alerts?state=over")).text
    assert "key 1&gt;" not in (await carol.get("/admin/alerts?rule=disk_full")).text


async def test_a_long_history_comes_by_pages(carol, db):
    await see(db, *[f"key {number}" for number in range(120)])
    seen, address = set(), "/admin/alerts?rule=key_lost"
    while address:
        page = (await carol.get(address)).text
        seen |= set(re.findall(r"Trouble &lt;key (\d+)&gt;", page))
        older = re.search(r'href="([^"]+)" rel="next"', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == 120


async def test_alerts_are_found_by_their_words_and_days_and_go_out_as_a_sheet(carol, db):
    await see(db, "key 1", "key 2")
    page = (await carol.get("/admin/alerts?q=KEY+2")).text
    assert "key 2&gt;" in page and "key 1&gt;" not in page
    assert "Nothing matches that." in (await carol.get("/admin/alerts?until=2001-01-01")).text
    sheet = (await carol.get("/admin/alerts.csv?q=key+2")).text
    assert "Trouble <key 2>." in sheet and "key 1" not in sheet


async def test_an_alert_has_a_page_with_the_same_of_before_and_what_was_done(carol, db):
    await see(db, "key 1")
    first = (await alerts.still_open(db))[0].id
    await db.execute("update alert set began_at = now() - interval '9 days', ended_at = now() - interval '8 days'")
    await see(db, "key 1")
    again = (await alerts.still_open(db))[0].id
    await carol.act(f"/admin/alerts/{again}/snooze", {"hours": "4", "reason": "it is known"})
    page = (await carol.get(f"/admin/alerts/{again}")).text
    assert f'href="/admin/alerts/{first}"' in page and f'href="/admin/alerts/{again}"' not in page
    assert "alert.snooze: it is known" in page and 'href="/admin/keys"' in page
    assert "/snooze" not in (await carol.get(f"/admin/alerts/{first}")).text
    assert (await carol.get("/admin/alerts/999999")).status == 404


async def test_carol_snoozes_an_alert_and_wakes_it_up(carol, cast, db):
    await see(db, "key 1")
    (alert,) = await alerts.still_open(db)
    assert (await carol.act(f"/admin/alerts/{alert.id}/snooze", {"hours": "4", "reason": "known"})).status == 303
    assert (await alerts.get(db, alert.id)).is_snoozed and "snoozed" in (await carol.get("/admin/alerts")).text
    entry = (await audit.listing(db, count=1))[0]
    assert (entry.actor, entry.action) == (cast.carol.email, "alert.snooze") and entry.after
    assert entry.after["reason"] == "known"
    assert (await carol.act(f"/admin/alerts/{alert.id}/snooze", {"hours": "0", "reason": "not any more"})).status == 303
    assert not (await alerts.get(db, alert.id)).is_snoozed


@pytest.mark.parametrize(
    ("hours", "reason", "words"), [("73", "x", "73"), ("4", "", "The reason is missing"), ("", "x", "Hours")]
)
async def test_a_snooze_that_makes_no_sense_is_refused_in_words(carol, db, hours, reason, words):
    await see(db, "key 1")
    (alert,) = await alerts.still_open(db)
    page = await carol.act(f"/admin/alerts/{alert.id}/snooze", {"hours": hours, "reason": reason})
    assert page.status == 400 and words in page.text
    assert not (await alerts.get(db, alert.id)).is_snoozed


async def test_carol_changes_a_rule_and_it_is_written_down(carol, db):
    assert (await carol.act("/admin/alerts/rules/queue_waits/terms", TERMS)).status == 303
    rule = await alert_rules.get(db, "queue_waits")
    assert (rule.begins, rule.ends, rule.after_seconds, rule.again_hours) == (300.0, 30.5, 10, None)
    page = (await carol.get("/admin/alerts/rules/queue_waits")).text
    assert 'value="300"' in page and 'value="30.5"' in page
    assert "above 300 seconds that the oldest has waited" in (await carol.get("/admin/alerts")).text
    assert (await audit.listing(db, count=1))[0].action == "alert_rule.change"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"begins": "many"}, "begins"), ({"begins": ""}, "begins"), ({"begins": "1e3"}, "begins"), ({"ends": "400"}, "ends"),
        ({"severity": "dire"}, "severity"), ({"after_seconds": "-1"}, "after_seconds"), ({"calm_seconds": ""}, "calm_seconds"),
        ({"again_hours": "999"}, "again_hours"), ({"reason": ""}, "reason"),
    ],
)  # fmt: skip
async def test_a_bound_that_cannot_be_is_refused_beside_its_field_and_what_was_typed_stays(carol, db, change, field):
    before = await alert_rules.get(db, "queue_waits")
    page = await carol.act("/admin/alerts/rules/queue_waits/terms", TERMS | change)
    assert page.status == 400 and f'id="{field}-error"' in page.text
    assert field == "begins" or 'value="300"' in page.text
    assert await alert_rules.get(db, "queue_waits") == before


async def test_carol_sets_quiet_hours_and_takes_them_away(carol, db):
    assert (await carol.act("/admin/alerts/times", TIMES)).status == 303
    times = await alert_times.get(db)
    assert (str(times.quiet_from), str(times.quiet_to), times.digest_at) == ("22:00:00", "07:30:00", None)
    assert (times.time_zone, times.mail_after_minutes) == ("Europe/Rome", 5)
    assert 'value="22:00"' in (await carol.get("/admin/alerts")).text
    assert (await carol.act("/admin/alerts/times", TIMES | {"quiet_from": "", "quiet_to": ""})).status == 303
    assert (await alert_times.get(db)).quiet_from is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quiet_to": ""}, "quiet_to"), ({"quiet_from": "late"}, "quiet_from"), ({"quiet_to": "22:00"}, "quiet_to"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"), ({"mail_after_minutes": "0"}, "mail_after_minutes"),
    ],
)  # fmt: skip
async def test_times_that_cannot_be_are_refused_beside_their_field(carol, db, change, field):
    page = await carol.act("/admin/alerts/times", TIMES | change)
    assert page.status == 400 and f'id="{field}-error"' in page.text
    assert (await alert_times.get(db)).quiet_from is None


async def test_support_looks_and_changes_nothing(site, cast, db):
    await see(db, "key 1")
    await accounts.set_role(db, cast.alice, "support", actor="test")
    support = await site.browser(cast.alice)
    for address in ("/admin/alerts", "/admin/alerts/rules/queue_waits"):
        page = await support.get(address)
        assert page.status == 200 and "data-once" not in page.text
    assert (await support.act("/admin/alerts/times", TIMES)).status == 403


async def test_a_rule_that_nobody_knows_is_not_there(carol):
    assert (await carol.get("/admin/alerts/rules/nobody-knows")).status == 404
