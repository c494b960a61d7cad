"""Rotating the password of the database: open sessions live on, and new ones get in by what the address's file says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from limner.actors.rotation import places
from limner.runtime.config import Config
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say

CODE = "rotate.database"
ADDRESSES = ("database_url", "database_direct_url")
ALONE = "postgres_password"
"""The file from which the Compose file's Postgres is made; it lies beside that of the address."""
ITERATIONS = 4096
DEADLINE = 10.0
LENGTHS = range(32, 129)
"""A password of such a length is followed by one of the same, which can be written where the old one lies."""
RESTART = "restart all roles now (Compose: docker compose restart web worker bot, and archivist if you have it)"


async def rotate(config: Config, say: Say, *, folder: Path | None = None) -> None:
    """Give the role of the database's address a new password, and write it where the address stands.

    The new password is on the disk before Postgres has it, so a run that was killed is simply run again.
    Raises Refused.
    """
    if config.database_url is None:
        raise Refused("LIMNER_DATABASE_URL is empty: the embedded Postgres lets nobody in from outside, by no password")
    paths = {name: places.path_of(config, name, folder) for name in ADDRESSES if places.value_of(config, name)}
    main = paths["database_url"]
    with places.alone(main.parent):
        draft = main.with_name(".database_password.next")
        if not draft.is_file():
            places.replace(draft, places.word(_length(config)))
        password = places.read(draft)
        role = await _alter(config, password)
        seen = [_put(path, _with_password(places.value_of(config, name), password)) for name, path in paths.items()]
        if (alone := main.with_name(ALONE)).is_file():
            places.replace(alone, password)
        await _prove(_with_password(places.value_of(config, "database_url"), password))
        places.remove(draft)
    say(Line(CODE, "ok", f"Postgres has a new password for {role}, and takes it"))
    say(_outcome(", ".join(str(path) for path in paths.values()), in_place=all(seen)))


def _length(config: Config) -> int:
    old = urlsplit(places.value_of(config, "database_url")).password or ""
    return len(old) if len(old) in LENGTHS else 40


def _put(path: Path, text: str) -> bool:
    """Whether processes that run see it, too: those in containers keep the file that they were started with."""
    if path.is_file() and places.overwrite(path, text):
        return True
    places.replace(path, text)
    return False


def _outcome(where: str, *, in_place: bool) -> Line:
    if in_place:
        return Line(CODE, "ok", f"{where} has it: processes that have this file open their next sessions with it",
                    "those that have the address itself in their environment need a restart")  # fmt: skip
    return Line(CODE, "warn", f"{where} has it, but containers that run still see the old file", RESTART)


# A verifier instead of the password: what is executed may end up in the server's log.
STATEMENT = "select format('alter role %I password %L', current_user, $1::text)"


async def _alter(config: Config, password: str) -> str:
    """Returns the role's name."""
    connection = await _enter(config, password)
    try:
        await connection.execute(await connection.fetchval(STATEMENT, _verifier(password)))
        return str(await connection.fetchval("select current_user"))
    except asyncpg.PostgresError as error:
        raise Refused(f"Postgres does not change the password: {error}") from None
    finally:
        await connection.close(timeout=DEADLINE)


async def _enter(config: Config, password: str) -> Any:
    """A session by the old password; by the new one, when an earlier run came that far."""
    dsn = config.direct_dsn or config.dsn
    with contextlib.suppress(asyncpg.InvalidAuthorizationSpecificationError):
        return await _connect(dsn)
    try:
        return await _connect(_with_password(dsn, password))
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise Refused(f"Postgres does not let us in with LIMNER_DATABASE_URL: {error}", field="database_url") from None


async def _prove(dsn: str) -> None:
    await (await _connect(dsn)).close(timeout=DEADLINE)


async def _connect(dsn: str) -> Any:
    try:
        return await asyncpg.connect(dsn, timeout=DEADLINE, command_timeout=DEADLINE, statement_cache_size=0)
    except TROUBLE as error:
        raise Refused(f"the database cannot be reached: {error or type(error).__name__}") from None


def _with_password(dsn: str, password: str) -> str:
    parts = urlsplit(dsn)
    user = quote(parts.username or "limner", safe="%")
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))


def _verifier(password: str) -> str:
    """What Postgres keeps of a password under scram-sha-256 (RFC 5802, and pg_authid in its manual)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, _hmac(salted, b"Server Key"))]
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()
