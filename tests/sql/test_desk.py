"""The operator's desk: what the command line shows and does."""

from __future__ import annotations

import json
import os
import re
import time

import pytest

from limner.runtime import mailbox
from limner.runtime.errors import NotFound
from limner.runtime.presence import Presence
from limner.sql import crew, desk, tokens
from limner.sql.billing import CheckOpenInvoices


def cashier(**more: object) -> dict[str, object]:
    """What the Cashier's supervisor reports of it."""
    report = {"name": "Cashier", "state": "running", "since": time.time() - 300, "restarts": 0, "last_error": ""}
    counts = {"in_hand": 1, "handled": 7, "failed": 2, "found_by_poll": 3, "pace": 0.25, "rate": 1.5}
    return report | {"mailbox": "billing"} | counts | more


@pytest.fixture
async def worker(db) -> Presence:
    worker = Presence(db, "worker", lease=3)
    bus = {"name": "bus", "state": "degraded", "since": time.time() - 7, "restarts": 3, "last_error": "no route"}
    counter = {"name": "counter", "state": "running", "since": time.time() - 7300, "children": [cashier()]}
    worker.children = lambda: [counter, bus]
    await worker.beat()
    return worker


def rows(text: list[str]) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text if line.strip()}


async def test_actors_shows_the_tree_of_each_living_process(db, config, worker):
    lines = await desk.tree(config)
    assert re.match(rf"worker   {str(worker.id)[:8]}  \S+:{os.getpid()}  running for \d s, heard \d s ago", lines[0])
    assert re.match(r"  counter       running         2 h", lines[1])
    assert re.match(r"    Cashier     running       5 min  in hand 1, handled 7, failed 2", lines[2])
    assert re.match(r"  bus           degraded        7 s  restarted 3 times  last error: no route", lines[3])
    await worker.leave()
    assert (await desk.tree(config))[0] == "no process is alive"


async def test_actors_shows_how_full_and_how_busy_each_mailbox_is(db, config, worker):
    second = Presence(db, "worker", lease=3)
    second.children = lambda: [cashier(handled=3, rate=0.25, pace=0.75, in_hand=0)]
    await second.beat()
    await mailbox.send(db, CheckOpenInvoices())
    await mailbox.send(db, CheckOpenInvoices(), delay=50)
    await db.execute("update message set ready_at = now() - interval '200 seconds' where state = 0")
    await db.execute(
        "insert into message (mailbox, kind, payload, partition) select 'painting', '', '{}', n::text "
        "from generate_series(1, 5) as n"
    )
    await db.execute("insert into message (mailbox, kind, payload, deaths, state) values ('cursed', '', '{}', 2, 3)")
    await db.execute(
        "insert into message (mailbox, kind, payload, state, owner) values ('held', '', '{}', 1, $1)", worker.id
    )
    shown = rows(await desk.tree(config))
    assert " ".join(shown["billing"]) == "billing 1 0 1 3 min 1.75/s 0.500 s 10 4 6 0"
    assert shown["painting"][:4] == ["painting", "5", "0", "0"]
    assert shown["cursed"][1] == "1"
    assert shown["held"][1:4] == ["0", "1", "0"]


async def test_actors_as_data_says_the_same(db, config, worker):
    await mailbox.send(db, CheckOpenInvoices())
    census = json.loads(json.dumps(await desk.census(config)))
    (process,), (box,) = census["processes"], census["mailboxes"]
    assert (process["id"], process["role"], process["pid"]) == (str(worker.id), "worker", os.getpid())
    assert process["children"][0]["children"][0]["since"] == pytest.approx(300, abs=5)
    assert {name: box[name] for name in ("mailbox", "waiting", "rate", "pace", "failed", "by_poll", "more_than")} == {
        "mailbox": "billing", "waiting": 1, "rate": 1.5, "pace": 0.25, "failed": 2, "by_poll": 3, "more_than": [],
    }  # fmt: skip


async def test_a_long_line_is_not_counted_to_its_end(db, config):
    many = (
        "insert into message (mailbox, kind, payload, state, ready_at) "
        "select $1, '', '{}', $2, now() - interval '1 hour' from generate_series(1, $3)"
    )
    await db.execute(many, "billing", 0, crew.MOST + 500)
    await db.execute(many, "tidying", 2, crew.MOST + 500)
    shown = rows(await desk.tree(config))
    assert shown["billing"][1:6] == ["100,000+", "0", "0", "60", "min"]
    assert shown["tidying"][3] == "100,000+"
    assert [box["more_than"] for box in (await desk.census(config))["mailboxes"]] == [["waiting"], ["later"]]


async def test_a_drained_worker_hears_of_it_with_its_next_heartbeat_and_goes_on_later(db, config):
    worker = Presence(db, "worker", lease=3)
    await worker.beat()
    assert await desk.pause(config, str(worker.id)[:8], paused=True) == "1 asked to take nothing new"
    await worker.beat()
    assert worker.is_paused
    await desk.pause(config, "all", paused=False)
    await worker.beat()
    assert not worker.is_paused


async def test_draining_nobody_is_an_error_that_says_so(config):
    with pytest.raises(NotFound, match="'nobody'"):
        await desk.pause(config, "nobody", paused=True)


async def test_a_key_is_added_and_listed_without_its_secret(config):
    assert "in the pool of simulator" in await desk.add_key(config, "simulator", "night shift", "canary-secret-1234")
    listing = "\n".join(await desk.list_keys(config))
    assert "night shift" in listing
    assert "…1234" in listing
    assert "canary" not in listing


CAPS = {"scopes": (), "per_day": 5, "per_month": None, "models": (), "networks": ("192.0.2.0/24",), "expires": None}


async def test_an_operator_makes_lists_and_revokes_tokens(db, config, cast):
    token = await desk.create_token(config, "alice@example.com", "a script", **CAPS)
    found = await tokens.find(db, token, ip="", per_minute=60, takes=False)
    assert found is not None
    assert (found.account_id, found.allows_address("192.0.2.7"), found.allows_address("::ffff:192.0.2.7")) == (
        cast.alice.id, True, True,
    )  # fmt: skip
    assert not any(found.allows_address(address) for address in ("198.51.100.1", "2001:db8::1", "", "x"))
    line = (await desk.list_tokens(config, "alice@example.com"))[0]
    assert re.search(rf"…{re.escape(token[-4:])}  active +0 today +0 this month  a script", line)
    assert await desk.revoke_token(config, found.id) == "'a script' is revoked"
    assert await tokens.find(db, token, ip="", per_minute=60, takes=False) is None
    with pytest.raises(NotFound):
        await desk.revoke_token(config, found.id)
    with pytest.raises(NotFound):
        await desk.create_token(config, "nobody@example.com", "x", **CAPS)
    assert await desk.list_tokens(config, "bob@example.com") == ["bob@example.com has no tokens"]
