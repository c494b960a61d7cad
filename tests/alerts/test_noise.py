"""A day of everyday noise: short faults, flutter, rests of a minute, slow minutes. Nobody is told anything."""

from __future__ import annotations

import os
import random
from datetime import timedelta

import pytest

from limner.sql import rests
from tests.alerts.drills import attempted, lived_for_an_hour, ordered, paid

STEP = 60 if os.environ.get("FAULT_FULL") else 1800
"""Seconds between two looks of that day."""
PASS = (
    "update job set created_at = created_at - $1::interval where state = 'queued'",
    "update attempt set finished_at = finished_at - $1::interval, started_at = started_at - $1::interval",
    "update key_rest set until = until - $1::interval",
    "update proxy set rests_until = rests_until - $1::interval",
    "update notice set created_at = created_at - $1::interval",
    "update invoice set paid_at = paid_at - $1::interval where paid_at is not null",
    "update backup_run set started_at = started_at - $1::interval, ended_at = ended_at - $1::interval",
)
REFUSED = "insert into notice (channel, recipient, body, attempts, failed_at) values ('mail', 'b@x', '', 1, now())"


@pytest.mark.timeout(3600)
async def test_a_day_of_noise_tells_nobody_anything(watched):
    """Each hour has its troubles, each of them short of what its rule asks for; told would be false."""
    db, dice = watched.db, random.Random(7)
    refused = dice.sample(range(0, 86400, STEP), 4)  # mails: a fifth one within a day is told
    for role in ("web", "bot"):
        await lived_for_an_hour(watched, role, 0)
    await db.execute("insert into backup_run (kind, state, ended_at) values ('backup', 'done', now())")
    for second in range(0, 86400, STEP):
        if second % 3600 == 0:
            job = await ordered(watched)  # no job has as many attempts as a day of minutes
        for statement in PASS:
            await db.execute(statement, timedelta(seconds=STEP))
        await _a_moment(watched, dice, job)
        if second in refused:
            await db.execute(REFUSED)
        found = await watched.look()
        assert found == [], f"at {second // 3600}:{second // 60 % 60:02d}: {[alert.words for alert in found]}"
        await watched.later(STEP)
    assert await watched.texts() == []
    assert await db.fetchval("select count(*) from alert") == 0


async def _a_moment(watched, dice: random.Random, job) -> None:
    """What may happen in any minute of a good day."""
    db = watched.db
    await db.execute(
        "update notice set sent_at = now() where channel = 'mail' and created_at < now() - interval '600 seconds'"
    )
    for role, longest in (("worker", 25), ("web", 55), ("bot", 55)):
        ago = dice.uniform(0, longest)
        await db.execute("update worker set seen_at = now() - make_interval(secs => $1) where role = $2", ago, role)
    told = dice.choice(["polling", "polling", "waiting", "starting"])
    await db.execute("update worker set children = $1 where role = 'bot'", [{"name": "poller", "state": told}])
    await db.execute(
        "update job set created_at = now() - make_interval(secs => $1) where state = 'queued'", dice.uniform(0, 115)
    )
    await db.execute("delete from attempt where finished_at < now() - interval '15 minutes'")
    await attempted(watched, job, dice.randint(20, 40), None)
    await attempted(watched, job, dice.randint(0, 6), dice.choice(["upstream_5xx", "rate_limited", "timeout_unknown"]))
    await attempted(watched, job, dice.randint(0, 60), "moderation_input")
    for row in await db.fetch("select id from provider_key"):
        if dice.random() < 0.8:
            await rests.rest(db, row["id"], "demo", dice.uniform(5, 55), "rate_limited")
    if dice.random() < 0.3:
        clock, free = dice.uniform(-4.5, 4.5), dice.uniform(11, 30)
        machine = f'{{"clock": {clock}, "path": "/data", "bytes": 1e11, "free": {free}}}'
        await db.execute("update worker set machine = $1::text::jsonb", machine)
    if dice.random() < 0.05:  # for a moment a clock jumps, and somebody fills the disk: gone with the next look
        await db.execute("""update worker set machine = '{"clock": 40, "path": "/data", "bytes": 1e11, "free": 3}'""")
        await watched.look()
        await db.execute("""update worker set machine = '{"clock": 0, "path": "/data", "bytes": 1e11, "free": 30}'""")
    if dice.random() < 0.1:
        await paid(watched)
        await paid(watched)
        heard = await paid(watched)
        await db.execute(
            "insert into payment_event (processor, event_ref, invoice_id, kind) values ('sandbox', $1, $2, 'x')",
            str(heard),
            heard,
        )
    if dice.random() < 0.1:
        await db.execute("insert into notice (channel, recipient, body) values ('mail', 'a@example.com', 'x')")
    if await db.fetchval("select min(ended_at) < now() - interval '20 hours' from backup_run"):
        await db.execute("update backup_run set ended_at = now()")
