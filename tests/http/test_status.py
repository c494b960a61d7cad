"""The public status page: honest about real jobs, mute about all else, and never the reason for a load or an error."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import anyio
import orjson
import pytest

from limner.http.status import Watch
from limner.sql import alerts, keys, status
from limner.sql.alerts import Trouble
from limner.sql.status import Reading
from tests.http.test_health import on_the_wire as on_the_wire
from tests.http.test_health import wire as wire

GOOD = Reading(
    now=datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC), has_worker=True, takes_work=True, bot="up", payments_late=False,
    delivered_ago=90.0, line=0.0, delivered=12, failed=0, wait=0.4, median=6.6,
)  # fmt: skip
ALIVE = "insert into worker (id, role, host, pid, children) values ($1, $2, 'canary-host', 1, $3)"
ENDED = """
with g as (
    insert into generation (account_id, thread_id, model_id, prompt, width, height, count, credits, state)
    select $1, gen_random_uuid(), 'demo', 'canary-prompt', 512, 512, 1, 1, 'delivered' from generate_series(1, $2::int)
    returning id
),
j as (
    insert into job (generation_id, account_id, position, credits, seed, state, created_at, started_at, finished_at, deadline)
    select id, $1, 1, 1, 7, $3, $4::timestamptz - make_interval(secs => $5), $4::timestamptz - make_interval(secs => $6),
        $4::timestamptz, now() from g
    returning id
)
insert into attempt (job_id, number, key_id, model_id, fault, started_at, expires_at, finished_at)
select id, 1, (select min(id) from provider_key), 'demo', $7, now(), now(), now() from j where $7::text is not null
"""
WAITING = """
with g as (
    insert into generation (account_id, thread_id, model_id, prompt, width, height, count, credits)
    values ($1, gen_random_uuid(), 'demo', 'canary-prompt', 512, 512, 1, 1) returning id
)
insert into job (generation_id, account_id, position, credits, seed, state, created_at, deadline)
select id, $1, 1, 1, 7, $2, now() - make_interval(secs => $3), now() + interval '1 hour' from g
"""

SENT = """
insert into message (mailbox, kind, payload, state, created_at) values ('billing', 'CheckInvoice', '{}', $1, now() - $2::interval)
"""


async def alive(db, role: str = "worker", children: list[dict[str, Any]] | None = None) -> None:
    await db.execute(ALIVE, uuid4(), role, children or [])


async def ended(
    db, account, count: int, state: str = "delivered", *, at: datetime | None = None, took: float = 8.2,
    waited: float = 0.5, fault: str | None = None,
) -> None:  # fmt: skip
    """Pictures that ended at a moment; a second ago unless told."""
    moment = at or await db.fetchval("select now() - interval '1 second'")
    await db.execute(ENDED, account.id, count, state, moment, took, took - waited, fault)


async def look(db, **options: Any) -> Any:
    """The board, read anew, as programs see it."""
    return await Watch(db, 15, fresh=0, **options).look()


async def asked(browser) -> dict[str, Any]:
    page = await browser.get("/status.json")
    assert page.status == 200
    return orjson.loads(page.body)


async def test_everybody_may_read_it_and_it_leaves_nothing_behind(stranger, alice, db):
    await alive(db)
    for browser in (stranger, alice):
        for path in ("/status", "/status.json"):
            page = await browser.get(path)
            assert (page.status, page.headers["Cache-Control"]) == (200, "public, max-age=5")
            assert page.cookies() == {}
    page = await alice.get("/status")
    assert "All is well" in page.text
    assert "alice" not in page.text
    assert 'href="/status"' in (await stranger.get("/")).text


async def test_without_a_worker_nothing_is_being_painted(stranger):
    assert (await asked(stranger))["state"] == "nothing"
    page = await stranger.get("/status")
    assert '<h1 class="mt-1">Nothing is being painted</h1>' in page.text
    assert "does not answer" in page.text


async def test_real_jobs_feed_it(db, cast):
    await alive(db)
    await ended(db, cast.alice, 19, took=7.4)
    await ended(db, cast.alice, 1, "failed")
    board = await look(db)
    assert (board.state, board.share, board.median_seconds) == ("well", 95, 7)
    assert board.last_delivered is not None
    assert board.last_delivered.second == 0
    assert timedelta(0) <= board.at - board.last_delivered < timedelta(minutes=2)
    assert len(board.hours) == 24 and len(board.days) == 7
    assert board.days[-1].share == 95 or board.at.hour == 0
    assert [bar.share for bar in board.hours[:20]] == [None] * 20


async def test_each_bar_is_the_share_of_its_own_time(db, cast):
    hour = (await db.fetchval("select now()")).replace(minute=0, second=0, microsecond=0)
    five, eight, thirty = (hour - timedelta(hours=back) for back in (5, 8, 30))
    await ended(db, cast.alice, 3, at=five)
    await ended(db, cast.alice, 1, "failed", at=five + timedelta(seconds=3599))
    await ended(db, cast.alice, 2, "failed", at=eight)
    await ended(db, cast.alice, 5, at=thirty)
    await ended(db, cast.alice, 5, "failed", at=hour - timedelta(days=8))
    board = await look(db)
    assert {bar.at: bar.share for bar in board.hours if bar.share is not None} == {five: 75, eight: 0}
    days: dict[datetime, list[int]] = {}
    for at, delivered, failed in ((five, 3, 1), (eight, 0, 2), (thirty, 5, 0)):
        sums = days.setdefault(at.replace(hour=0), [0, 0])
        sums[0], sums[1] = sums[0] + delivered, sums[1] + failed
    expected = {at: status.share(*sums) for at, sums in days.items()}
    assert {bar.at: bar.share for bar in board.days if bar.share is not None} == expected
    midnight = board.at.replace(hour=0, minute=0, second=0, microsecond=0)
    assert [bar.at for bar in board.days] == [midnight - timedelta(days=back) for back in reversed(range(7))]


async def test_what_its_owner_brought_about_is_not_the_studios_failure(db, cast):
    await alive(db)
    await ended(db, cast.alice, 5)
    await ended(db, cast.alice, 20, "failed", fault="moderation_input")
    await ended(db, cast.alice, 20, "canceled")
    board = await look(db)
    assert (board.state, board.share, board.hours[-1].share or board.hours[-2].share) == ("well", 100, 100)
    await ended(db, cast.alice, 3, "failed", fault="upstream_5xx")
    board = await look(db)
    assert (board.state, board.share) == ("partly", 60)
    assert board.troubles == ["More pictures than usual cannot be painted. Nothing is charged for them."]


async def test_who_waits_for_others_makes_it_slow_and_who_waits_for_themselves_does_not(db, cast):
    await alive(db)
    await db.execute(WAITING, cast.alice.id, "queued", 130.0)
    assert (await look(db)).state == "slow"
    await db.execute(WAITING, cast.alice.id, "running", 140.0)
    assert (await look(db)).state == "well"
    await db.execute(WAITING, cast.bob.id, "queued", 700.0)
    assert (await look(db)).state == "nothing"
    await ended(db, cast.alice, 1)
    assert (await look(db)).state == "slow"


async def test_payments_that_are_stuck_are_late(db):
    await alive(db)
    assert (await look(db)).parts["payments"] == "up"
    for state in (0, 2):
        await db.execute(SENT, state, timedelta(minutes=4))
        assert (await look(db)).parts["payments"] == "up"
        await db.execute(SENT, state, timedelta(minutes=6))
        board = await look(db)
        assert (board.parts["payments"], board.state) == ("late", "partly")
        assert board.troubles == ["Payments are credited late. None is lost."]
        await db.execute("delete from message")
    await db.execute(
        "insert into dead_letter (id, mailbox, kind, partition, attempts, reason, payload, created_at)"
        " values (7, 'billing', 'CheckInvoice', '', 5, 'canary', '{}', now())"
    )
    assert (await look(db)).parts["payments"] == "late"


@pytest.mark.parametrize(
    ("poller", "part"),
    [("polling", "up"), ("waiting", "up"), ("conflict", "down"), ("deaf", "down"), ("no token", "off")],
)
async def test_the_bot_is_up_down_or_not_in_use(db, stranger, poller, part):
    await alive(db)
    assert (await look(db)).parts["bot"] == "down"
    await alive(db, "bot", [{"name": "poller", "state": poller}])
    assert (await look(db)).parts["bot"] == part
    assert ("Telegram bot" in (await stranger.get("/status")).text) == (part != "off")


@pytest.mark.parametrize(
    ("one", "other", "part"),
    [
        ("deaf", "waiting", "down"), ("conflict", "waiting", "down"),
        ("polling", "waiting", "up"), ("deaf", "polling", "up"),
    ],
)  # fmt: skip
async def test_a_bot_that_waits_for_its_turn_hears_nothing_in_the_place_of_one_that_is_deaf(db, one, other, part):
    for state in (one, other):
        await alive(db, "bot", [{"name": "poller", "state": state}])
    assert (await look(db)).parts["bot"] == part


async def test_a_worker_that_takes_nothing_paints_nothing_but_collects(db):
    await alive(db)
    await db.execute("update worker set paused = true")
    board = await look(db)
    assert (board.state, board.parts["painting"], board.parts["payments"]) == ("nothing", "down", "up")
    await db.execute("update worker set paused = false, seen_at = now() - interval '16 seconds'")
    assert (await look(db)).parts["payments"] == "down"


async def test_nothing_of_keys_people_or_amounts_is_told(db, cast, vault, stranger):
    key = await keys.add(db, vault, "openai", "canary-label", "sk-canary-secret-9876", actor="test")
    await ended(db, cast.alice, 4321)
    open_now = {
        f"key {key}": "Key canary-label …9876 (openai) is out of funds: canary",
        "bot_conflict": "canary",
        "bot_deaf": "canary",
        "no_bot": "canary",
        "no_web": "canary",
        "certificate": "canary",
        "disk_full": "canary 7 GB",
    }
    await alerts.see(db, [Trouble(cause, words) for cause, words in open_now.items()])
    await alive(db)
    page = (await stranger.get("/status")).text
    said = re.sub(r"/static/\w+/", "", page) + (await stranger.get("/status.json")).text
    assert said.count("One of our ways to paint is out of order. The others do its work.") == 2
    assert said.count("We were told of a trouble behind the scenes and look into it.") == 2
    forbidden = (
        "canary",
        "openai",
        "certificate",
        "9876",
        "4321",
        "4,321",
        "alice",
        "example.com",
        f"key {key}",
        "disk",
        "conflict",
    )
    assert [word for word in forbidden if word in said] == []
    assert " style=" not in page
    assert re.findall(r"<script[^>]*>[^<]", page) == []


async def test_whoever_asks_however_often_the_database_is_asked_once(db):
    await alive(db)
    watch = Watch(db, 15, fresh=3600)
    boards: list[Any] = []

    async def one() -> None:
        boards.append(await watch.look())

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    await db.execute("delete from worker")
    boards.append(await watch.look())
    assert len({id(board) for board in boards}) == 1
    assert (len(boards), boards[0].state) == (51, "well")
    assert (await look(db)).state == "nothing"


async def test_while_the_database_hangs_the_old_is_told_at_once_and_then_that_nobody_knows(db):
    await alive(db)
    watch = Watch(db, 15, fresh=0)
    before = await watch.look()
    boards: list[Any] = []

    async def one() -> None:
        boards.append(await watch.look())

    async with db.transaction() as tx, anyio.create_task_group() as group:
        await tx.execute("lock table job")
        group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert await watch.look() is before
        assert boards == []
    assert [board.state for board in boards] == ["unknown"]


async def test_the_past_is_read_once_and_the_last_hours_again(db, cast):
    await alive(db)
    watch = Watch(db, 15, fresh=0)
    await ended(db, cast.alice, 1, at=datetime.now(UTC) - timedelta(days=2))
    await ended(db, cast.alice, 1, "failed")
    before = await watch.look()
    await db.execute("delete from job where finished_at < now() - interval '1 day'")
    await ended(db, cast.alice, 1)
    after = await watch.look()
    assert before.days[-3].share == after.days[-3].share == 100
    assert [bar.share for bar in before.hours if bar.share is not None] == [0]
    assert [bar.share for bar in after.hours if bar.share is not None] in ([50], [0, 100])


async def test_without_its_database_it_says_so_and_comes_back(on_the_wire, wire, cast):
    db = on_the_wire.db
    await alive(db)
    watch = Watch(db, 15, fresh=0)
    assert (await watch.look()).state == "well"
    browser = await on_the_wire.browser(cast.alice)
    wire.cut()
    page = await browser.get("/status")
    assert (page.status, "We do not know" in page.text) == (200, True)
    assert (await asked(browser))["parts"] == {
        "site": "up",
        "painting": "unknown",
        "payments": "unknown",
        "bot": "unknown",
    }
    board = await watch.look()
    assert (board.state, board.troubles, board.median_seconds) == ("unknown", [], None)
    assert len(board.hours) == 24  # what it knew of the past is still so
    await wire.mend()
    assert (await watch.look()).state == "well"


async def test_a_schema_that_it_cannot_read_is_no_error_either(stranger, db):
    await db.execute("alter table job rename to mislaid")
    page = await stranger.get("/status")
    assert (page.status, "We do not know" in page.text) == (200, True)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "well"),
        ({"delivered": 0, "delivered_ago": None, "median": None, "wait": None}, "well"),
        ({"takes_work": False}, "nothing"),
        ({"line": 601.0, "delivered_ago": 601.0}, "nothing"),
        ({"line": 601.0, "delivered_ago": None}, "nothing"),
        ({"line": 601.0, "delivered_ago": 599.0}, "slow"),
        ({"line": 599.0, "delivered_ago": 601.0}, "slow"),
        ({"delivered": 0, "failed": 3}, "nothing"),
        ({"delivered": 0, "failed": 2}, "partly"),
        ({"delivered": 0, "failed": 1}, "well"),
        ({"delivered": 18, "failed": 2}, "well"),
        ({"delivered": 17, "failed": 2}, "partly"),
        ({"payments_late": True}, "partly"),
        ({"line": 121.0}, "slow"),
        ({"line": 120.0}, "well"),
        ({"wait": 61.0}, "slow"),
        ({"bot": "down"}, "well"),
        ({"causes": ("key 7",)}, "well"),
    ],
)
def test_one_word_for_how_it_is(change, state):
    assert status.judge(replace(GOOD, **change)) == state


@pytest.mark.parametrize(
    ("delivered", "failed", "percent"), [(0, 0, None), (1, 0, 100), (0, 1, 0), (999, 1, 95), (19, 1, 95), (2, 1, 65)]
)
def test_a_share_comes_in_steps_and_is_never_better_than_it_is(delivered, failed, percent):
    assert status.share(delivered, failed) == percent


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, 1), (6.6, 7), (59.4, 59), (61.0, 60), (63.0, 65)])
def test_seconds_are_shown_without_false_precision(seconds, shown):
    assert status.rounded(seconds) == shown


def test_the_words_of_an_alert_fit_how_it_is():
    seen = replace(GOOD, causes=("key 7", "key 8", "no_worker", "queue_waits"))
    assert status.troubles(seen) == [
        "One of our ways to paint is out of order. The others do its work.",
        "Nothing is painted at the moment. What was ordered waits, and is kept.",
        "Pictures wait longer than usual.",
    ]
    assert status.troubles(replace(seen, takes_work=False)) == ["Some of our ways to paint are out of order."]
