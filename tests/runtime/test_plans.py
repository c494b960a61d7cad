"""Plans: whatever the table was when a plan was made, no statement of the mailbox ever reads it from end to end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from limner.runtime import mailbox, presence, upkeep
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from tests.conftest import held

pytestmark = pytest.mark.timeout(90)

OWNER = uuid4()
STATEMENTS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "claim": (mailbox.CLAIM, ("m", OWNER, 10, 0, -mailbox.UTMOST), "message_waiting"),
    "acknowledge and claim": (mailbox.ACK_AND_CLAIM, ("m", OWNER, 10, 7, 0, [1], [1]), "message_waiting"),
    "claim humbly": (mailbox.CLAIM_HUMBLY, ("m", OWNER, 10, 0, mailbox.UTMOST), "message_waiting"),
    "claim a suspect": (mailbox.CLAIM_SUSPECT, ("m", OWNER), "message_later"),
    "claim fairly": (mailbox.CLAIM_FAIRLY, ("m", OWNER, 10, False), "message_waiting"),
    "acknowledge": (mailbox.ACK_MANY, (OWNER, [1, 2], [1, 1]), "message_pkey"),
    "look": (upkeep.LOOK, (["m"], 1000), "message_later"),
    "rescue": (upkeep.RESCUE, (15.0,), "message_in_hand"),
    "give back": (upkeep.GIVE_BACK, (OWNER, "m", [], []), "message_in_hand"),
    "forget": (presence.FORGET, (), ""),
}
EXPLAIN = """
load 'auto_explain';
set auto_explain.log_min_duration = 0;
set auto_explain.log_nested_statements = on;
set auto_explain.log_analyze = on;
set auto_explain.log_timing = off;
set auto_explain.log_format = json;
set auto_explain.log_level = notice
"""
FILL = """
insert into message (mailbox, kind, payload, partition, state, ready_at, deadline)
select 'm', 'K', '{}', case when n % 2 = 0 then '' else 'p' || n % 50 end, $1,
    now() + interval '1 hour', now() + interval '2 hours' from generate_series(1, 100000) as n
"""
OFTEN = 8
"""After five runs Postgres may keep a plan for good."""


class Reader:
    """One connection, as a worker's pool has them, that reads the plans of what it really ran."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._said: list[str] = []
        connection.add_log_listener(self._hear)

    def _hear(self, _: Any, message: Any) -> None:
        self._said.append(message.message)

    def leave(self) -> None:
        self._connection.remove_log_listener(self._hear)

    async def run(self, name: str) -> list[dict[str, Any]]:
        """Run it in a transaction that is rolled back; gives the nodes of all its plans."""
        sql, arguments, _ = STATEMENTS[name]
        self._said.clear()
        turn = self._connection.transaction()
        await turn.start()
        await self._connection.fetch(sql, *arguments)
        await turn.rollback()
        await self._connection.execute("select 1")  # what was said before this has been heard by now
        plans = [json.loads(said[said.index("{") :])["Plan"] for said in self._said if "{" in said]
        assert plans
        return [node for plan in plans for node in nodes(plan)]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.fixture
async def reader(dsn: str) -> AsyncIterator[Reader]:
    async with held(open_database(dsn, role="test", pool=1)) as db:
        await db.execute(presence.REGISTER, OWNER, "test", "here", 1)
        await _kept_alive(db)
        async with db.pool.acquire() as connection:
            await connection.execute(EXPLAIN)
            reader = Reader(connection)
            yield reader
            reader.leave()


async def _kept_alive(db: Database) -> None:
    await db.execute("update worker set seen_at = now() + interval '1 hour'")


@pytest.fixture
async def boss(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def looks(reader: Reader, *, times: int = 1) -> dict[str, list[dict[str, Any]]]:
    for _ in range(times - 1):
        for name in STATEMENTS:
            await reader.run(name)
    return {name: await reader.run(name) for name in STATEMENTS}


def by_index(found: dict[str, list[dict[str, Any]]], when: str) -> None:
    """Every statement used its index, and none read the table."""
    for name, plan in found.items():
        read = [node["Node Type"] for node in plan if node.get("Relation Name") == "message"]
        assert "Seq Scan" not in read, f"{name}, {when}"
        wanted = STATEMENTS[name][2]
        assert not wanted or wanted in {node.get("Index Name") for node in plan}, f"{name}, {when}"


def looked_at(found: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """How many rows each statement looked at, those that it threw away included."""
    return {
        name: max(
            (each.get("Actual Rows", 0) + each.get("Rows Removed by Filter", 0)) * each.get("Actual Loops", 1)
            for each in plan
        )
        for name, plan in found.items()
    }


async def test_plans_made_on_an_empty_table_do_for_a_full_one_that_nobody_analysed(reader, boss):
    await boss.execute("alter table message set (autovacuum_enabled = off)")
    await looks(reader, times=OFTEN)
    await boss.execute(FILL, 0)
    found = await looks(reader)
    by_index(found, "filled after the plans were made")
    assert max(looked_at(found).values()) < 1500


async def test_plans_hold_on_a_full_an_emptied_a_vacuumed_and_a_refilled_table(reader, boss):
    await boss.execute("alter table message set (autovacuum_enabled = off)")
    await boss.execute(FILL, 0)
    await boss.execute("analyze message")
    by_index(await looks(reader, times=OFTEN), "full and analysed")
    await boss.execute("delete from message")
    by_index(await looks(reader, times=OFTEN), "just emptied")
    await boss.execute("vacuum (analyze) message")
    by_index(await looks(reader, times=OFTEN), "vacuumed")
    await boss.execute(FILL, 0)
    by_index(await looks(reader, times=OFTEN), "refilled")
    await boss.execute("analyze message")
    found = await looks(reader, times=OFTEN)
    by_index(found, "refilled and analysed")
    assert max(looked_at(found).values()) < 1500


async def test_a_hundred_thousand_scheduled_messages_are_not_looked_at_one_by_one(reader, boss):
    await boss.execute("alter table message set (autovacuum_enabled = off)")
    await boss.execute(FILL, 2)
    await boss.execute("vacuum (analyze) message")
    found = await looks(reader, times=OFTEN)
    by_index(found, "all scheduled")
    assert max(looked_at(found).values()) < 1500


async def test_what_is_due_comes_in_thousands_the_most_overdue_first(db, boss):
    await boss.execute(FILL, 2)
    await boss.execute("update message set ready_at = now() - make_interval(secs => id) where id <= 2500")
    assert (await upkeep.look(db, ["m"]))["m"][:3] == (1000, 0, 0.0)
    assert await db.fetchval("select min(id) from message where state = 0") == 1501
    assert (await upkeep.look(db, ["m"]))["m"][:3] == (1000, 0, 0.0)
    look = (await upkeep.look(db, ["m"]))["m"]
    assert look.promoted == 500
    assert 3500 < look.next_in <= 3600
