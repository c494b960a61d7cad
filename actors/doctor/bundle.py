"""`limner support-bundle`: what somebody who helps needs to know of a studio, and nothing of its people or secrets."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import sys
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from limner.actors.doctor import examination
from limner.actors.doctor.patient import Patient, Skip
from limner.actors.doctor.private import Private
from limner.runtime.config import Config, ConfigError
from limner.runtime.database import TROUBLE, Db
from limner.runtime.errors import Refused
from limner.runtime.report import Line
from limner.sql import crew, roster, schema

LINES = 500
"""Lines of each log, from its end."""
LONGEST_LOG = 2**20
ABOUT = """What `limner support-bundle` collected: settings with secrets masked, versions, what the doctor found,
processes and mailboxes, alerts, reasons of dead letters, rough counts, ends of logs.
No secrets, no prompts, no e-mail addresses, no pictures. Look through it before you send it.
"""

Files = dict[str, str]


async def bundle(settings: Config | ConfigError, folder: Path, out: Path | None) -> list[str]:
    """Write the archive, to standard output when ``out`` is None; returns what is in it, a line each.

    Raises Refused when ``out`` is there already.
    """
    _refuse_if_there(out)
    patient = Patient(settings, folder)
    async with patient.opened():
        found: dict[str, Any] = {"doctor.json": await _doctor(patient), "versions.json": _versions()}
        private = Private(set(patient.secrets))
        try:
            db = await patient.db()
            await private.learn(db, patient.config)
            found |= {name: await _read(db, patient, read) for name, read in READERS.items()}
        except Skip as why:
            found["database.json"] = str(why)
    found["settings.json"] = _settings(patient)
    found |= {f"logs/{name}": text for name, text in _logs(patient).items()}
    clean = private.cleaner()
    files = {"README.txt": ABOUT} | {name: _text(clean(value)) for name, value in found.items()}
    _put(out, _packed(files))
    return [f"{name}: {len(text):,} characters" for name, text in files.items()]


async def _doctor(patient: Patient) -> list[dict[str, str]]:
    lines: list[Line] = []
    await examination.run(patient, examination.CHECKS, lines.append)
    return [vars(line) for line in lines]


def _versions() -> dict[str, Any]:
    packages = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    return {
        "limner": packages.get("limner", ""),
        "schema_head": schema.head(),
        "python": sys.version,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _settings(patient: Patient) -> dict[str, Any]:
    if isinstance(patient.settings, ConfigError):
        return {"mistakes": patient.settings.mistakes}
    return patient.settings.redacted() | {"names in .env": sorted(patient.env_file)}


async def _census(db: Db, patient: Patient) -> object:
    return roster.data(await crew.processes(db, patient.config.lease), await crew.depths(db))


MIGRATIONS = "select version, description, installed_on::text from public.schema_version order by version"
WINDOW = "select min_image_head from schema_window"


async def _schema(db: Db, _: Patient) -> object:
    applied = [dict(row) for row in await db.fetch(MIGRATIONS)]
    return {"head": schema.head(), "min_image_head": await db.fetchval(WINDOW), "applied": applied}


ALERTS = """
select cause, words, began_at::text, ended_at::text from alert order by began_at desc limit 50
"""


async def _alerts(db: Db, _: Patient) -> object:
    return [dict(row) for row in await db.fetch(ALERTS)]


# Never the payload, which may be somebody's words.
DEAD_LETTERS = """
select mailbox, kind, attempts, reason, created_at::text, died_at::text from dead_letter order by died_at desc limit 200
"""


async def _dead_letters(db: Db, _: Patient) -> object:
    return [dict(row) for row in await db.fetch(DEAD_LETTERS)]


# Estimates: to count a large table takes minutes.
COUNTS = """
select relname as table, n_live_tup as rows, n_dead_tup as dead, pg_total_relation_size(relid) as bytes,
    greatest(last_vacuum, last_autovacuum)::text as vacuumed
from pg_stat_user_tables order by relname
"""
FAULTS = """
select p.code as provider, a.fault, count(*) as n from attempt as a
join provider_key as k on k.id = a.key_id join provider as p on p.id = k.provider_id
where a.finished_at > now() - interval '7 days' group by 1, 2 order by 3 desc
"""
KEYS = """
select p.code as provider, k.state, count(*) as n from provider_key as k join provider as p on p.id = k.provider_id
group by 1, 2 order by 1, 2
"""


async def _counts(db: Db, _: Patient) -> object:
    named = {"tables": COUNTS, "faults of 7 days": FAULTS, "keys": KEYS}
    return {name: [dict(row) for row in await db.fetch(statement)] for name, statement in named.items()}


# Commands and addresses of other servers may hold passwords.
SERVER = """
select name, setting, unit, source from pg_settings
where source not in ('default', 'client', 'session', 'override')
    and name !~ '(command|conninfo|password|passphrase|ssl_.*file|_library|_libraries)' order by name
"""


async def _server(db: Db, _: Patient) -> object:
    return {"version": await db.fetchval("select version()"), "settings": [dict(row) for row in await db.fetch(SERVER)]}


RUNS = """
select kind, state, name, bytes, why, started_at::text, ended_at::text from backup_run order by started_at desc limit 50
"""


async def _backups(db: Db, _: Patient) -> object:
    return [dict(row) for row in await db.fetch(RUNS)]


READERS: dict[str, Callable[[Db, Patient], Awaitable[object]]] = {
    "actors.json": _census,
    "schema.json": _schema,
    "alerts.json": _alerts,
    "dead-letters.json": _dead_letters,
    "counts.json": _counts,
    "postgres.json": _server,
    "backups.json": _backups,
}


async def _read(db: Db, patient: Patient, read: Callable[[Db, Patient], Awaitable[object]]) -> object:
    try:
        return await read(db, patient)
    except (asyncpg.PostgresError, *TROUBLE) as error:
        return f"cannot be read: {type(error).__name__}: {error}"


def _logs(patient: Patient) -> Files:
    """The ends of the all-in-one's logs."""
    if isinstance(patient.settings, ConfigError):
        return {}
    return {path.name: _end(path) for path in sorted((patient.settings.data_dir / "logs").glob("*.log"))}


def _end(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LONGEST_LOG, 0))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-LINES:])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _refuse_if_there(out: Path | None) -> None:
    if out is not None and out.exists():
        raise Refused(f"--out: {str(out)!r} is there already: choose another name", field="out")


def _packed(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"limner-support/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _put(out: Path | None, data: bytes) -> None:
    """The archive appears whole or not at all, for its owner alone."""
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    handle, draft = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.link(draft, out)
    finally:
        Path(draft).unlink(missing_ok=True)
