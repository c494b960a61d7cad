"""The doctor: a healthy studio is well, and one fault turns exactly its own check."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import pkgutil
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from limner.actors import doctor
from limner.actors.doctor import examination, host
from limner.actors.doctor.check import Check, Finding
from limner.actors.doctor.examination import CHECKS, GROUPS
from limner.actors.doctor.patient import Patient
from limner.runtime import embedded
from limner.runtime.config import Config, ConfigError
from limner.runtime.errors import Refused
from limner.runtime.report import Line
from limner.runtime.vault import Vault
from limner.sql import schema
from tests.conftest import VAULT_KEYS, settings
from tests.ship.clinic import (
    PAINTERS_KEY,
    SECRET_KEY,
    TOKEN,
    Clinic,
    Studio,
    around,
    as_role,
    clinic,
    closed_port,
    docker,
    limner,
    postgres,
    reachable,
    studio,
)
from tests.upstreams.smtp import PASSWORD

__all__ = ["clinic", "studio"]  # fixtures

NOT_HERE = {"database.archiver"}
"""What the healthy studio has not got."""
Fault = Callable[[Studio], Awaitable[None]]


async def test_a_healthy_studio_is_all_well(studio: Studio) -> None:
    lines = await studio.examined()
    assert {line.code: str(line) for line in lines.values() if line.state not in ("ok", "skip")} == {}
    assert {code for code, line in lines.items() if line.state == "skip"} == NOT_HERE
    assert list(lines) == [check.code for check in CHECKS]


def test_there_are_more_than_forty_checks_with_codes_of_their_own() -> None:
    codes = [check.code for check in CHECKS]
    assert len(codes) == len(set(codes)) > 40
    assert {
        "host",
        "engine",
        "settings",
        "secrets",
        "database",
        "storage",
        "network",
        "bot",
        "work",
        "backups",
        "books",
        "payments",
        "mail",
    } == set(GROUPS)


# One fault for each check.


def put(**inputs: object) -> Fault:
    """An input of the check that stands for what cannot be produced here."""

    async def do(studio: Studio) -> None:
        studio.inputs |= inputs

    return do


def chosen(**settings: object) -> Fault:
    async def do(studio: Studio) -> None:
        studio.settings |= settings

    return do


def ran(statement: str, undo: str = "") -> Fault:
    async def do(studio: Studio) -> None:
        await studio.run(statement, undo)

    return do


def wrote(path: str, text: str) -> Fault:
    async def do(studio: Studio) -> None:
        studio.write(path, text)

    return do


def edited(old: str, new: str) -> Fault:
    async def do(studio: Studio) -> None:
        studio.edit(old, new)

    return do


async def no_cgroup(studio: Studio) -> None:
    (studio.folder.parent / "cgroup/cgroup.controllers").unlink()


async def no_database(studio: Studio) -> None:
    studio.settings["database_url"] = f"postgresql://limner@127.0.0.1:{closed_port()}/limner"


async def clock_and_hosts_agree_but_not_the_database(studio: Studio) -> None:
    studio.inputs["clock"] = lambda: time.time() + 90
    studio.world.skew = 90


async def hosts_outside_disagree(studio: Studio) -> None:
    studio.world.skew = -90


async def no_temporary_folder(studio: Studio) -> None:
    studio.inputs["temp"] = studio.folder / "not there"


async def wrong_zone(studio: Studio) -> None:
    studio.environ["TZ"] = "Mars/Olympus"


async def old_docker(studio: Studio) -> None:
    docker(studio, engine="20.10.5")


async def sick_container(studio: Studio) -> None:
    docker(studio, worker="unhealthy")


async def published_database(studio: Studio) -> None:
    studio.edit("    shm_size: 128m\n", '    shm_size: 128m\n    ports: ["5432:5432"]\n')


async def published_worker(studio: Studio) -> None:
    studio.edit("    command: [worker]\n", '    command: [worker]\n    ports: ["0.0.0.0:9300:9300"]\n')


async def floating_tag(studio: Studio) -> None:
    studio.env(POSTGRES_IMAGE="postgres:18")


async def wrong_settings(studio: Studio) -> None:
    studio.inputs["settings"] = ConfigError(["LIMNER_LEASE: input should be a valid integer"])


async def unknown_name(studio: Studio) -> None:
    studio.env(LIMNER_WORKER_SLOT="3")


async def placeholder(studio: Studio) -> None:
    studio.env(TLS="you@example.com")


async def readable_env(studio: Studio) -> None:
    (studio.folder / ".env").chmod(0o644)


async def open_secrets(studio: Studio) -> None:
    (studio.folder / "secrets").chmod(0o755)


async def edited_after_the_start(studio: Studio) -> None:
    studio.env(LIMNER_WORKER_SLOTS="3")
    del studio.environ["LIMNER_WORKER_SLOTS"]


async def another_name(studio: Studio) -> None:
    studio.environ["DOMAIN"] = "other.studio.test"


async def sealed_with_a_lost_key(studio: Studio) -> None:
    await studio.run(
        "update provider_key set sealed_secret = 'v1.lost.' || split_part(sealed_secret, '.', 3) where label = 'first'",
        "update provider_key set sealed_secret = 'v1.k1.' || split_part(sealed_secret, '.', 3) where label = 'first'",
    )


async def another_key_of_the_same_id(studio: Studio) -> None:
    studio.settings["vault_keys"] = "k1:" + base64.b64encode(b"b" * 16 + b"a different key!").decode()


async def a_rotation_half_way(studio: Studio) -> None:
    studio.settings["vault_keys"] = f"k2:{base64.b64encode(secrets.token_bytes(32)).decode()},{VAULT_KEYS}"


async def windows_line_ends(studio: Studio) -> None:
    path = studio.folder / "secrets/sandbox_secret"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\r\n")


async def a_lost_secret(studio: Studio) -> None:
    (studio.folder / "secrets/postgres_password").unlink()


async def only_a_pooler(studio: Studio) -> None:
    """The same server, said to be behind a pooler; its role has the limits, so that only the way to LISTEN is missing."""
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await studio.run(f"alter role limner set {name} = '30s'", f"alter role limner reset {name}")
    studio.settings |= {"database_pooled": True}


async def no_limits_behind_the_pooler(studio: Studio) -> None:
    studio.settings |= {"database_pooled": True, "database_direct_url": studio.clinic.dsn}


async def newest_migration_forgotten(studio: Studio) -> None:
    row = await studio.db.fetchrow("delete from schema_version where version = $1 returning *", schema.head())
    assert row is not None
    studio.stack.push_async_callback(
        studio.db.execute,
        "insert into schema_version (version, description, type, installed_by, installed_on) values ($1, $2, $3, $4, $5)",
        *(row[name] for name in ("version", "description", "type", "installed_by", "installed_on")),
    )


async def _another_role(studio: Studio, *rights: str) -> None:
    for statement in (
        "create role half login",
        "grant all on all tables in schema public to half",
        "grant all on all sequences in schema public to half",
        "grant pg_monitor to half",
        *rights,
    ):
        await studio.run(statement)
    for undo in ("drop role half", "drop owned by half", "grant execute on function pg_notify(text, text) to public"):
        studio.stack.push_async_callback(studio.db.execute, undo)
    studio.settings["database_url"] = as_role(studio.clinic.dsn, "half")


async def a_role_without_rights(studio: Studio) -> None:
    await _another_role(studio, "revoke insert on throttle from half")


async def a_role_that_may_not_notify(studio: Studio) -> None:
    await _another_role(studio, "revoke execute on function pg_notify(text, text) from public")


def catalogue(column: str, wrong: str) -> Fault:
    async def do(studio: Studio) -> None:
        was = await studio.db.fetchval(f"select {column}::text from pg_database where datname = current_database()")
        where = "where datname = current_database()"
        right = "null" if was is None else f"'{was}'"
        await studio.run(
            f"update pg_database set {column} = {wrong} {where}", f"update pg_database set {column} = {right} {where}"
        )

    return do


async def newer_tools(studio: Studio) -> None:
    folder = studio.folder.parent / "pg"
    folder.mkdir()
    major = await studio.db.fetchval("select current_setting('server_version_num')::int / 10000")
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.99'\n")
        (folder / name).chmod(0o755)
    studio.settings["pg_bin"] = folder


async def _other(studio: Studio) -> asyncpg.Connection[asyncpg.Record]:
    connection = await asyncpg.connect(studio.clinic.dsn)
    studio.stack.push_async_callback(connection.close)
    return connection


async def many_connections(studio: Studio) -> None:
    for _ in range(45):
        await _other(studio)


async def an_open_transaction(studio: Studio) -> None:
    await (await _other(studio)).execute("begin; select 1 from plan")
    studio.inputs["long_transaction"] = 0.0


async def a_blocked_session(studio: Studio) -> None:
    holder, waiter = await _other(studio), await _other(studio)
    await holder.execute("begin; lock table throttle in access exclusive mode")
    task = asyncio.create_task(waiter.execute("select count(*) from throttle"))

    async def release() -> None:
        await holder.execute("rollback")
        await task

    studio.stack.push_async_callback(release)
    while not await studio.db.fetchval("select exists (select from pg_locks where waitstart is not null)"):
        pass
    studio.inputs["long_lock"] = 0.0


async def autovacuum_off(studio: Studio) -> None:
    await studio.run("alter system set autovacuum = off")
    await _reloaded(studio, "off")

    async def undo() -> None:
        await studio.db.execute("alter system reset autovacuum")
        await _reloaded(studio, "on")

    studio.stack.push_async_callback(undo)


async def _reloaded(studio: Studio, value: str) -> None:
    await studio.db.execute("select pg_reload_conf()")
    while await studio.db.fetchval("show autovacuum") != value:
        pass


async def a_forgotten_slot(studio: Studio) -> None:
    await studio.run(
        "select pg_create_physical_replication_slot('forgotten', true)", "select pg_drop_replication_slot('forgotten')"
    )


async def a_file_for_a_folder(studio: Studio) -> None:
    path = studio.folder.parent / "a file"
    path.write_text("")
    studio.settings["storage_folder"] = path


async def a_flipped_bit(studio: Studio) -> None:
    key = await studio.db.fetchval("select storage_key from image")
    path = studio.clinic.data / "pictures" / key
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    studio.stack.callback(path.write_bytes, good)


async def a_name_that_leads_nowhere(studio: Studio) -> None:
    studio.settings["public_url"] = "https://studio.invalid"
    studio.environ["DOMAIN"] = "studio.invalid"


async def a_shut_port(studio: Studio) -> None:
    studio.settings["public_url"] = f"https://localhost:{closed_port()}"


async def no_redirect(studio: Studio) -> None:
    studio.world.redirects = False


async def an_old_certificate(studio: Studio) -> None:
    world = await studio.stack.enter_async_context(around(studio.clinic.authority, studio.folder.parent, days=3))
    studio.settings["public_url"] = world.site


async def open_metrics(studio: Studio) -> None:
    studio.world.hides = False


async def no_hsts(studio: Studio) -> None:
    studio.world.hsts = ""


async def a_silent_painter(studio: Studio) -> None:
    studio.settings["openai_url"] = f"http://127.0.0.1:{closed_port()}/v1"


def a_refused_key(where: str) -> Fault:
    async def do(studio: Studio) -> None:
        studio.world.refuses = where

    return do


async def a_revoked_token(studio: Studio) -> None:
    studio.world.telegram.refuse_always("getMe", 401)


async def a_mail_server_that_is_closed(studio: Studio) -> None:
    studio.world.mail.refuse("connect", "554 5.3.2 closed")


async def a_webhook(studio: Studio) -> None:
    studio.world.telegram.webhook = "https://elsewhere.test/hook?secret=1"


BOT = "update worker set children = jsonb_set(children, '{{0,{}}}', {}) where role = 'bot'"
MESSAGE = """
insert into message (mailbox, kind, payload, state, deaths, ready_at)
values ('watching', 'LookAround', '{{}}', {}, {}, now() - interval '{}')
"""
DEAD = """
insert into dead_letter (id, mailbox, kind, partition, attempts, reason, payload, created_at)
values (77, 'painting', 'PaintPicture', '', 5, 'tried', '{}', now())
"""
NOTICE = """
insert into notice (channel, recipient, body, created_at) values ('telegram', '7', 'news', now() - interval '1 hour')
"""
REFUSED = """
insert into notice (channel, recipient, body, attempts, failed_at)
select 'mail', n || '@example.com', 'news', 1, now() from generate_series(1, 5) as n
"""
INVOICE = """
insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, expires_at, idempotency_key)
select a.id, p.id, 'sandbox', 1, 'USD', 1, now() - interval '1 day', 'late' from account as a, plan as p limit 1
"""


UNDECIDED = """
insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, expires_at, state, trouble)
select a.id, p.id, 'sandbox', 1, 'USD', 1, now(), 'canceled', 'over' from account as a, plan as p limit 1
"""


async def an_overdue_picture(studio: Studio) -> None:
    """A second job, held and unfinished, past its deadline."""
    await studio.run("begin")
    account = await studio.db.fetchval("select id from account where email = 'alice@example.com'")
    generation = await studio.db.fetchval(
        "insert into generation (id, account_id, thread_id, model_id, prompt, width, height, count, credits)"
        " select g, $1, g, 'simulator', 'late', 512, 512, 1, 1 from gen_random_uuid() as g returning id", account,
    )  # fmt: skip
    job = await studio.db.fetchval(
        "insert into job (generation_id, account_id, position, seed, credits, deadline)"
        " values ($1, $2, 0, 7, 1, now() - interval '1 hour') returning id", generation, account,
    )  # fmt: skip
    await studio.db.execute(
        "insert into ledger_entry (account_id, job_id, credits, kind) values ($1, $2, 1, 'reserve')", account, job
    )
    await studio.run("commit")

    async def end() -> None:
        await studio.db.execute(
            "insert into ledger_entry (account_id, job_id, credits, kind) values ($1, $2, 1, 'release')", account, job
        )
        await studio.db.execute("update job set state = 'failed', finished_at = now() where id = $1", job)

    studio.stack.push_async_callback(end)


FAULTS: dict[str, Fault] = {
    "host.disk": put(least_disk=2.1),
    "host.inodes": put(least_inodes=1.1),
    "host.temp": no_temporary_folder,
    "host.memory": wrote("proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 90000 kB\nSwapFree: 0 kB\n"),
    "host.memory_limit": wrote("cgroup/memory.stat", "anon 940000000\ninactive_file 1000\n"),
    "host.oom": wrote("cgroup/memory.events", "oom 3\noom_kill 3\n"),
    "host.processor": put(cores=1, machine="riscv64"),
    "host.load": wrote("proc/loadavg", "20.0 20.0 20.0 9/200 4711\n"),
    "host.clock": clock_and_hosts_agree_but_not_the_database,
    "host.clock_outside": hosts_outside_disagree,
    "host.kernel": wrote("proc/sys/kernel/osrelease", "3.10.0-1160.el7\n"),
    "host.cgroup": no_cgroup,
    "host.processes": wrote("cgroup/pids.current", "250\n"),
    "host.open_files": put(open_files=256),
    "host.entropy": wrote("proc/sys/kernel/random/entropy_avail", "12\n"),
    "host.time_zone": wrong_zone,
    "engine.version": old_docker,
    "engine.containers": sick_container,
    "engine.database_shut": published_database,
    "engine.ports": published_worker,
    "engine.gate": edited("condition: service_completed_successfully", "condition: service_started"),
    "engine.logs": edited('  driver: local\n  options: { max-size: 10m, max-file: "5" }\n', "  driver: json-file\n"),
    "engine.restart": edited("  restart: unless-stopped\n", '  restart: "no"\n'),
    "engine.limits": edited("  pids_limit: 256\n", ""),
    "engine.hardened": edited("  cap_drop: [ALL]\n", ""),
    "engine.digests": floating_tag,
    "engine.volumes": edited('volumes: ["pgdata18:/var/lib/postgresql"]', 'volumes: ["/var/lib/postgresql"]'),
    "settings.valid": wrong_settings,
    "settings.unknown": unknown_name,
    "settings.placeholders": placeholder,
    "settings.env_mode": readable_env,
    "settings.secrets_mode": open_secrets,
    "settings.drift": edited_after_the_start,
    "settings.production": chosen(env="development"),
    "settings.sandbox": chosen(sandbox_payments=True),
    "settings.demo": chosen(demo_painter=True),
    "settings.address": another_name,
    "settings.drain": chosen(drain=0),
    "secrets.vault": chosen(vault_keys="k1:not-base64"),
    "secrets.key_ids": sealed_with_a_lost_key,
    "secrets.opens": another_key_of_the_same_id,
    "secrets.rotated": a_rotation_half_way,
    "secrets.distinct": chosen(sandbox_secret=SECRET_KEY),
    "secrets.strength": chosen(secret_key="ab" * 20),
    "secrets.files": windows_line_ends,
    "secrets.complete": a_lost_secret,
    "database.answers": no_database,
    "database.direct": only_a_pooler,
    "database.schema": newest_migration_forgotten,
    "database.rights": a_role_without_rights,
    "database.encoding": catalogue("encoding", "0"),
    "database.collation": catalogue("datcollversion", "'0.1'"),
    "database.writable": ran(
        "alter database limner set default_transaction_read_only = on",
        "set transaction_read_only = off; alter database limner reset default_transaction_read_only",
    ),
    "database.timeouts": no_limits_behind_the_pooler,
    "database.listen": a_role_that_may_not_notify,
    "database.version": put(oldest_postgres=99),
    "database.minor": newer_tools,
    "database.autovacuum": autovacuum_off,
    "database.wraparound": put(most_xids=0),
    "database.connections": many_connections,
    "database.transactions": an_open_transaction,
    "database.locks": a_blocked_session,
    "database.wal": put(most_wal=0),
    "database.slots": a_forgotten_slot,
    "database.indexes": ran(
        "update pg_index set indisvalid = false where indexrelid = 'account_recent'::regclass",
        "update pg_index set indisvalid = true where indexrelid = 'account_recent'::regclass",
    ),
    "storage.round_trip": a_file_for_a_folder,
    "storage.pictures": a_flipped_bit,
    "network.name": a_name_that_leads_nowhere,
    "network.port": a_shut_port,
    "network.redirect": no_redirect,
    "network.certificate": an_old_certificate,
    "network.hidden": open_metrics,
    "network.headers": no_hsts,
    "network.painters": a_silent_painter,
    "bot.token": a_revoked_token,
    "mail.server": a_mail_server_that_is_closed,
    "mail.outbox": ran(REFUSED, "delete from notice"),
    "bot.webhook": a_webhook,
    "bot.poller": ran(BOT.format("last_ok", "to_jsonb(extract(epoch from now()) - 900)")),
    "bot.alone": ran(BOT.format("state", "'\"conflict\"'"), BOT.format("state", "'\"polling\"'")),
    "bot.paired": ran(
        "delete from telegram_admin", "insert into telegram_admin (telegram_id, name) values (7, 'Carol')"
    ),
    "work.worker": ran("update worker set seen_at = now() - interval '1 hour' where role = 'worker'"),
    "work.web": ran("update worker set seen_at = now() - interval '1 hour' where role = 'web'"),
    "work.children": ran(
        "update worker set children = jsonb_set(children, '{0,state}', '\"crashed\"') where role = 'worker'",
        "update worker set children = jsonb_set(children, '{0,state}', '\"running\"') where role = 'worker'",
    ),
    "work.paused": ran("update worker set paused = true", "update worker set paused = false"),
    "work.queue": ran(MESSAGE.format(0, 0, "10 minutes"), "delete from message"),
    "work.suspects": ran(MESSAGE.format(3, 2, "0 s"), "delete from message"),
    "work.dead_letters": ran(DEAD, "delete from dead_letter"),
    "work.overdue": an_overdue_picture,
    "work.keys": ran(
        "update provider_key set state = 'disabled', why = 'test'", "update provider_key set state = 'active', why = ''"
    ),
    "work.alerts": ran(
        "insert into alert (cause, words) values ('queue_waits', 'Pictures wait.')", "delete from alert"
    ),
    "work.schedule": ran("update schedule set last_at = now() - interval '1 hour'"),
    "work.notices": ran(NOTICE, "delete from notice"),
    "backups.backup": ran("update backup_run set ended_at = now() - interval '30 hours' where kind = 'backup'"),
    "backups.drill": ran("update backup_run set ended_at = now() - interval '9 days' where kind = 'drill'"),
    "books.ledger": ran("update balance set available = available + 1", "update balance set available = available - 1"),
    "books.audit": ran(
        "alter table audit disable trigger audit_chained", "alter table audit enable trigger audit_chained"
    ),
    "books.invoices": ran(INVOICE, "delete from invoice"),
    "books.plans": ran("update plan set active = false", "update plan set active = true"),
    "payments.ways": chosen(btcpay_url="", stripe_api_key=""),
    "payments.btcpay": a_refused_key("stores"),
    "payments.stripe": a_refused_key("checkout"),
    "payments.webhooks": chosen(stripe_webhook_secret=""),
    "payments.decisions": ran(UNDECIDED, "delete from invoice"),
}
ELSEWHERE = {"database.durable", "database.checksums", "database.archiver"}
"""Faults of a whole server, which get servers of their own."""


def test_every_check_has_its_fault() -> None:
    assert set(FAULTS) | ELSEWHERE == {check.code for check in CHECKS}
    assert not set(FAULTS) & ELSEWHERE


@pytest.mark.parametrize("code", FAULTS)
async def test_one_fault_turns_exactly_its_own_check(studio: Studio, code: str) -> None:
    await FAULTS[code](studio)
    lines = await studio.examined()
    assert turned(lines) == {code}, [str(line) for line in lines.values() if line.state not in ("ok", "skip")]
    assert lines[code].fix
    told = json.dumps([vars(line) for line in lines.values()])
    assert not [secret for secret in (SECRET_KEY, TOKEN, PASSWORD, PAINTERS_KEY, VAULT_KEYS[3:]) if secret in told]


def turned(lines: Mapping[str, Line]) -> set[str]:
    return {code for code, line in lines.items() if line.state not in ("ok", "skip")}


UNWANTED = """
insert into notice (channel, recipient, body, failed_at, let_go_at, error) values
('telegram', '7', 'news', now(), now(), 'given up by carol@example.com'),
('telegram', '8', 'sums', now(), null, 'not for them any more'),
('telegram', '9', 'news', now(), null, 'Forbidden: bot was blocked by the user')
"""


async def test_what_nobody_wants_to_be_sent_any_more_is_not_missed(studio: Studio) -> None:
    await ran(UNWANTED, "delete from notice")(studio)
    found = (await studio.examined("work.notices"))["work.notices"]
    assert (found.state, found.words) == ("warn", "0 wait for more than 10 min, 1 were refused in 24 h")


async def test_a_server_without_durability_turns_exactly_its_check(studio: Studio, dsn: str) -> None:
    """The tests' own throw-away server is one."""
    studio.settings["database_url"] = dsn
    assert turned(await studio.examined("database")) == {"database.durable"}


