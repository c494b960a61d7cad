"""What the watchman cannot read, or reads seldom, is neither new nor over; and everything else is told all the same."""

from __future__ import annotations

from limner.actors import watchman
from limner.sql import alerts, funds
from tests.alerts.conftest import causes
from tests.alerts.drills import copied
from tests.alerts.test_telling import away


async def test_a_rule_that_cannot_be_read_ends_nothing_begins_nothing_and_keeps_no_other_from_being_told(watched):
    await watched.rule("backup_old", is_on=True)
    await copied(watched, "backup", 27)
    assert causes(await watched.look()) == ["backup_overdue"]
    await watched.db.execute("alter table backup_run rename to backup_run_locked_away")
    await away(watched)
    for _ in range(2):
        assert causes(await watched.look()) == ["backup_overdue", "no_worker"]
    await watched.later(60)
    await watched.look()
    assert len(await watched.texts()) == 2
    await watched.db.execute("alter table backup_run_locked_away rename to backup_run")
    await copied(watched, "backup", 0)
    assert causes(await watched.look()) == ["no_worker"]


async def test_a_rule_that_takes_too_long_is_given_up_and_the_others_are_told(watched):
    await copied(watched, "backup", 27)
    await watched.db.execute("alter table backup_run rename to copies")
    await watched.db.execute("create view backup_run as select c.* from copies as c cross join pg_sleep(20) as s")
    await away(watched)
    assert causes(await watched.look()) == ["no_worker"]


async def test_what_has_to_last_goes_on_lasting_while_it_cannot_be_read(watched):
    await watched.rule("backup_old", after_seconds=600)
    await copied(watched, "backup", 27)
    assert await watched.look() == []
    await watched.db.execute("alter table backup_run rename to backup_run_locked_away")
    await watched.look()
    await watched.later(601)
    await watched.db.execute("alter table backup_run_locked_away rename to backup_run")
    assert causes(await watched.look()) == ["backup_overdue"]


async def test_what_counts_a_whole_week_is_looked_at_once_a_minute_and_stays_as_it_was_between(watched):
    await watched.db.execute("update provider_key set account_group = 'main'")
    await funds.top_up(watched.db, "demo", "main", 5_000_000, "", actor="test")
    await funds.alert_below(watched.db, "demo", "main", 6_000_000, actor="test")
    assert [alert.rule for alert in await watched.look()] == ["balance_low"]
    await funds.top_up(watched.db, "demo", "main", 5_000_000, "", actor="test")
    await watchman.look(watched.db, watched.config)
    assert [alert.rule for alert in await alerts.still_open(watched.db)] == ["balance_low"]
    await watched.db.execute("update alert_reading set read_at = read_at - interval '61 seconds'")
    await watchman.look(watched.db, watched.config)
    assert await alerts.still_open(watched.db) == []
