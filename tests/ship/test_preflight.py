"""Preflight: what the target says of the live database, and that it is right about locks."""

from __future__ import annotations

import asyncpg
import pytest

from limner.actors.shipwright.fleet import Images
from limner.actors.shipwright.preflight import Look, judge
from limner.sql import locks, migrating, schema
from limner.sql.locks import ACCESS, READ, ROW, SHARE, SHARE_ROW, STRENGTH, UPDATE
from tests.ship.fleet import harbour, image, next_migration

STAGE = """
create table t (id int not null, word text, other int, constraint t_positive check (id > 0) not valid);
create table parent (id int primary key);
create index t_other on t (other);
create function noop() returns trigger language plpgsql as 'begin return new; end';
create trigger t_touched before update on t for each row execute function noop();
create view shown as select id from t;
insert into t select n, 'word', n from generate_series(1, 10) as n;
"""
STATEMENTS = [
    ("alter table t add column more text", ACCESS, "", ""),
    ("alter table t add column more text not null default 'a, b'", ACCESS, "", ""),
    ("alter table t add column if not exists more timestamptz default now()", ACCESS, "", ""),
    ("alter table t add column more uuid default gen_random_uuid()", ACCESS, "rewrites", ""),
    ("alter table t add column more timestamptz default clock_timestamp()", ACCESS, "rewrites", ""),
    ("alter table t add column more bigint generated always as identity", ACCESS, "rewrites", ""),
    ("alter table t add column more int generated always as (id + 1) stored", ACCESS, "rewrites", ""),
    ("alter table t add column more serial", ACCESS, "rewrites", ""),
    ("alter table only t alter column other type bigint", ACCESS, "rewrites", ""),
    ("ALTER TABLE public.t ALTER other SET NOT NULL", ACCESS, "", ""),
    ("alter table t alter column word set default 'x'", ACCESS, "", ""),
    ("alter table t drop column word", ACCESS, "", ""),
    ("alter table t rename column word to words", ACCESS, "", ""),
    ("alter table t alter column other set statistics 200", UPDATE, "", ""),
    ("alter table t set (fillfactor = 50)", UPDATE, "", ""),
    ("alter table t set unlogged", ACCESS, "rewrites", ""),
    ("alter table t validate constraint t_positive", UPDATE, "", ""),
    ("alter table t add constraint small check (id < 1000)", ACCESS, "", ""),
    ("alter table t add constraint one_each unique (id)", ACCESS, "", ""),
    ("alter table t add primary key (id)", ACCESS, "", ""),
    ("alter table t add constraint p foreign key (other) references parent (id) not valid", SHARE_ROW, "", SHARE_ROW),
    ("alter table t add column p int references parent (id)", ACCESS, "", SHARE_ROW),
    ("alter table t disable trigger t_touched", SHARE_ROW, "", ""),
    ("create index on t (word)", SHARE, "", ""),
    ("create unique index t_once on t (id) where other > 2", SHARE, "", ""),
    ("create trigger t_again after insert on t for each row execute function noop()", SHARE_ROW, "", ""),
    ("drop trigger t_touched on t", ACCESS, "", ""),
    ("drop table t cascade", ACCESS, "", ""),
    ("truncate t", ACCESS, "rewrites", ""),
    ("comment on column t.word is 'it; is'' here'", UPDATE, "", ""),
    ("comment on table t is 'a table'", UPDATE, "", ""),
    ("insert into t (id) values (11)", ROW, "", ""),
    ("update t set other = 1 where id = 2", ROW, "", ""),
    ("delete from t where id = 3", ROW, "", ""),
    ("create table child (id int references parent (id))", "", "", SHARE_ROW),
    ("create function f() returns int language sql as $$ select 1; select 2 $$", "", "", ""),
    ("-- create index on t (id);\ncreate sequence s", "", "", ""),
]
HELD = """
select upper(regexp_replace(replace(mode, 'Lock', ''), '([a-z])([A-Z])', '\\1 \\2', 'g')) from pg_locks
where pid = pg_backend_pid() and locktype = 'relation' and relation = $1
"""


@pytest.mark.parametrize(("sql", "lock", "how", "on_parent"), STATEMENTS)
async def test_a_statement_takes_the_lock_that_we_say(dsn, sql, lock, how, on_parent):
    """Postgres itself has the last word: what it holds after the statement, and whether the table's file is a new one."""
    said = {step.table: step for step in locks.steps(sql)}
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(STAGE)
        table, parent = [await connection.fetchval("select $1::text::regclass::oid", name) for name in ("t", "parent")]
        file = await connection.fetchval("select pg_relation_filenode($1::oid)", table)
        async with connection.transaction():
            await connection.execute(sql)
            held = [await _strongest(connection, relation) for relation in (table, parent)]
            written = await connection.fetchval("select pg_relation_filenode($1::oid)", table) not in (file, None)
    finally:
        await connection.close()
    assert held == [lock, on_parent]
    assert [said[name].lock if name in said else "" for name in ("t", "parent")] == [lock, on_parent]
    assert written == (how == "rewrites") == ("t" in said and said["t"].rewrites)


async def _strongest(connection, relation):
    held = [row[0] for row in await connection.fetch(HELD, relation)]
    known = [mode for mode in held if mode in STRENGTH and mode != READ]
    return max(known, key=STRENGTH.index, default="")


def test_every_committed_migration_is_understood():
    unknown = [step for each in migrating.pending(0) for step in each.steps if step.lock == "unknown"]
    assert not unknown


