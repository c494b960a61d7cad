"""The system from the phone: a worker drained, a backup asked for, a key tried, each after asking twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from limner.actors.archivist.role import Duty
from limner.actors.locksmith import Locksmith
from limner.runtime.cron import Calendar
from limner.runtime.presence import Presence
from limner.runtime.testing import alone, deliver_all
from limner.sql import alerts, audit, backups, keys
from limner.sql.alert_rules import KINDS, is_money
from limner.sql.alerts import Trouble
from tests.bot.conftest import CAROL, dashboard, running, tap, toast
from tests.bot.phone import paired
from tests.conftest import settings
from tests.upstreams.telegram import TOKEN


@pytest.fixture
def config(dsn, tmp_path, fake):
    """Of a studio that takes nobody for dead while this machine is busy."""
    return settings(dsn, tmp_path, bot_token=TOKEN, telegram_url=fake.url, lease=600)


async def test_a_worker_is_drained_and_hears_of_it_with_its_next_heartbeat(fake, config, db, carol):
    worker = Presence(db, "worker", lease=3)
    worker.about = lambda: {"version": "9.9.9", "schema": 28, "memory": 120}
    await worker.beat()
    async with running(db, config):
        shown = await dashboard(fake)
        one = await tap(fake, shown, f"system:see:{worker.id}")
        assert "9.9.9 / 28 · 120 MB" in one.text
        sure = await tap(fake, shown, one.buttons["⏸ Drain"])
        await worker.beat()
        assert not worker.is_paused
        drained = await tap(fake, shown, sure.buttons["✅ Yes, drain it"])
        await worker.beat()
        assert worker.is_paused and "takes nothing new" in drained.text
        sure = await tap(fake, shown, drained.buttons["▶ Resume"])
        await tap(fake, shown, sure.buttons["✅ Yes, go on"])
    await worker.beat()
    assert not worker.is_paused
    last, first = [entry for entry in await audit.listing(db) if entry.action == "worker.pause"]
    assert (first.actor, first.before, first.after) == (f"bot {CAROL}", {"paused": False}, {"paused": True})
    assert last.after == {"paused": False}


async def test_a_backup_is_asked_for_and_due_until_one_has_begun(fake, config, db, carol):
    async with running(db, config):
        shown = await dashboard(fake)
        await tap(fake, shown, "system:backup")
        assert "No archivist is alive" in await toast(fake)
        await Presence(db, "archivist", lease=3600).beat()
        sure = await tap(fake, shown, "system:backup")
        assert await backups.wished(db, "backup") is None
        done = await tap(fake, shown, sure.buttons["✅ Yes, back up"])
        assert "Last backup: asked for 0 s ago" in done.text
    wished, now = await backups.wished(db, "backup"), datetime.now(UTC)
    duty = Duty("backup", Calendar.parse("0 0 1 1 *"), lambda say: anyio.sleep(0))
    good = backups.Run(1, "backup", "done", "", 0, "", now - timedelta(minutes=5), now - timedelta(minutes=4), 240)
    assert not duty.is_due(good, good, now)
    assert duty.is_due(good, good, now, wished)
    run = await backups.begin(db, "backup", "a")
    last = await backups.last(db, "backup")
    assert last is not None and last.id == run and not duty.is_due(good, last, now, wished)
    assert (await audit.listing(db))[0].action == "backup.backup_wanted"


async def test_a_key_is_tried_by_the_locksmith_and_its_answer_stands_with_the_key(fake, config, db, carol, vault):
    good = await keys.add(db, vault, "demo", "Good", "demo-good-0001", actor="cli")
    dead = await keys.add(db, vault, "demo", "Dead", "demo-dead-0001", switch="auth_dead", actor="cli")
    await db.execute("update provider set kind = 'simulator' where code = 'demo'")
    await db.execute("update provider_key set state = 'manual_review', why = 'odd' where id = $1", good)
    locksmith = alone(db, Locksmith, config=config, vault=vault)
    async with running(db, config):
        shown = await dashboard(fake)
        for key in (good, dead):
            sure = await tap(fake, shown, f"keys:test:{key}")
            await tap(fake, shown, sure.buttons["✅ Yes, test it"])
        assert await deliver_all(locksmith) == 2
        assert "the provider takes it" in (await tap(fake, shown, f"keys:see:{good}")).text
        assert "Tested" in (await tap(fake, shown, f"keys:see:{dead}")).text
    assert await db.fetchval("select state from provider_key where id = $1", good) == "cooldown"  # on trial
    assert await db.fetchval("select tried_words from provider_key where id = $1", dead) != ""
    assert [entry.action for entry in await audit.listing(db)][:2] == ["key.try", "key.try"]


async def test_an_operator_sees_no_alert_about_money_and_a_viewer_sees_all(db, config):
    """Nor one of a rule that this release does not know: who can say what it tells?"""
    said = {"disk_full": "The disk is nearly full.", "balance_low": "7.10 USD is left.", "newer": "Something new."}
    await alerts.see(db, [Trouble(f"cause {rule}", words, rule) for rule, words in said.items()])
    for person, role, sees in ((7, "owner", 3), (8, "viewer", 3), (9, "operator", 1)):
        phone = await paired(db, config, role, person)
        texts = [(await phone.press("home")).text, str((await phone.press("alerts")).rows)]
        for text in texts:
            assert [words in text for words in said.values()] == [True, sees == 3, sees == 3]
        await phone.press("system")
        assert f"⚠️ Alerts: {sees}" in phone.words


def test_the_rules_about_money_are_those_that_name_sums_payments_or_the_books():
    money = {code for code in KINDS if is_money(code)}
    assert money == {"balance_low", "webhook_silence", "unpaid_received", "payment_to_decide", "ledger_wrong"}
