"""Health: what every process says of itself, what waits, what was given up, and its new life."""

from __future__ import annotations

import re

import pytest

from limner.runtime import build, mailbox
from limner.runtime.presence import Presence
from limner.sql import accounts, backups, schema, vaults
from limner.sql.billing import CheckOpenInvoices
from tests.http.conftest import numbers

BURY = """
insert into dead_letter (id, mailbox, kind, partition, attempts, reason, payload, created_at)
values ($1, 'billing', 'CheckOpenInvoices', '', 5, $2, '{"secret": "canary-of-a-payload"}', now())
"""


def row(page, start: str) -> str:
    """The text of the table row that begins with these words."""
    for found in re.findall(r"<tr>(.*?)</tr>", page.text, re.DOTALL):
        text = " ".join(re.sub(r"<[^>]+>", " ", found).split())
        if text.startswith(start):
            return text
    raise AssertionError(f"no row begins with {start!r}")


async def test_every_process_is_there_with_what_it_says_of_itself(carol, db, config):
    worker = await vaults.enlist(db, config, "worker")
    broken = {"name": "Cashier", "state": "crashed", "since": 0, "restarts": 3, "last_error": "no route to the till"}
    worker.children = lambda: [{"name": "bus", "state": "running"}, broken]
    await worker.beat()
    await Presence(db, "web", lease=3).beat()
    await db.execute("update worker set seen_at = now() - interval '1 minute' where role = 'web'")
    page = await carol.get("/admin/health")
    said = row(page, "worker alive")
    assert f"{build.version()} {schema.head()}" in said
    assert re.search(r"\d+ MB", said)
    assert "Cashier: crashed no route to the till" in said
    assert "silent" in row(page, "web"), "no heartbeat for longer than a lease"


async def test_a_process_tells_a_change_of_its_memory_and_nothing_else(db, config, monkeypatch):
    worker = await vaults.enlist(db, config, "worker")
    worker.about = lambda: build.about(33) | {"memory": 100}
    await worker.beat()
    await worker.beat()
    first = await db.fetchval("select about from worker where id = $1", worker.id)
    assert first == {"version": build.version(), "schema": 33, "memory": 100}
    worker.about = lambda: build.about(33) | {"memory": 200}
    await worker.beat()
    assert (await db.fetchval("select about from worker where id = $1", worker.id))["memory"] == 200


def test_memory_is_told_in_steps_and_not_at_all_where_the_system_says_nothing(tmp_path):
    assert build.memory() % build.STEP == 0
    assert build.memory(tmp_path / "nothing") is None
    (tmp_path / "strange").write_text("what")
    assert build.memory(tmp_path / "strange") is None


async def test_mailboxes_schedule_copies_and_schema_are_there(carol, db):
    await mailbox.send(db, CheckOpenInvoices())
    await db.execute("insert into schedule (name, last_at) values ('look around', now())")
    run = await backups.begin(db, "backup", "20261128")
    await backups.end(db, run, "20261128", bytes=12_300_000)
    page = await carol.get("/admin/health")
    assert row(page, "billing").startswith("billing 1 0 0")
    assert row(page, "Look around")
    assert "12.3 MB" in page.text
    assert "Both fit." in page.text
    await db.execute("delete from schema_version where version = $1", schema.head())
    assert "Migrations are pending" in (await carol.get("/admin/health")).text


async def test_a_dead_letter_gets_a_new_life_with_a_reason_and_it_is_written_down(carol, db, cast):
    await db.execute(BURY, 900, "the till said: Bearer sk-canary-0123456789abcdef is wrong")
    page = await carol.get("/admin/health")
    assert "CheckOpenInvoices 900" in page.text
    assert "sk-canary" not in page.text and "canary-of-a-payload" not in page.text
    answer = await carol.act("/admin/health/letters/900/retry", {"reason": "the till is back"})
    assert answer.location == "/admin/health"
    assert await numbers(db, "dead_letter") == 0
    assert await db.fetchval("select kind from message where mailbox = 'billing'") == "CheckOpenInvoices"
    entry = await db.fetchrow("select * from audit where action = 'letter.retry'")
    assert (entry["actor"], entry["after"]) == (cast.carol.email, {"reason": "the till is back"})
    assert (await carol.act("/admin/health/letters/900/retry", {"reason": "twice"})).status == 404


@pytest.mark.parametrize("reason", ["", "x" * 301])
async def test_without_a_reason_nothing_happens(carol, db, reason):
    await db.execute(BURY, 901, "tired")
    page = await carol.act("/admin/health/letters/901/retry", {"reason": reason})
    assert (page.status, await numbers(db, "dead_letter"), await numbers(db, "message")) == (400, 1, 0)


async def test_letters_that_were_given_up_are_read_to_the_oldest(carol, db):
    for number in range(120):
        await db.execute(BURY, 1000 + number, f"why {number}.")
    seen, address = [], "/admin/health"
    while address:
        page = (await carol.get(address)).text
        seen += re.findall(r"why (\d+)\.", page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert sorted(map(int, seen)) == list(range(120))
    assert (await carol.get("/admin/health?before=x")).status == 400


async def test_a_letter_of_which_the_same_waits_already_stays(carol, db):
    await mailbox.send(db, CheckOpenInvoices(), key="once")
    await db.execute(BURY, 902, "tired")
    await db.execute("update dead_letter set key = 'once'")
    assert (await carol.act("/admin/health/letters/902/retry", {"reason": "again"})).status == 404
    assert (await numbers(db, "dead_letter"), await numbers(db, "message")) == (1, 1)


async def test_a_supporter_looks_and_acts_not(site, db, cast):
    await db.execute(BURY, 903, "tired")
    await db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    bob = await site.browser(await accounts.get(db, cast.bob.id))
    page = await bob.get("/admin/health")
    assert (page.status, "Try again" in page.text) == (200, False)
    assert (await bob.act("/admin/health/letters/903/retry", {"reason": "let me"})).status == 403
