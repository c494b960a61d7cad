"""The object store as a folder: one file for each key, linked into place when its bytes are durable."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread

from limner.runtime import durable
from limner.runtime.storage import (
    CHUNK,
    DEADLINE,
    KEY,
    KeyTaken,
    Missing,
    StorageUnavailable,
    Stored,
    check_key,
    check_prefix,
    describe,
)

T = TypeVar("T")
_Namer = Callable[[Path], None]
"""Gives written bytes their name, durably. Unlike a rename, it refuses to replace."""

MOST_SETTLED = 4096
"""Folders that a process remembers: those of pictures are 256, those of releases before as many as the pictures."""
NEAR = ("ext4", "xfs")
"""File systems that keep the last name of a file that is flushed, as Btrfs does not, and that can read without a wait."""
INLINE = 2**20
"""Bytes that are read on the spot when the system has them in memory: up to a tenth of a millisecond."""


class Folder:
    """Files under one folder. Half-written ones have no name, or one in ``~incoming``, which no key can name."""

    LEFTOVER = 3600  # seconds: older than any put that could still be running

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / "~incoming"
        self._settled: set[Path] = set()
        """Folders whose names are durable, as far as this process has seen to it."""
        self._is_near = False
        self._written: Callable[[bytes], contextlib.AbstractContextManager[_Namer]] = self._named

    async def prepare(self) -> None:
        await self._in_thread(self._try_out)

    async def put(self, key: str, data: bytes, mime: str) -> Stored:
        check_key(key)
        return await self._in_thread(lambda: self._write(key, data))

    async def get(self, key: str, *, is_fresh: bool = False) -> bytes:
        path = self._path(key)
        if is_fresh and self._is_near and (found := _at_hand(path)) is not None:
            return found
        return await self._in_thread(lambda: _read(path), key)

    async def stream(self, key: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        path = self._path(key)
        with await self._in_thread(lambda: path.open("rb", buffering=0), key) as file:
            while piece := await self._in_thread(lambda: file.read(chunk), key, abandon=False):
                yield piece

    async def head(self, key: str) -> int | None:
        path = self._path(key)
        with contextlib.suppress(Missing):
            return await self._in_thread(lambda: _size(path), key)
        return None

    async def delete(self, key: str) -> None:
        path = self._path(key)
        with contextlib.suppress(Missing):
            await self._in_thread(path.unlink, key)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        folders = [check_prefix(prefix).rpartition("/")[0]]
        while folders:
            folder = folders.pop()
            for name, is_folder in await self._in_thread(partial(_entries, self.root / folder)):
                key = f"{folder}/{name}" if folder else name
                if key.startswith(prefix) and not is_folder:
                    yield key
                elif key.startswith(prefix):
                    folders.append(key)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    async def _in_thread(self, work: Callable[[], T], key: str = "", *, abandon: bool = True) -> T:
        with self._translated(key), anyio.fail_after(DEADLINE):
            return await to_thread.run_sync(work, abandon_on_cancel=abandon)

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise StorageUnavailable(f"the folder {self.root} does not answer in time") from None
        except OSError as error:
            if key and isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
                raise Missing(key) from None
            raise StorageUnavailable(f"the folder {self.root} cannot be used: {error.strerror or error}") from None

    def _try_out(self) -> None:
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.flush(self.root.parent)
        for left in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process of ours sweeps too
                if left.stat().st_mtime < time.time() - self.LEFTOVER:
                    left.unlink()
        self._is_near = durable.kind_of(self._incoming) in NEAR and hasattr(os, "RWF_NOWAIT")
        self._written = self._unnamed if self._is_near else self._named
        try:
            self._try_link()
        except OSError:
            self._written = self._named
            self._try_link()

    def _try_link(self) -> None:
        """Some network file systems have no hard links."""
        probe = self._incoming / secrets.token_hex(16)
        with self._written(b"") as name:
            name(probe)
        probe.unlink()

    # Each call to the system lets go of the interpreter, and has to wait for it again while the process is busy: so there are
    # few of them, and pictures share their folders.

    def _write(self, key: str, data: bytes) -> Stored:
        path = self.root / key
        with self._written(data) as name:
            try:
                self._place(name, path)
            except (FileExistsError, NotADirectoryError):
                if not path.is_file() or path.read_bytes() != data:
                    raise KeyTaken(f"other bytes are stored under {key}") from None
                durable.flush(path.parent)  # whoever put them may not have come that far
        self._settle(path.parent)
        return describe(key, data)

    def _place(self, name: _Namer, path: Path) -> None:
        try:
            name(path)
        except FileNotFoundError:
            self._settled.discard(path.parent)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            name(path)

    def _settle(self, folder: Path) -> None:
        """Make the name of this folder durable, and of those that it is in."""
        while folder != self.root and folder not in self._settled:
            durable.flush(folder.parent)
            if len(self._settled) < MOST_SETTLED:
                self._settled.add(folder)
            folder = folder.parent

    @contextlib.contextmanager
    def _unnamed(self, data: bytes) -> Iterator[_Namer]:
        """Durable bytes that are gone when nobody names them. Linux alone has this."""
        handle = os.open(self._incoming, os.O_WRONLY | os.O_TMPFILE | os.O_SYNC, 0o600)

        def name(path: Path) -> None:
            # With a handle of a folder, whichever, the link under /proc is followed.
            os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle)
            os.fsync(handle)  # the same transaction of the file system has the file's count of names and its name

        try:
            _write_all(handle, data)
            yield name
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _named(self, data: bytes) -> Iterator[_Namer]:
        """Durable bytes under a name that goes when they have another."""
        temporary = self._incoming / secrets.token_hex(16)

        def name(path: Path) -> None:
            os.link(temporary, path)
            durable.flush(path.parent)

        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            yield name
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _at_hand(path: Path) -> bytes | None:
    """What the system has in memory; None when it has to be read, or is not there. To open a fresh file takes no wait."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOATIME)  # to note that it was read is a write
    except OSError:
        return None
    try:
        if (size := os.fstat(handle).st_size) > INLINE:
            return None
        found = bytearray(size)
        return bytes(found) if os.preadv(handle, [found], 0, os.RWF_NOWAIT) == size else None
    except OSError:  # BlockingIOError: it would have to wait
        return None
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        found = os.read(handle, size + 1)  # of a folder too, which refuses it
        while len(found) < size and (more := os.read(handle, size - len(found))):
            found += more
        return found
    finally:
        os.close(handle)


def _size(path: Path) -> int:
    with path.open("rb") as file:  # unlike stat, refuses a folder
        return os.fstat(file.fileno()).st_size


def _entries(folder: Path) -> list[tuple[str, bool]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir()) for entry in entries if KEY.fullmatch(entry.name)]
    return []
