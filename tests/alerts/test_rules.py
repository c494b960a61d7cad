"""The rules: data that an admin changes, each with a page that says what to do; what cannot be is refused by its field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from limner.actors.watch.troubles import READERS
from limner.runtime.errors import NotFound, Refused
from limner.sql import alert_rules, alert_times, audit
from limner.sql.alert_rules import KINDS
from tests.alerts.conftest import causes

PAGES = Path(__file__).parents[2] / "docs/how-to/alerts"


async def test_the_schema_brings_every_rule_with_terms_that_can_be(db):
    assert set(await db.fetchval("select array_agg(code) from alert_rule")) == set(KINDS) == set(READERS)
    for rule in (await alert_rules.listing(db)).values():
        alert_rules.check(rule)


@pytest.mark.parametrize("code", KINDS)
def test_every_rule_has_a_page_that_says_what_to_do(code):
    page = (PAGES / f"{KINDS[code].page}.md").read_text()
    assert page.startswith("# ")
    assert all(part in page for part in ("**Means**", "**Look**", "**Do**"))
    assert f"| [{KINDS[code].title}]({KINDS[code].page}.md) |" in (PAGES / "README.md").read_text()


@pytest.mark.parametrize(
    ("code", "change", "field"),
    [
        ("queue_waits", {"begins": None}, "begins"),
        ("queue_waits", {"begins": float("nan")}, "begins"),
        ("queue_waits", {"begins": -1.0}, "begins"),
        ("queue_waits", {"begins": 1e9}, "begins"),
        ("queue_waits", {"ends": 121.0}, "ends"),
        ("disk_full", {"ends": 9.0}, "ends"),
        ("disk_full", {"begins": 101.0}, "begins"),
        ("failure_rate", {"least": 0}, "least"),
        ("failure_rate", {"within_seconds": 59}, "within_seconds"),
        ("key_lost", {"begins": 1.0}, "begins"),
        ("key_lost", {"least": 1}, "least"),
        ("no_worker", {"after_seconds": -1}, "after_seconds"),
        ("no_worker", {"calm_seconds": 10**7}, "calm_seconds"),
        ("no_worker", {"again_hours": 0}, "again_hours"),
        ("no_worker", {"severity": "dire"}, "severity"),
    ],
)
async def test_terms_that_cannot_be_are_refused_by_their_field(db, code, change, field):
    rule = await alert_rules.get(db, code)
    with pytest.raises(Refused) as why:
        await alert_rules.change(db, replace(rule, **change), "a test", actor="carol@example.com")
    assert why.value.field == field
    assert await alert_rules.get(db, code) == rule


async def test_a_change_holds_from_the_next_look_on_and_is_audited(watched):
    rule = await alert_rules.get(watched.db, "no_worker")
    await watched.db.execute("update worker set seen_at = now() - interval '40 seconds'")
    slower = replace(rule, begins=120.0)
    await alert_rules.change(watched.db, slower, "our workers start slowly", actor="carol@example.com", ip="192.0.2.1")
    assert await watched.look() == []
    await alert_rules.change(watched.db, rule, "they do not", actor="carol@example.com")
    assert causes(await watched.look()) == ["no_worker"]
    first = (await audit.listing(watched.db))[1]
    assert (first.action, first.subject, first.actor) == ("alert_rule.change", "no_worker", "carol@example.com")
    assert first.before and first.after
    assert (first.before["begins"], first.after["begins"]) == (30.0, 120.0)
    assert first.after["reason"] == "our workers start slowly"


async def test_a_rule_that_is_switched_off_ends_its_alert_and_says_nothing(watched):
    await watched.db.execute("update worker set seen_at = now() - interval '1 hour'")
    assert causes(await watched.look()) == ["no_worker"]
    rule = await alert_rules.get(watched.db, "no_worker")
    await alert_rules.change(watched.db, replace(rule, is_on=False), "tests", actor="carol@example.com")
    assert await watched.look() == [] and len(await watched.texts()) == 1


async def test_an_unknown_rule_is_not_there(db):
    with pytest.raises(NotFound):
        await alert_rules.get(db, "nobody_knows")


@pytest.mark.parametrize(
    ("zone", "minutes", "field"), [("Mars/Olympus", 10, "time_zone"), ("UTC", 0, "mail_after_minutes")]
)
async def test_times_that_cannot_be_are_refused_by_their_field(db, zone, minutes, field):
    with pytest.raises(Refused) as why:
        await alert_times.change(db, None, None, zone, minutes, actor="carol@example.com")
    assert why.value.field == field
