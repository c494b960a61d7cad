"""The server behind the database: its version, durability, room, locks, and what it has put off."""

from __future__ import annotations

import re
import subprocess

import anyio
import asyncpg

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.patient import GB, Patient, Skip
from limner.runtime import placement
from limner.runtime.database import Database
from limner.runtime.errors import Refused

SETTING = "select current_setting($1, true)"


@check(
    "database.version", "fail", means="PostgreSQL 15 or newer",
    cause="An old server.", fix="Dump it, make a new one with the image of docker-compose.yml, restore into that.",
)  # fmt: skip
async def version(patient: Patient) -> Finding:
    major, minor = await _version(await patient.db())
    return (
        trouble(f"PostgreSQL {major}.{minor}")
        if major < patient.oldest_postgres
        else well(f"PostgreSQL {major}.{minor}")
    )


@check(
    "database.minor", "warn", means="the server is not behind the tools that came with this release",
    cause="The server's image was not pulled for a while: fixes of security and of lost data are missing.",
    fix="Pin the newest image of the same major version in .env, and `docker compose up -d --wait postgres`.",
)  # fmt: skip
async def minor(patient: Patient) -> Finding:
    major, have = await _version(await patient.db())
    tools_major, tools = await _tools(patient)
    if tools_major != major:
        raise Skip(f"the tools here are for {tools_major}, the server is {major}")
    words = f"the server is {major}.{have}, the tools are {major}.{tools}"
    return trouble(words) if have < tools else well(words)


@check(
    "database.checksums", "warn", means="pages have checksums: damage on the disk is noticed",
    cause="The cluster was made without them.", fix="Stop it and run `pg_checksums --enable -D …/18/docker`.",
)  # fmt: skip
async def checksums(patient: Patient) -> Finding:
    return await _is_on(patient, "data_checksums")


@check(
    "database.durable", "fail", means="what was committed survives a crash",
    cause="Somebody traded safety for speed.",
    fix="`alter system reset fsync`, the same for full_page_writes and synchronous_commit; then `select pg_reload_conf()`.",
)  # fmt: skip
async def durable(patient: Patient) -> Finding:
    db = await patient.db()
    names = ("fsync", "full_page_writes", "synchronous_commit")
    off = [name for name in names if await db.fetchval(SETTING, name) == "off"]
    return trouble(f"off: {', '.join(off)}") if off else well("fsync, full_page_writes and synchronous_commit")


@check(
    "database.autovacuum", "fail", means="the server tidies up by itself",
    cause="Somebody switched it off, for a bulk load perhaps.", fix="`alter system reset autovacuum; select pg_reload_conf()`",
)  # fmt: skip
async def autovacuum(patient: Patient) -> Finding:
    return await _is_on(patient, "autovacuum")


@check(
    "database.wraparound", "fail", means="transaction numbers are far from running out",
    cause="Vacuum cannot keep up, or something holds it back: an old transaction, a slot.",
    fix="`vacuumdb --all --freeze`, after ending what database.transactions and database.slots name.",
)  # fmt: skip
async def wraparound(patient: Patient) -> Finding:
    age = await (await patient.db()).fetchval("select max(age(datfrozenxid))::bigint from pg_database")
    words = f"the oldest is {age:,} transactions old; 2,100,000,000 is the end"
    return trouble(words) if age > patient.most_xids else well(words)


CONNECTIONS = """
select count(*) as n, current_setting('max_connections')::int as most from pg_stat_activity where backend_type = 'client backend'
"""


@check(
    "database.connections", "warn", means="connections are left",
    cause="More processes, or larger pools, than the server was made for.",
    fix="Raise POSTGRES_CONNECTIONS in .env, lower LIMNER_DATABASE_POOL, or put a pooler in front.",
)  # fmt: skip
async def connections(patient: Patient) -> Finding:
    row = await (await patient.db()).fetchrow(CONNECTIONS)
    assert row is not None
    words = f"{row['n']} of {row['most']}"
    return trouble(words) if row["n"] > patient.most_connections * row["most"] else well(words)


# The doctor's own are not meant, and neither are backups, which take as long as they take.
OLD = """
select pid, coalesce(application_name, '') as name, state, extract(epoch from now() - xact_start)::float8 as age
from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() and xact_start < now() - make_interval(secs => $1)
    and application_name not in ('limner-doctor', 'pg_dump') and datname = current_database()
order by xact_start
"""


@check(
    "database.transactions", "warn", means="no transaction stays open for minutes",
    cause="A psql with an open begin, or a program that hangs: nothing is tidied up behind it.",
    fix="`select pg_terminate_backend(PID)`, with the number named.",
)  # fmt: skip
async def transactions(patient: Patient) -> Finding:
    found = await (await patient.db()).fetch(OLD, float(patient.long_transaction))
    if found:
        first = found[0]
        return trouble(
            f"{len(found)}; the oldest is process {first['pid']} {first['name']!r}, {first['state']} for {first['age']:.0f} s"
        )
    return well(f"none older than {patient.long_transaction:.0f} s")


