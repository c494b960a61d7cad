"""The object store: a folder or an S3 bucket behind six methods that never overwrite."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless, NotFound

DEADLINE = 30.0
"""Seconds for one call, whatever the size; a stream has as many for each chunk."""
CHUNK = 65536
KEY = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,199}(/[a-z0-9_-][a-z0-9._-]{0,199})*")
PREFIX = re.compile(r"[a-z0-9._/-]*")
KEY_LENGTH = 800


class Missing(NotFound):
    """Nothing is stored under this key."""

    def __init__(self, key: str) -> None:
        super().__init__("This file is not in the storage.")
        self.key = key


class KeyTaken(Hopeless):
    """Other bytes are stored under this key; they stay."""


class StorageUnavailable(Busy):
    """The folder or the bucket cannot be used at the moment; the message is one line and names it."""


@dataclass(frozen=True)
class Stored:
    """What was put: ``size`` in bytes, ``sha256`` in hexadecimal."""

    key: str
    size: int
    sha256: str


class Storage(Protocol):
    """Bytes under keys: relative posix paths of ``[a-z0-9/._-]`` whose parts do not begin with a dot.

    Every method raises ValueError for another key and StorageUnavailable when the store cannot answer.
    """

    async def put(self, key: str, data: bytes, mime: str) -> Stored:
        """Durable when it returns. Putting the same bytes again succeeds; other bytes raise KeyTaken."""

    async def get(self, key: str, *, is_fresh: bool = False) -> bytes:
        """The bytes. ``is_fresh``: they were put a moment ago, so they may be in memory. Raises Missing."""

    def stream(self, key: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        """The bytes in pieces of at most ``chunk``. Raises Missing at the first piece."""

    async def head(self, key: str) -> int | None:
        """The size in bytes, or None when nothing is stored."""

    async def delete(self, key: str) -> None:
        """Afterwards nothing is stored under the key, whether or not something was."""

    def list(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with ``prefix``, in no promised order."""


@contextlib.asynccontextmanager
async def open_storage(config: Config) -> AsyncIterator[Storage]:
    """The configured storage, tried out: the folder or bucket exists by now. Raises StorageUnavailable."""
    if config.storage == "folder":
        from limner.runtime.folder import Folder

        folder = Folder(config.pictures_folder)
        await folder.prepare()
        yield folder
    else:
        from limner.runtime.bucket import open_bucket  # 28 MB and most of a second: only who uses S3 pays for it

        async with open_bucket(config) as bucket:
            await bucket.prepare()
            yield bucket


def check_key(key: str) -> str:
    """The key itself. Raises ValueError when it is not one."""
    if len(key) > KEY_LENGTH or not KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def check_prefix(prefix: str) -> str:
    if not PREFIX.fullmatch(prefix) or any(part.startswith(".") for part in prefix.split("/")) or prefix[:1] == "/":
        raise ValueError(f"not a prefix of storage keys: {prefix!r}")
    return prefix


def describe(key: str, data: bytes) -> Stored:
    return Stored(check_key(key), len(data), hashlib.sha256(data).hexdigest())
