"""The chain of the audit: what is changed, removed, put in, moved or cut off is found, and nobody who writes is lost."""

from __future__ import annotations

import hashlib
import json
from uuid import uuid4

import anyio
import asyncpg
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from limner.actors.janitor import AnchorAudit, Janitor
from limner.runtime.bus import Bus
from limner.runtime.cli import commands as cli
from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.sql import audit, chain, erasure
from limner.sql.chain import Anchor
from tests.conftest import VAULT_KEYS


async def acts(db, count=5):
    for number in range(count):
        await audit.record(
            db, "carol@example.com", "ledger.adjust", "user", {"available": number}, {"reason": f"n {number}"}
        )


async def test_every_row_is_a_link_from_the_moment_it_can_be_seen(db):
    before = (await chain.verify(db)).links
    await acts(db)
    found = await chain.verify(db)
    assert found.is_whole
    assert (found.links, found.rows) == (before + 5, before + 5)
    assert found.head == await chain.head(db)


async def test_what_is_rolled_back_leaves_no_gap(db):
    await acts(db, 1)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await acts(tx, 2)
            raise ZeroDivisionError
    await acts(db, 1)
    assert (await chain.verify(db)).is_whole


VANDALS = {
    "a row that is changed": ("update audit set actor = 'nobody' where id = $1", "row {} was changed"),
    "a reason that is changed": ("update audit set after = '{{}}' where id = $1", "row {} was changed"),
    "a moment that is changed": ("update audit set created_at = now() where id = $1", "row {} was changed"),
    "a row that is removed": ("delete from audit where id = $1", "row {} is gone"),
    "a row that is removed with its link": (
        "with a as (delete from audit where id = $1) delete from audit_link where audit_id = $1", "is gone, and the row",
    ),
    "a link that is changed": ("update audit_link set content = sha256('x') where audit_id = $1", "of row {}, does not follow"),
    "a link whose salt went": ("update audit_link set salt = null where audit_id = $1", "row {} was changed"),
    "a row that is put in": (
        "insert into audit (actor, action, subject) select 'a', 'b', 'c' where $1 > 0", "has no link",
    ),
    "two rows that changed places": (
        "update audit as x set before = y.before, after = y.after, created_at = y.created_at from audit as y "
        "where x.id in ($1, $1 + 1) and y.id in ($1, $1 + 1) and x.id <> y.id", "row {} was changed",
    ),
    "two links that changed places": (
        "update audit_link as x set audit_id = y.audit_id, content = y.content, salt = y.salt from audit_link as y "
        "where x.audit_id in ($1, $1 + 1) and y.audit_id in ($1, $1 + 1) and x.audit_id <> y.audit_id", "does not follow",
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", VANDALS)
async def test_the_first_row_that_was_meddled_with_is_named(db, dsn, harm):
    await acts(db, 7)
    row = await db.fetchval("select min(id) + 2 from audit where action = 'ledger.adjust'")
    statement, words = VANDALS[harm]
    vandal = await asyncpg.connect(dsn)
    await vandal.execute("set session_replication_role = replica")  # no trigger stands in the way
    await vandal.execute(statement.replace("{{}}", "{}").replace("$1", str(row)))
    await vandal.close()
    found = await chain.verify(db)
    assert words.format(row) in found.broken
    assert not found.is_whole


async def test_a_row_that_is_replaced_as_erasure_would_is_found_when_nobody_in_it_was_deleted(db, cast):
    """One trigger off for a moment: the change is chained as an erasure's would be, and all guards are there again."""
    await audit.record(db, "carol@example.com", "account.ban", cast.bob.email, None, {"reason": "x"})
    row = await db.fetchval("select max(id) from audit")
    name = f"deleted-{cast.alice.id}@invalid"
    await erasure.erase(db, cast.alice.id, actor="cli", why="asked for")
    assert (await chain.verify(db)).is_whole
    for after in ({"reason": "another"}, {"reason": name}):  # nor does the name of somebody who was deleted before help
        await db.execute("alter table audit disable trigger audit_append_only")
        await db.execute("update audit set after = $2 where id = $1", row, after)
        await db.execute("alter table audit enable trigger audit_append_only")
        found = await chain.verify(db)
        assert found.broken.startswith(f"row {row} was replaced, and nobody who was deleted stands in it")
        assert not found.missing_guards


async def test_an_end_that_is_cut_off_is_found_by_an_anchor(db, dsn):
    await acts(db, 7)
    anchor = await chain.head(db)
    vandal = await asyncpg.connect(dsn)
    await vandal.execute("set session_replication_role = replica")
    await vandal.execute(
        "delete from audit where id in (select audit_id from audit_link where seq > $1)", anchor.seq - 2
    )
    await vandal.execute("delete from audit_link where seq > $1", anchor.seq - 2)
    await vandal.close()
    assert (await chain.verify(db)).is_whole
    assert "cut off" in (await chain.verify(db, expect=[anchor])).broken
    await acts(db, 4)
    assert "made anew" in (await chain.verify(db, expect=[anchor])).broken


async def test_a_chain_that_was_made_anew_is_not_the_old_one(db, dsn):
    await acts(db, 7)
    anchor = await chain.head(db)
    vandal = await asyncpg.connect(dsn)
    await vandal.execute("set session_replication_role = replica")
    await vandal.execute("update audit set actor = 'nobody' where action = 'ledger.adjust'")
    await vandal.execute("delete from audit_link")
    await vandal.execute("do $$ declare r audit; begin for r in select * from audit order by id loop "
                         "perform audit_append(r); end loop; end $$")  # fmt: skip
    await vandal.close()
    assert (await chain.verify(db)).is_whole
    assert "made anew" in (await chain.verify(db, expect=[anchor])).broken


async def test_the_walk_can_begin_at_an_anchor(db, dsn):
    await acts(db, 4)
    anchor = await chain.head(db)
    await acts(db, 3)
    found = await chain.verify(db, since=anchor)
    assert (found.is_whole, found.links) == (True, 3)
    other = Anchor(anchor.seq, hashlib.sha256(b"another").digest())
    assert not (await chain.verify(db, since=other)).is_whole


@pytest.mark.parametrize("words", ["", "7", "7:abc", "x:" + "0" * 64, "7:" + "0" * 64 + " ", "7:" + "G" * 64])
async def test_what_is_no_anchor_is_refused(words):
    with pytest.raises(Refused, match="no anchor"):
        Anchor.read(words)


async def test_an_anchor_reads_as_it_is_written(db):
    await acts(db, 1)
    head = await chain.head(db)
    assert Anchor.read(str(head)) == head


async def test_many_writers_at_once_make_one_chain(db, dsn):
    """Also those whose transactions take other locks in any order: the chain's own is the last."""
    before = (await chain.head(db)).seq

    async def write(number: int) -> None:
        for step in range(10):
            async with pool.transaction() as tx:
                await audit.record(tx, "system", "look", f"{number}/{step}", None, None)
                await tx.execute("update plan set sort = sort where id = (select min(id) from plan)")
                await audit.record(tx, "system", "look again", f"{number}/{step}", None, None)

    async with open_database(dsn, role="test", pool=20) as pool, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(write, number)
    found = await chain.verify(db)
    assert found.is_whole
    assert found.head.seq == before + 400


async def test_erasure_takes_the_name_out_and_the_chain_holds(db, cast):
    await audit.record(db, "carol@example.com", "account.ban", cast.alice.email, None, {"reason": "x"})
    anchor = await chain.head(db)
    kept = await db.fetchrow("select salt, content from audit_link where seq = $1", anchor.seq)
    await erasure.erase(db, cast.alice.id, actor="cli", why="asked for")
    found = await chain.verify(db, expect=[anchor])
    assert (found.is_whole, found.erased) == (True, 1)
    now = await db.fetchrow("select salt, content from audit_link where seq = $1", anchor.seq)
    assert kept["salt"] is not None
    assert (now["salt"], now["content"]) == (None, kept["content"])  # nobody can try addresses against it any more
    assert cast.alice.email not in str(await db.fetch("select a::text from audit as a"))


@pytest.mark.parametrize("statement", [
    "update audit_link set hash = sha256('x')", "update audit_link set salt = null", "delete from audit_link",
    "truncate audit_link", "update audit_link set seq = seq + 100000",
])  # fmt: skip
async def test_links_are_never_changed(db, statement):
    await acts(db, 1)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await db.execute(statement)


@pytest.mark.parametrize("place, guard", [
    ("audit", "audit_chained"), ("audit", "audit_append_only"), ("audit", "audit_never_truncated"),
    ("audit_link", "audit_link_append_only"), ("audit_link", "audit_link_never_truncated"),
])  # fmt: skip
async def test_a_guard_that_is_switched_off_is_named(db, place, guard):
    await db.execute(f"alter table {place} disable trigger {guard}")
    found = await chain.verify(db)
    assert [guard in words for words in found.missing_guards] == [True]
    assert not found.is_whole


async def test_anybody_can_recompute_it_without_the_database(db):
    """What docs/explanation/the-audit.md says, done by somebody who has only the rows."""
    await audit.record(db, "cäröl", "äct", 'sub"ject', {"zz": 1.50, "a": [None, True]}, {"ключ": "знач\n"}, ip="::1")
    rows = {row["id"]: row for row in await db.fetch(
        "select id, jsonb_build_array(id, actor, action, subject, before, after, ip, "
        "(extract(epoch from created_at) * 1000000)::bigint)::text as words from audit")}  # fmt: skip
    before, links = b"", await db.fetch("select * from audit_link order by seq")
    assert {link["audit_id"] for link in links} == set(rows)
    for link in links:
        words = rows[link["audit_id"]]["words"]
        assert json.loads(words)[0] == link["audit_id"]
        assert hashlib.sha256(link["salt"] + words.encode()).digest() == link["content"]
        counted = link["seq"].to_bytes(8, "big") + link["audit_id"].to_bytes(8, "big")
        before = hashlib.sha256(before + counted + link["content"]).digest()
        assert before == link["hash"]


async def test_the_command_prints_a_head_that_it_takes_as_an_anchor(db, dsn):
    def told(*words):
        environment = {
            "LIMNER_DATABASE_URL": dsn,
            "LIMNER_SECRET_KEY": "s" * 40,
            "LIMNER_VAULT_KEYS": VAULT_KEYS,
        }
        return CliRunner(env=environment).invoke(cli.main, ["audit", "verify", *words])

    await acts(db, 3)
    first = await anyio.to_thread.run_sync(told, "--json")
    head = json.loads(first.output)["head"]
    assert (first.exit_code, head) == (0, str(await chain.head(db)))
    await acts(db, 3)
    again = await anyio.to_thread.run_sync(lambda: told("--expect", head, "--since", head))
    assert (again.exit_code, again.output.split()[:3]) == (0, ["ok", "3", "links"])
    other = await anyio.to_thread.run_sync(lambda: told("--expect", head[:-64] + "0" * 64))
    assert (other.exit_code, "BROKEN  link" in other.output) == (1, True)
    nonsense = await anyio.to_thread.run_sync(lambda: told("--since", "yesterday"))
    assert (nonsense.exit_code, "is no anchor" in nonsense.output) == (1, True)


async def test_each_day_the_log_has_an_anchor(db):
    janitor = Janitor(db, Bus(db), Presence(db, "test", lease=3), storage=None, pool=None)
    with capture_logs() as logged:
        await janitor.receive(AnchorAudit())
    assert [(line["event"], line["head"]) for line in logged] == [("audit_anchored", str(await chain.head(db)))]
    await db.execute("alter table audit disable trigger audit_chained")
    with capture_logs() as logged:
        await janitor.receive(AnchorAudit())
    assert [(line["event"], line["log_level"]) for line in logged] == [("audit_broken", "error")]


BY_HAND = "insert into audit (actor, action, subject) select 'carol', 'look', n::text from generate_series(1, 30) as n"
IS_WAITING = "select exists (select from pg_locks where not granted and relation = 'audit'::regclass)"


async def test_rows_of_before_are_chained_and_so_is_what_is_written_meanwhile(database_before):
    """The migration waits for whoever writes just then, and for nobody longer than that."""
    before = await database_before("audit_chain")
    old, writer, other = before.db, await asyncpg.connect(before.dsn), await asyncpg.connect(before.dsn)
    await old.execute(BY_HAND)
    await old.execute("alter table audit disable trigger audit_append_only")  # as erasure may change a row
    async with anyio.create_task_group() as group:
        writing = writer.transaction()
        await writing.start()
        name = f"deleted-{uuid4()}@invalid"
        await writer.execute("update audit set actor = $1 where subject = '7'", name)
        await writer.execute(BY_HAND)
        await writer.execute("insert into audit (actor, action, subject) values ('cli', 'account.delete', $1)", name)
        group.start_soon(before.migrate)
        with anyio.fail_after(30):
            while not await other.fetchval(IS_WAITING):
                await anyio.sleep(0.01)
        await writing.commit()
    async with open_database(before.dsn, role="test", pool=2) as db:
        found = await chain.verify(db)
        assert (found.broken, found.links, found.rows, found.erased) == ("", 62, 61, 1)
        await audit.record(db, "carol@example.com", "look", "again", None, None)
        assert (await chain.verify(db)).head.seq == 63
    for connection in (writer, other):
        await connection.close()


async def test_where_nothing_was_written_yet_the_anchor_is_one_too(db):
    nothing = chain.Anchor.read(str(chain.START))
    assert nothing == chain.START
    assert (await chain.verify(db, since=nothing, expect=[nothing])).is_whole