BLOCKED = """
select a.pid, pg_blocking_pids(a.pid) as by, extract(epoch from now() - l.waitstart)::float8 as waits
from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
where not l.granted and l.waitstart < now() - make_interval(secs => $1) order by l.waitstart
"""


@check(
    "database.locks", "warn", means="nobody waits long for a lock",
    cause="A transaction holds what others need: a migration by hand, an open psql.",
    fix="`select pg_terminate_backend(PID)`, with the number that blocks.",
)  # fmt: skip
async def locks(patient: Patient) -> Finding:
    found = await (await patient.db()).fetch(BLOCKED, float(patient.long_lock))
    if found:
        first = found[0]
        return trouble(
            f"{len(found)} wait; process {first['pid']} for {first['waits']:.0f} s, for {', '.join(map(str, first['by']))}"
        )
    return well(f"nobody waits longer than {patient.long_lock:.0f} s")


@check(
    "database.wal", "fail", means="the log of changes (WAL) does not grow without end",
    cause="Archiving fails, a slot is forgotten, or a load of changes is still being written.",
    fix="See database.archiver and database.slots; never delete files of pg_wal by hand.",
)  # fmt: skip
async def wal(patient: Patient) -> Finding:
    try:
        size = await (await patient.db()).fetchval("select coalesce(sum(size), 0)::bigint from pg_ls_waldir()")
    except asyncpg.InsufficientPrivilegeError:
        raise Skip("this role may not look: `grant pg_monitor to ROLE`") from None
    return trouble(f"{size / GB:.2f} GB") if size > patient.most_wal else well(f"{size / GB:.2f} GB")


ARCHIVER = """
select failed_count, last_failed_wal, last_failed_time is not null
    and (last_archived_time is null or last_failed_time > last_archived_time) as fails,
    extract(epoch from now() - last_archived_time)::float8 as age
from pg_stat_archiver
"""


@check(
    "database.archiver", "fail", means="the log of changes reaches its archive",
    cause="The archive's disk is full or not mounted, or archive_command is wrong.",
    fix="Look at the server's log for archive_command's own words; until it is repaired recovery to a moment ends before.",
)  # fmt: skip
async def archiver(patient: Patient) -> Finding:
    db = await patient.db()
    if await db.fetchval(SETTING, "archive_mode") == "off":
        raise Skip("nothing is archived")
    row = await db.fetchrow(ARCHIVER)
    assert row is not None
    if row["fails"]:
        return trouble(f"{row['last_failed_wal']} failed, {row['failed_count']} failures in all")
    return well("nothing to archive yet" if row["age"] is None else f"the last one {row['age']:.0f} s ago")


SLOTS = """
select slot_name,
    coalesce(pg_wal_lsn_diff(case when not pg_is_in_recovery() then pg_current_wal_lsn() end, restart_lsn), 0)::bigint as behind
from pg_replication_slots where not active order by 2 desc
"""


@check(
    "database.slots", "warn", means="no replication slot is forgotten",
    cause="A standby or a backup program went away; the server keeps all changes for it until the disk is full.",
    fix="`select pg_drop_replication_slot('NAME')`, when nobody needs it.",
)  # fmt: skip
async def slots(patient: Patient) -> Finding:
    found = await (await patient.db()).fetch(SLOTS)
    named = ", ".join(f"{row['slot_name']} ({row['behind'] / GB:.2f} GB)" for row in found)
    return trouble(f"nobody uses {named}") if found else well("none is idle")


INVALID = """
select i.indexrelid::regclass::text as name from pg_index as i join pg_class as c on c.oid = i.indexrelid
where not i.indisvalid and c.relnamespace = 'public'::regnamespace order by 1
"""


@check(
    "database.indexes", "warn", means="every index can be used",
    cause="A `create index concurrently` was broken off.", fix="`reindex index concurrently NAME`",
)  # fmt: skip
async def indexes(patient: Patient) -> Finding:
    found = [row["name"] for row in await (await patient.db()).fetch(INVALID)]
    return trouble(f"invalid: {', '.join(found)}") if found else well("all are valid")


CHECKS = (
    version, minor, checksums, durable, autovacuum, wraparound, connections, transactions, locks, wal, archiver, slots,
    indexes,
)  # fmt: skip


async def _is_on(patient: Patient, name: str) -> Finding:
    value = await (await patient.db()).fetchval(SETTING, name)
    return (
        well(f"{name} is on")
        if value == "on"
        else warning(f"{name} is {value}")
        if value is None
        else trouble(f"{name} is {value}")
    )


async def _version(db: Database) -> tuple[int, int]:
    number = await db.fetchval("select current_setting('server_version_num')::int")
    return number // 10000, number % 10000


async def _tools(patient: Patient) -> tuple[int, int]:
    try:
        folder = placement.find_binaries(patient.config.pg_bin)
        with anyio.fail_after(5):
            done = await anyio.run_process(
                [str(folder / "postgres"), "--version"], stdin=subprocess.DEVNULL, check=False
            )
    except (Refused, OSError, TimeoutError):
        raise Skip("no tools of Postgres are here") from None
    found = re.search(rb"\) (\d+)\.(\d+)", done.stdout)
    if not found:
        raise Skip("the tools here do not say their version")
    return int(found[1]), int(found[2])
