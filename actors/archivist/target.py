"""Where copies are kept: a folder or a bucket behind four methods that stream, so that no size is too big."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless

CHUNK = 1 << 20
NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,199}(/[a-z0-9_-][a-z0-9._-]{0,199})*")
Bytes = AsyncGenerator[bytes, None]


class TargetUnavailable(Busy):
    """The folder or bucket of the copies cannot be used at the moment; the message is one line and names it."""


class NotKept(Hopeless):
    """The target has nothing under this name."""


class Damaged(Hopeless):
    """What is kept is not what was written."""


@dataclass(frozen=True)
class Written:
    """``bytes`` and their ``sha256`` in hexadecimal."""

    bytes: int
    sha256: str


class Target(Protocol):
    """Names are relative posix paths. Every method raises TargetUnavailable."""

    called: str
    """How people call it: the folder's path, or the bucket and where it is."""

    async def write(self, name: str, source: AsyncIterator[bytes]) -> Written:
        """Keep the bytes durably, in place of others. Should the source raise, all is as before."""

    def read(self, name: str) -> Bytes:
        """The bytes in pieces. Raises NotKept at the first one."""

    def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """The names that begin with ``prefix``, with their sizes, in no promised order."""

    async def delete(self, name: str) -> None:
        """Afterwards nothing is there under the name, whether or not something was."""

    async def sweep(self) -> None:
        """Remove what was being written when its writer died. Only for whoever holds the archivist's lock."""


@contextlib.asynccontextmanager
async def open_target(config: Config) -> AsyncIterator[Target]:
    """The configured target, made if it was not there. Raises TargetUnavailable."""
    if config.backup_s3_bucket:
        from limner.actors.archivist.bucket import open_bucket  # most of a second: only who uses S3 pays for it

        async with open_bucket(config) as bucket:
            yield bucket
    else:
        from limner.actors.archivist.folder import FolderTarget

        folder = FolderTarget(config.backups_folder)
        await folder.prepare()
        yield folder


async def read_small(target: Target, name: str, most: int = 16 << 20) -> bytes:
    """All of it at once. Raises NotKept, and Damaged when it is bigger than anything of its kind."""
    data = bytearray()
    async with contextlib.aclosing(target.read(name)) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) > most:
                raise Damaged(f"{name} has more than {most} bytes")
    return bytes(data)


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """Bytes as a source for ``write``."""
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


async def check(target: Target, name: str, size: int, sha256: str) -> None:
    """Read it all. Raises Damaged when it is not what was written, or not there."""
    async with contextlib.aclosing(checked(target, name, size, sha256)) as chunks:
        async for _ in chunks:
            continue


async def checked(target: Target, name: str, size: int, sha256: str) -> Bytes:
    """The bytes in pieces; at their end raises Damaged when they were not what was written."""
    digest, seen = hashlib.sha256(), 0
    try:
        async with contextlib.aclosing(target.read(name)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
                seen += len(chunk)
                yield chunk
    except NotKept:
        raise Damaged(f"{name} is not there") from None
    if seen != size:
        raise Damaged(f"{name} has {seen} bytes, {size} were written")
    if digest.hexdigest() != sha256:
        raise Damaged(f"{name} has changed: its SHA-256 is not that of what was written")
