"""How a new session gets into Postgres: by the password that the address's file has now, not the one of our start."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import anyio
import asyncpg

FILES = ("LIMNER_DATABASE_URL_FILE", "LIMNER_DATABASE_DIRECT_URL_FILE")
PAUSES = (0.05, 0.2, 0.5, 1.0)
"""Seconds between tries: while a password is rotated, Postgres and the file differ for a moment."""


async def enter(dsn: str | None, **options: Any) -> Any:
    """As asyncpg.connect. A password that was rotated since our start is no obstacle."""
    for pause in PAUSES:
        with contextlib.suppress(asyncpg.InvalidPasswordError):
            return await asyncpg.connect(dsn, password=password_of(dsn), **options)
        await anyio.sleep(pause)
    return await asyncpg.connect(dsn, password=password_of(dsn), **options)


def password_of(dsn: str | None) -> str | None:
    """The present password for this address; None when it needs none, or its own will do."""
    ours = urlsplit(dsn or "")
    if not ours.password:
        return None
    for text in _present():
        theirs = urlsplit(text)
        if theirs.password and _without_password(theirs) == _without_password(ours):
            return unquote(theirs.password)
    return None


def _present() -> list[str]:
    found = []
    for name in FILES:
        if path := os.environ.get(name):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.append(Path(path).read_text(encoding="utf-8").strip())
    return found


def _without_password(parts: SplitResult) -> tuple[str | None, str, str, str]:
    return parts.username, parts.netloc.rpartition("@")[2], parts.path, parts.query