def test_a_broken_archive_and_missing_checksums_turn_exactly_their_checks() -> None:
    def configure(cluster: Path, lines: str) -> None:
        with (cluster / "postgresql.conf").open("a") as file:
            file.write(lines)

    def without_checksums(cluster: Path) -> None:
        configure(cluster, "archive_mode = off\n")
        place = embedded.locate(Config(data_dir=cluster.parent))
        owner: dict[str, Any] = {"user": place.owner.uid, "group": place.owner.gid} if place.owner else {}
        command = [place.binaries / "pg_checksums", "--disable", "--no-sync", "-D", cluster]
        subprocess.run(command, check=True, cwd="/", **owner)

    with reachable() as data:
        with postgres(
            data, lambda cluster: configure(cluster, "archive_mode = on\narchive_command = 'false'\n")
        ) as dsn:
            assert asyncio.run(_turned_after(dsn, data, FAILED)) == {"database.archiver"}
        with postgres(data, without_checksums) as dsn:
            assert asyncio.run(_turned_after(dsn, data, "select true")) == {"database.checksums"}


FAILED = "select failed_count > 0 from pg_stat_archiver"


async def _turned_after(dsn: str, folder: Path, ready: str) -> set[str]:
    await schema.migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute("create table if not exists written (); select pg_switch_wal()")
    with anyio.fail_after(40):
        while not await connection.fetchval(ready):
            await anyio.sleep(0.05)
    await connection.close()
    lines: list[Line] = []
    await examination.examine(settings(dsn, folder), folder, lines.append, "database")
    return turned({line.code: line for line in lines})


