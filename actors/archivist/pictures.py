"""The pictures of a backup: copied once into the target, and put back into the storage."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from limner.actors.archivist import inventory
from limner.actors.archivist.inventory import Entry
from limner.actors.archivist.target import Damaged, Target, check, checked
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import as_raised
from limner.runtime.folder import Folder
from limner.runtime.storage import CHUNK, Missing, Storage, StorageUnavailable, Stored
from limner.sql import backups
from limner.sql.backups import Named

T = TypeVar("T")
R = TypeVar("R")

ROUND = 30
"""Days in which every object of the target is read once, for disks and bits rot in silence."""
AT_ONCE = 6
"""Objects on their way at a time."""


@contextlib.asynccontextmanager
async def reading(config: Config) -> AsyncIterator[Storage]:
    """The configured storage without trying it out: a backup only reads, and may be let no further."""
    if config.storage == "folder":
        yield Folder(config.pictures_folder)
    else:
        from limner.runtime.bucket import open_bucket  # most of a second: only who uses S3 pays for it

        async with open_bucket(config) as bucket:
            yield bucket


async def copy(
    named: Iterable[Named], storage: Storage, target: Target, live: Db, known: dict[str, Entry], day: int
) -> list[Entry]:
    """Have the target keep all of them; returns the inventory, by key.

    ``known``: entries of an earlier backup. They are believed when the target still has as many bytes, but for the
    share whose turn it is on this ``day``. What else the target has is read, and what is copied is read back.
    Raises Damaged when it came back changed, and TargetUnavailable.
    """
    there = await inventory.sizes(target)

    async def one(each: Named) -> Entry:
        before = known.get(each.key)
        before = before if before and before.state == "kept" and _agree(each, before) else None
        if before and there.get(each.key) == before.bytes and (zlib.crc32(each.key.encode()) + day) % ROUND:
            return before
        if each.key in there and (found := await _found(target, each)) and before in (None, found):
            return found
        return await _copied(each, storage, target, live)

    return sorted(await _all(one, {each.key: each for each in named}.values()), key=lambda entry: entry.key)


async def put_back(entries: Iterable[Entry], target: Target, storage: Storage) -> tuple[int, list[str]]:
    """Put what the storage lacks back into it. Returns how many, and the keys that are in neither of the two.

    Raises KeyTaken when the storage has other bytes under a key, StorageUnavailable and TargetUnavailable.
    """
    lost: list[str] = []

    async def one(entry: Entry) -> int:
        if await storage.head(entry.key) == entry.bytes:
            return 0
        try:
            data = b"".join([chunk async for chunk in checked(target, entry.name, entry.bytes, entry.sha256)])
        except Damaged:
            lost.append(entry.key)
            return 0
        await storage.put(entry.key, data, entry.mime)
        return 1

    return sum(await _all(one, (entry for entry in entries if entry.state == "kept"))), sorted(lost)


class Shelf:
    """The pictures of a backup as a storage to read from, so that the books can be checked against them."""

    def __init__(self, target: Target, entries: Iterable[Entry], there: dict[str, int]) -> None:
        self._target = target
        self._entries = {entry.key: entry for entry in entries if entry.state == "kept"}
        self._there = there

    async def put(self, key: str, data: bytes, mime: str) -> Stored:
        raise StorageUnavailable("a backup is only read")

    async def delete(self, key: str) -> None:
        raise StorageUnavailable("a backup is only read")

    async def get(self, key: str, *, is_fresh: bool = False) -> bytes:
        return b"".join([chunk async for chunk in self.stream(key)])

    async def stream(self, key: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        entry = self._entries.get(key)
        if entry is None:
            raise Missing(key)
        async for piece in checked(self._target, entry.name, entry.bytes, entry.sha256):
            yield piece

    async def head(self, key: str) -> int | None:
        return self._there.get(key) if key in self._entries else None

    async def list(self, prefix: str) -> AsyncIterator[str]:
        for key in self._entries:
            if key.startswith(prefix):
                yield key


def _agree(named: Named, entry: Entry) -> bool:
    """Whether the bytes are those that the row speaks of. A thumbnail's row says nothing."""
    return named.sha256 in (None, entry.sha256) and named.bytes in (None, entry.bytes)


async def _found(target: Target, named: Named) -> Entry | None:
    """What the target has already, read from end to end; None when that is something else."""
    digest, size = hashlib.sha256(), 0
    async for chunk in target.read(inventory.OBJECTS + named.key):
        digest.update(chunk)
        size += len(chunk)
    entry = Entry(key=named.key, mime=named.mime, bytes=size, sha256=digest.hexdigest())
    return entry if _agree(named, entry) else None


async def _copied(named: Named, storage: Storage, target: Target, live: Db) -> Entry:
    name = inventory.OBJECTS + named.key
    try:
        written = await target.write(name, storage.stream(named.key))
    except Missing:
        return await _without(named, live)
    entry = Entry(key=named.key, mime=named.mime, bytes=written.bytes, sha256=written.sha256)
    if _agree(named, entry):
        await check(target, name, entry.bytes, entry.sha256)
        return entry
    await target.delete(name)  # the storage has other bytes than were delivered
    return await _without(named, live)


async def _without(named: Named, live: Db) -> Entry:
    state = "gone" if await backups.was_let_go(live, named.key) else "missing"
    shown = {
        "key": named.key,
        "mime": named.mime,
        "bytes": named.bytes or 0,
        "sha256": named.sha256 or "",
        "state": state,
    }
    return Entry.model_validate(shown)


async def _all(one: Callable[[T], Awaitable[R]], work: Iterable[T]) -> list[R]:
    """Do it with each, AT_ONCE at a time; the first error ends them all."""
    done: list[R] = []
    waiting = iter(work)

    async def rounds() -> None:
        for each in waiting:
            done.append(await one(each))  # noqa: PERF401 - one after another

    with as_raised():
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(rounds)
    return done
