"""Group commit: who sends at the same time shares a commit, and nobody suffers for another's mistake."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import Any

import anyio
import asyncpg
import pytest

from limner.runtime import mailbox
from limner.runtime.database import BREATH
from limner.runtime.mailbox import Message
from limner.runtime.opening import open_database
from limner.runtime.post import SEND_ONE, SENT


@dataclass(frozen=True)
class Note(Message):
    """Note something down."""

    mailbox = "notes"
    text: Any


async def texts(db) -> list[Any]:
    return [row["text"] for row in await db.fetch("select payload->>'text' as text from message order by id")]


async def test_many_callers_share_commits_and_each_gets_its_own_id(db):
    before = await db.fetchval("select xact_commit from pg_stat_database where datname = current_database()")
    ids: dict[int, int] = {}

    async def send(number: int) -> None:
        ids[number] = await mailbox.send(db, Note(str(number)))

    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(send, number)
    rows = {row["id"]: row["text"] for row in await db.fetch("select id, payload->>'text' as text from message")}
    assert {rows[ids[number]] for number in range(200)} == {str(number) for number in range(200)}
    assert all(rows[ids[number]] == str(number) for number in range(200))
    await db.execute("select pg_stat_force_next_flush()")
    after = await db.fetchval("select xact_commit from pg_stat_database where datname = current_database()")
    assert after - before < 100


async def test_equal_keys_in_one_group_are_sent_once(db):
    outcomes: list[int | None] = []

    async def send() -> None:
        outcomes.append(await mailbox.send(db, Note("once"), key="same"))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(send)
    assert len([each for each in outcomes if each is not None]) == 1
    assert await texts(db) == ["once"]


async def test_one_bad_message_in_a_group_fails_alone(db):
    failed: list[str] = []

    async def send(text: Any) -> None:
        try:
            await mailbox.send(db, Note(text))
        except asyncpg.DataError:
            failed.append(text)

    async with anyio.create_task_group() as group:
        for text in ["a", "b", "nul \x00 in it", "c", "d"]:
            group.start_soon(send, text)
    assert failed == ["nul \x00 in it"]
    assert sorted(await texts(db)) == ["a", "b", "c", "d"]


async def test_a_caller_that_is_cancelled_leaves_one_message_or_none(db):
    for number in range(30):
        with anyio.move_on_after(0.0002 * number):
            await mailbox.send(db, Note(str(number)), key=f"key {number}")
    found = await texts(db)
    assert len(found) == len(set(found))
    await mailbox.send(db, Note("afterwards"))  # nobody is left waiting for a leader that went
    assert (await texts(db))[-1] == "afterwards"


async def test_followers_of_a_cancelled_leader_are_sent_all_the_same(db):
    sent: list[str] = []

    async def send(text: str) -> None:
        await mailbox.send(db, Note(text))
        sent.append(text)

    async with anyio.create_task_group() as group:
        for number in range(10):
            with anyio.CancelScope() as scope:
                group.start_soon(send, f"follower {number}")
                scope.cancel()
    assert len(sent) == 10
    assert len(await texts(db)) == 10


async def test_a_bulk_is_sent_by_copy_in_one_transaction(db):
    await mailbox.send_many(db, [Note(str(number)) for number in range(5000)])
    assert await db.fetchval("select count(*) from message where state = 0 and ready_at <= now()") == 5000
    with pytest.raises(asyncpg.PostgresError):
        await mailbox.send_many(db, [Note("good"), Note("nul \x00 in it")])
    assert await db.fetchval("select count(*) from message") == 5000


@contextlib.asynccontextmanager
async def with_commits_that_wait(db):
    """Tests run on a Postgres that does not wait for the disk; here it does."""
    name = await db.fetchval("select current_database()")
    await db.execute(f'alter database "{name}" set synchronous_commit = on')
    async with open_database(db.dsn, role="test") as waiting:
        yield waiting


async def test_what_is_sent_is_on_the_disk_before_the_sender_hears_of_it(db):
    """The actor is woken before that; the last commit of the procedure waits for the first one's WAL."""
    async with with_commits_that_wait(db) as waiting:
        for number in range(20):
            before = await waiting.fetchval("select pg_current_wal_insert_lsn()")
            await anyio.sleep(BREATH * 1.5)  # so that each brings its wake-up along
            await mailbox.send(waiting, Note(f"{number} {random.randbytes(500).hex()}"))
            assert await waiting.fetchval("select pg_current_wal_flush_lsn() - $1::pg_lsn >= 1000", before)


async def test_a_key_that_is_taken_is_taken_by_a_message_on_the_disk(db):
    """Who is told "taken" may rely on the other's message."""
    async with with_commits_that_wait(db) as one, open_database(db.dsn, role="test") as other:
        for number in range(20):
            before = await one.fetchval("select pg_current_wal_insert_lsn()")
            text = random.randbytes(500).hex()
            is_flushed: list[bool] = []

            async def send(each: Any, row: tuple[Any, ...], before: Any, is_flushed: list[bool]) -> None:
                if await each.fetchval(SEND_ONE, *row, SENT, Note.mailbox) is None:
                    is_flushed.append(
                        await each.fetchval("select pg_current_wal_flush_lsn() - $1::pg_lsn >= 1000", before)
                    )

            row = (Note.mailbox, "Note", {"text": text}, str(number), "", None, 0, 5, 0.0, None)
            async with anyio.create_task_group() as group:
                for each in (one, other):
                    group.start_soon(send, each, row, before, is_flushed)
            assert is_flushed == [True]