async def test_a_ciphertext_that_was_moved_from_another_row_is_found(studio: Studio) -> None:
    sealed = await studio.db.fetchval("select sealed_secret from provider_key where label = 'first'")
    other = Vault({"k1": base64.b64decode(VAULT_KEYS[3:])}).seal(
        "sk-0123456789", bound_to="provider_key/999/sealed_secret"
    )
    await studio.db.execute("update provider_key set sealed_secret = $1 where label = 'first'", other)
    studio.stack.push_async_callback(
        studio.db.execute, "update provider_key set sealed_secret = $1 where label = 'first'", sealed
    )
    lines = await studio.examined("secrets")
    assert turned(lines) == {"secrets.opens"}
    assert "stay shut" in lines["secrets.opens"].words


# The doctor itself.


async def test_a_check_that_crashes_is_a_line_like_any_other(studio: Studio) -> None:
    async def look(_: Patient) -> Finding:
        raise KeyError(SECRET_KEY)

    broken = Check("host.broken", "warn", "", "", "", look)
    lines: list[Line] = []
    await examination.run(studio.patient(), [broken, host.processor], lines.append)
    assert [(line.code, line.state) for line in lines] == [("host.broken", "fail"), ("host.processor", "ok")]
    assert "KeyError" in lines[0].words
    assert SECRET_KEY not in lines[0].words