def test_each_part_of_a_statement_that_begins_with_others_counts():
    sql = """with gone as (delete from old where id in (select id from new for update) returning id),
        kept as (insert into copy select id from gone on conflict (id) do update set at = now())
        update account set name = '' from gone"""
    assert [(step.lock, step.table) for step in locks.steps(sql)] == [
        ("ROW EXCLUSIVE", table) for table in ("old", "copy", "account")
    ]
    assert locks.steps("with a as (select 1 from account for no key update) select * from a") == []


def test_what_is_not_understood_is_said_to_be_unknown():
    (step,) = locks.steps("do $$ begin lock table account; end $$")
    assert (step.lock, step.stops) == ("unknown", "readers and writers")


def test_a_table_made_by_the_same_migration_keeps_nobody_waiting():
    assert (
        locks.steps("create table fresh (id int); create index on fresh (id); alter table fresh add column a int") == []
    )


def look(**about):
    database = {"version": 180006, "folder": "", "schema": 9, "oldest_image": 9} | about.pop("database", {})
    found = {"head": 10, "client": "18.6", "mistakes": [], "trouble": "", "pending": [], "sizes": {}} | about
    return Look(Images("limner:next"), found | {"database": database})


def step(**about):
    return {"lock": ACCESS, "table": "job", "words": "alter table job …", "scans": False, "rewrites": False} | about


def pending(*steps, bound=None):
    return [{"version": 10, "name": "V0010__x.sql", "steps": list(steps), "bound": bound}]


SMALL, LARGE = {"rows": 10, "bytes": 2**20}, {"rows": 10**7, "bytes": 2**30}
JUDGED = [
    (look(), 9, None, {}),
    (look(head=8), 9, None, {"path": "fail"}),
    (look(head=9, database={"schema": 10}), 10, None, {}),
    (look(pending=pending(bound=10)), 9, None, {"way_back": "warn"}),
    (look(), None, None, {"way_back": "warn"}),
    (look(pending=pending(step()), sizes={"job": LARGE}), 9, None, {}),
    (look(pending=pending(step(scans=True)), sizes={"job": LARGE}), 9, None, {"pending": "warn"}),
    (look(pending=pending(step(lock=UPDATE, scans=True)), sizes={"job": LARGE}), 9, None, {}),
    (look(pending=pending(step(lock="unknown", table=""))), 9, None, {"pending": "warn"}),
    (look(pending=pending(step(rewrites=True)), sizes={"job": SMALL}), 9, 2 * 2**20, {}),
    (look(pending=pending(step(rewrites=True)), sizes={"job": SMALL}), 9, 2 * 2**20 - 1, {"disk": "fail"}),
    (look(pending=pending(step(rewrites=True)), sizes={"job": SMALL}), 9, None, {"disk": "warn"}),
    (look(client="17.9"), 9, None, {"client": "fail"}),
    (look(client=""), 9, None, {"client": "skip"}),
    (look(mistakes=["LIMNER_NEW is needed", "and one more"]), 9, None, {"settings": "fail"}),
]


@pytest.mark.parametrize(("seen", "head", "free", "expected"), JUDGED)
def test_each_trouble_shows_in_its_own_line(seen, head, free, expected):
    found = {line.code.removeprefix("preflight."): line.state for line in judge(seen, head, free)}
    assert {code: state for code, state in found.items() if state != "ok"} == expected


ADDS = "alter table job add column mood text;\ncreate index job_mood on job (mood);"


async def test_the_target_tells_what_it_would_do_and_does_nothing(dsn, tmp_path):
    async with harbour(dsn, tmp_path, sails=False) as here:
        target = image(tmp_path / "next", migrations=next_migration(ADDS))
        said = await here.limner("preflight", str(target), "--folder", str(here.folder), "--json")
    assert said.code == 0, said.out + said.err
    assert said.line("preflight.path")["words"] == f"schema {schema.head()} → {schema.head() + 1}"
    words = said.line("preflight.pending")["words"]
    assert "ACCESS EXCLUSIVE on job (" in words
    assert "SHARE on job (" in words
    assert "MB): writers wait while all of it is read" in words
    assert said.line("preflight.client")["state"] == "ok"
    connection = await asyncpg.connect(dsn)
    assert await schema.current(connection) == schema.head()
    await connection.close()
    assert sorted(path.name for path in (here.folder / ".limner").iterdir()) == ["fleet.json"]


@pytest.mark.parametrize(
    ("instead", "code", "words"),
    [
        ("export LIMNER_BREWS_TEA=1", "preflight.settings", "LIMNER_BREWS_TEA is not a setting"),
        ("echo 'no such module: limner' >&2; exit 1", "preflight.failed", "no such module: limner"),
    ],
)
async def test_a_target_that_cannot_work_here_is_told_before_anything_stops(dsn, tmp_path, instead, code, words):
    async with harbour(dsn, tmp_path, sails=False) as here:
        target = image(tmp_path / "next", instead=instead)
        said = await here.limner("preflight", str(target), "--folder", str(here.folder), "--json")
    assert said.code == 2
    assert words in said.line(code)["words"]


async def test_a_folder_or_an_image_that_is_not_there_is_one_clear_line(tmp_path, dsn):
    async with harbour(dsn, tmp_path, sails=False) as here:
        nowhere = await here.limner("preflight", "limner:next", "--folder", str(tmp_path / "data"))
        nothing = await here.limner("preflight", str(tmp_path / "none"), "--folder", str(here.folder))
    assert (nowhere.code, nothing.code) == (1, 1)
    assert nowhere.err.startswith("limner: --folder: ")
    assert nothing.err.startswith("limner: IMAGE: there is no ")
