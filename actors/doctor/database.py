"""The database as this studio uses it: its address, schema, rights, encoding, and the way notifications take."""

from __future__ import annotations

import time
from secrets import token_hex
from urllib.parse import urlsplit

import anyio
import asyncpg

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.patient import Patient, Skip
from limner.runtime.config import Config
from limner.runtime.database import TROUBLE
from limner.runtime.opening import UNLIMITED
from limner.sql import schema

SLOW = 0.25
"""Seconds of a round trip: from here on every page feels it."""
NAME = {"application_name": "limner-doctor"}


@check(
    "database.answers", "fail", means="the database answers, and quickly",
    cause="It is down, still starting, refuses the password, or is far away.",
    fix="`docker compose ps postgres` and `docker compose logs postgres`; compare secrets/database_url with its password.",
)  # fmt: skip
async def answers(patient: Patient) -> Finding:
    if why := await patient.database.why_not():
        return trouble(f"{_place(patient.config)}: {str(why) or type(why).__name__}")
    db, trips = await patient.db(), list[float]()
    for _ in range(5):
        began = time.monotonic()
        await db.fetchval("select 1")
        trips.append(time.monotonic() - began)
    words = f"{min(trips) * 1000:.1f} ms there and back"
    return warning(words) if min(trips) > SLOW else well(words)


@check(
    "database.direct", "fail", means="a session of one's own can be had, for LISTEN and migrations",
    cause="Only the pooler's address is set, or LIMNER_DATABASE_DIRECT_URL leads nowhere.",
    fix="Set LIMNER_DATABASE_DIRECT_URL to the server's own address; without it every role polls once a second.",
)  # fmt: skip
async def direct(patient: Patient) -> Finding:
    config = patient.config
    if config.direct_dsn is None:
        return warning("there is only a pooler: every role polls once a second, migrations are refused")
    if config.database_direct_url is None and await patient.database.why_not():
        raise Skip("the database does not answer")
    try:
        connection = await asyncpg.connect(config.direct_dsn, timeout=5, server_settings=NAME)
    except (*TROUBLE, asyncpg.PostgresError) as error:
        return trouble(f"around the pooler: {str(error) or type(error).__name__}")
    await connection.close()
    return well("the same address" if config.database_direct_url is None else "around the pooler")


@check(
    "database.schema", "fail", means="the schema fits this release",
    cause="The migration did not run, or a newer release has changed the database.",
    fix="Behind: `docker compose run --rm migrate`. Ahead: run the newer image, or `limner restore` the backup from before.",
)  # fmt: skip
async def schema_window(patient: Patient) -> Finding:
    db = await patient.db()
    found = await schema.current(db)
    if found < schema.head():
        return trouble(f"the database is at {found}, this release needs {schema.head()}")
    try:
        await schema.check_window(db, found)
    except schema.SchemaTooNew as error:
        return trouble(str(error))
    return well(f"schema {found}, this release knows {schema.head()}")


# Everything in the schema that the role may not use as the studio does.
FORBIDDEN = """
select c.relname || ' (' || p.name || ')' as what
from pg_class as c
cross join unnest(
    case when c.relkind = 'S' then array['USAGE'] else array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] end
) as p (name)
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'S') and c.relname <> 'schema_version'
    and not case when c.relkind = 'S' then has_sequence_privilege(c.oid, p.name) else has_table_privilege(c.oid, p.name) end
union all
select p.proname || ' (EXECUTE)' from pg_proc as p
where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p') and not has_function_privilege(p.oid, 'EXECUTE')
order by 1
"""


@check(
    "database.rights", "fail", means="the role may read and write all that is the studio's",
    cause="The tables belong to another role: a restore or a migration ran as somebody else.",
    fix="As their owner: `grant select, insert, update, delete on all tables in schema public to ROLE`; the same for sequences.",
)  # fmt: skip
async def rights(patient: Patient) -> Finding:
    db = await patient.db()
    found = [row["what"] for row in await db.fetch(FORBIDDEN)]
    if found:
        return trouble(f"{await db.fetchval('select current_user')} may not use {', '.join(found[:5])}")
    return well(f"{await db.fetchval('select current_user')} may do what is needed")


ENCODING = "select pg_encoding_to_char(encoding) from pg_database where datname = current_database()"