async def test_a_check_that_never_ends_is_a_line_like_any_other(studio: Studio) -> None:
    async def look(_: Patient) -> Finding:
        await anyio.sleep_forever()
        raise AssertionError

    studio.inputs["deadline"] = 0.1
    line = await Check("host.endless", "warn", "", "Why.", "Do.", look).examine(studio.patient())
    assert (line.state, line.words, line.fix) == ("warn", "no answer within 0.1 s", "Why. Do.")


async def test_a_wrong_vault_is_named_by_its_fingerprint_before_anything_is_opened(studio: Studio) -> None:
    await another_key_of_the_same_id(studio)
    words = (await studio.examined("secrets.opens"))["secrets.opens"].words
    digits = Vault({"k1": base64.b64decode(VAULT_KEYS[3:])}).fingerprint
    assert words.startswith(f"this database is sealed with k1 ({digits}); the vault has k1 (")


async def test_only_a_group_or_one_check_is_looked_at(studio: Studio) -> None:
    assert {line.code.partition(".")[0] for line in (await studio.examined("bot")).values()} == {"bot"}
    assert set(await studio.examined("host.disk")) == {"host.disk"}
    with pytest.raises(Refused, match="'nonsense' is neither a group"):
        examination.choose("nonsense")


async def test_nothing_answers_and_the_doctor_is_done_in_half_a_minute(studio: Studio) -> None:
    """Every door opens, and nobody says a word. The short form has shorter deadlines."""
    if not os.environ.get("FAULT_FULL"):
        studio.inputs |= {"deadline": 3.0, "opening": 2.0}
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        studio.settings |= {
            "database_url": f"postgresql://limner@127.0.0.1:{port}/limner", "public_url": f"https://localhost:{port}",
            "telegram_url": f"http://127.0.0.1:{port}", "storage": "s3", "s3_endpoint": f"http://127.0.0.1:{port}",
            "s3_access_key": "AKIDEXAMPLE0", "s3_secret_key": "not-the-same-as-others",
        }  # fmt: skip
        began = time.monotonic()
        lines = await studio.examined()
        assert time.monotonic() - began < 30
    assert {"database.answers", "storage.round_trip"} <= turned(lines)
    assert lines["books.ledger"].state == lines["work.worker"].state == "skip"
    assert lines["books.ledger"].words == "the database does not answer"


