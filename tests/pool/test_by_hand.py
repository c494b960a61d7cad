"""A key by hand: waking ends every rest and says so, disabling one leaves the others of its account as they are."""

from __future__ import annotations

import pytest

from limner.sql import audit, keys
from limner.sql.key_events import events

REST = """
insert into group_rest (provider_id, account_group, model_id, until, cause)
select provider_id, account_group, m.id, now() + interval '1 hour', 'daily quota' from provider_key as k
cross join lateral (select id from model where provider_id = k.provider_id order by id limit 1) as m
where k.id = $1
"""
OWN = """
insert into key_rest (key_id, model_id, until, cause)
select k.id, m.id, now() + interval '1 hour', 'too fast' from provider_key as k
cross join lateral (select id from model where provider_id = k.provider_id order by id desc limit 1) as m
where k.id = $1
"""


@pytest.fixture
async def pair(stage, db) -> list[int]:
    """Two keys of one account, which rests from a model; the first rests from another one, and has failed twice."""
    found = [await stage.key(), await stage.key()]
    await db.execute("update provider_key set account_group = 'team' where id = any($1)", found)
    await db.execute(REST, found[0])
    await db.execute(OWN, found[0])
    await db.execute("update provider_key set failures = 2 where id = $1", found[0])
    return found


async def by_id(db, key_id: int) -> dict:
    return next(key for key in await keys.listing(db) if key["id"] == key_id)


async def last_act(db) -> audit.Entry | None:
    found = [entry for entry in await audit.listing(db) if entry.action == "key.state"]
    return found[0] if found else None


async def test_the_rests_of_its_account_are_seen_on_every_key_of_it(db, pair):
    first, second = [await by_id(db, key) for key in pair]
    assert "daily quota" in first["rests"] and "too fast" in first["rests"]
    assert "daily quota" in second["rests"] and "too fast" not in second["rests"]


async def test_waking_a_key_that_is_active_ends_its_rests_and_stands_in_the_audit_and_among_its_events(db, pair):
    await keys.set_state(db, pair[0], "active", "it works again", actor="carol@example.com")
    first, second = [await by_id(db, key) for key in pair]
    assert first["rests"] is None and second["rests"] is None and first["failures"] == 0
    act = await last_act(db)
    assert act is not None and act.after is not None
    assert act.after["rests_ended"] == {"own": 1, "account": 1} and act.after["reason"] == "it works again"
    ended = [each["cause"] for each in await events(db, pair[0]) if each["state_before"] == "rests"]
    assert ended == ["its rest is over"] * 2, "its own and its account's, each told once"


async def test_waking_a_key_that_rests_from_nothing_changes_nothing(db, pair):
    await keys.set_state(db, pair[0], "active", "again", actor="carol@example.com")
    before = len(await audit.listing(db))
    await keys.set_state(db, pair[0], "active", "and again", actor="carol@example.com")
    assert len(await audit.listing(db)) == before


async def test_disabling_a_key_does_not_wake_the_others_of_its_account(db, pair):
    await keys.set_state(db, pair[0], "disabled", "too dear", actor="carol@example.com")
    first, second = [await by_id(db, key) for key in pair]
    assert first["state"] == "disabled" and "daily quota" in second["rests"]
    act = await last_act(db)
    assert act is not None and act.after == {"state": "disabled", "reason": "too dear", "rests_ended": {"own": 1}}