@check(
    "database.encoding", "fail", means="the database stores UTF-8",
    cause="It was created from another template.", fix="Dump it, create one with `encoding 'UTF8' template template0`, restore.",
)  # fmt: skip
async def encoding(patient: Patient) -> Finding:
    found = await (await patient.db()).fetchval(ENCODING)
    return well(found) if found == "UTF8" else trouble(f"it stores {found}")


COLLATION = """
select datlocprovider::text as provider, coalesce(datlocale, datcollate) as locale, datcollversion as recorded,
    pg_database_collation_actual_version(oid) as actual
from pg_database where datname = current_database()
"""
COLLATION_BEFORE_17 = """
select datlocprovider::text as provider, datcollate as locale, datcollversion as recorded,
    pg_database_collation_actual_version(oid) as actual
from pg_database where datname = current_database()
"""
SINCE_17 = 170000
PROVIDERS = {"b": "builtin", "c": "libc", "i": "ICU"}


@check(
    "database.collation", "fail", means="texts sort as they did when the indexes were made",
    cause="The server's C library or ICU was changed under the indexes, by another image or an upgrade of the system.",
    fix="`reindex database limner` and then `alter database limner refresh collation version`; stay with one suite of the image.",
)  # fmt: skip
async def collation(patient: Patient) -> Finding:
    db = await patient.db()
    is_new = await db.fetchval("select current_setting('server_version_num')::int") >= SINCE_17
    row = await db.fetchrow(COLLATION if is_new else COLLATION_BEFORE_17)
    if row is None:
        raise Skip("this database does not say")
    words = f"{PROVIDERS.get(row['provider'], row['provider'])} {row['locale']}"
    if row["recorded"] is not None and row["recorded"] != row["actual"]:
        return trouble(f"{words}: version {row['recorded']} made the indexes, {row['actual'] or 'none'} is here")
    return well(f"{words}, version {row['actual'] or 'of none'}")


WRITABLE = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'"


@check(
    "database.writable", "fail", means="the database takes writes",
    cause="The address leads to a standby, or somebody set it read-only.",
    fix="Lead LIMNER_DATABASE_URL to the primary; `alter database limner reset default_transaction_read_only`.",
)  # fmt: skip
async def writable(patient: Patient) -> Finding:
    return well("it does") if await (await patient.db()).fetchval(WRITABLE) else trouble("it is read-only")


@check(
    "database.timeouts", "warn", means="a statement or a transaction that hangs is ended",
    cause="Behind a pooler nothing can be set for a session.",
    fix="`alter role limner set statement_timeout = '30s'; alter role limner set idle_in_transaction_session_timeout = '8s'`",
)  # fmt: skip
async def timeouts(patient: Patient) -> Finding:
    missing = await (await patient.db()).fetchval(
        UNLIMITED, ["statement_timeout", "idle_in_transaction_session_timeout"]
    )
    return trouble(f"without a limit: {', '.join(missing)}") if missing else well("both limits are set")


@check(
    "database.listen", "warn", means="a notification comes back",
    cause="A pooler in transaction mode under an address that is said to be direct, or the right to notify was taken.",
    fix="Lead LIMNER_DATABASE_DIRECT_URL around the pooler; until then the studio polls, and is slower.",
)  # fmt: skip
async def listen(patient: Patient) -> Finding:
    db, config = await patient.db(), patient.config
    if config.direct_dsn is None:
        raise Skip("there is only a pooler")
    channel, told = f"doctor_{token_hex(6)}", anyio.Event()
    try:
        connection = await asyncpg.connect(config.direct_dsn, timeout=5, server_settings=NAME)
    except (*TROUBLE, asyncpg.PostgresError):
        raise Skip("there is no direct way to the database") from None
    try:
        await connection.add_listener(channel, lambda *_: told.set())
        began = time.monotonic()
        await db.execute("select pg_notify($1, '')", channel)
        with anyio.move_on_after(5):
            await told.wait()
    except asyncpg.PostgresError as error:
        return trouble(str(error))
    finally:
        with anyio.move_on_after(2, shield=True):
            await connection.close()
    return (
        well(f"{(time.monotonic() - began) * 1000:.1f} ms") if told.is_set() else trouble("it did not come within 5 s")
    )


CHECKS = (
    answers, direct, schema_window, rights, encoding, collation, writable, timeouts, listen,
)  # fmt: skip


def _place(config: Config) -> str:
    if config.is_embedded:
        return f"the embedded Postgres of {config.data_dir.resolve()}"
    parts = urlsplit(config.dsn)
    return f"{parts.hostname or 'its socket'}:{parts.port or 5432}"