def test_the_command_says_it_in_json_and_in_its_exit_code(tmp_path: Path) -> None:
    done = limner("doctor", "--json", "--only", "settings", folder=tmp_path, data_dir=tmp_path)
    said = json.loads(done.stdout)
    assert (done.returncode, said["verdict"]) == (0, 0), done.stdout + done.stderr
    assert {"code", "state", "words", "fix"} == set(said["lines"][0])


def test_wrong_settings_are_a_finding_and_not_the_end(tmp_path: Path) -> None:
    done = limner("doctor", "--only", "settings", folder=tmp_path, data_dir=tmp_path, lease="soon", worker_slot=3)
    assert done.returncode == 2
    assert "FAIL  settings.valid" in done.stdout
    assert "LIMNER_LEASE" in done.stdout
    assert "did you mean LIMNER_WORKER_SLOTS?" in done.stdout
    assert limner("doctor", "--only", "nonsense", folder=tmp_path).returncode == 1


async def test_every_statement_of_the_doctor_prepares(clinic: Clinic) -> None:
    connection = await asyncpg.connect(clinic.dsn)
    count = 0
    for info in pkgutil.iter_modules(doctor.__path__, f"{doctor.__name__}."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if (
                name.isupper()
                and isinstance(value, str)
                and re.match(r"\s*(with|select|insert|update|delete)\s", value)
            ):
                await connection.prepare(value)
                count += 1
    await connection.close()
    assert count > 25
