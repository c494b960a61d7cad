"""A folder of copies: files appear whole and durable, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread

from limner.actors.archivist.target import CHUNK, NAME, Bytes, NotKept, TargetUnavailable, Written
from limner.runtime import durable

T = TypeVar("T")

DEADLINE = 120.0
"""Seconds for one piece, or one flush to the disk: a network's folder may be slow."""
INCOMING = "~incoming"
"""Where files grow; no name of a copy can mean it."""


class FolderTarget:
    """Files under one folder, for its owner alone: they hold everybody's addresses and pictures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.called = str(root)

    async def prepare(self) -> None:
        await self._in_thread(lambda: _make(self.root / INCOMING))

    async def write(self, name: str, source: AsyncIterator[bytes]) -> Written:
        path, draft = self._path(name), self.root / INCOMING / secrets.token_hex(16)
        digest, size = hashlib.sha256(), 0
        try:
            with await self._in_thread(
                lambda: open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            ) as file:
                async for chunk in source:
                    digest.update(chunk)
                    size += len(chunk)
                    await self._in_thread(lambda: file.write(chunk))  # noqa: B023 - it is awaited right here
                await self._in_thread(lambda: _flush(file.fileno(), file.flush))
            await self._in_thread(lambda: _put(draft, path, self.root))
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(lambda: draft.unlink(missing_ok=True))
        return Written(size, digest.hexdigest())

    async def read(self, name: str) -> Bytes:
        path = self._path(name)
        with await self._in_thread(lambda: path.open("rb", buffering=0), name) as file:
            while chunk := await self._in_thread(lambda: file.read(CHUNK)):
                yield chunk

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        for name, size in await self._in_thread(lambda: list(_files(self.root, prefix))):
            yield name, size

    async def delete(self, name: str) -> None:
        path = self._path(name)
        await self._in_thread(lambda: _remove(path, self.root))

    async def sweep(self) -> None:
        for left in await self._in_thread(lambda: list((self.root / INCOMING).iterdir())):
            await self._in_thread(lambda: left.unlink(missing_ok=True))  # noqa: B023 - it is awaited right here

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError(f"not a name of a copy: {name!r}")
        return self.root / name

    async def _in_thread(self, work: Callable[[], T], name: str = "") -> T:
        try:
            with anyio.fail_after(DEADLINE):
                return await to_thread.run_sync(work, abandon_on_cancel=True)
        except TimeoutError:
            raise TargetUnavailable(f"the folder {self.root} does not answer in time") from None
        except OSError as error:
            if name and isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
                raise NotKept(f"{name} is not in {self.root}") from None
            raise TargetUnavailable(f"the folder {self.root} cannot be used: {error.strerror or error}") from None


def _flush(number: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(number)


def _make(folder: Path) -> None:
    """The folder and all above it that are not there; mkdir would open the latter to others."""
    for step in reversed((folder, *folder.parents)):
        if not step.is_dir():
            step.mkdir(mode=0o700, exist_ok=True)


def _put(draft: Path, path: Path, root: Path) -> None:
    _make(path.parent)
    draft.rename(path)
    for folder in path.relative_to(root).parents:
        durable.flush(root / folder)


def _files(root: Path, prefix: str) -> Iterator[tuple[str, int]]:
    """By walking only the folders that can hold such names."""
    top = root / prefix.rpartition("/")[0]
    for folder, folders, names in os.walk(top):
        below = {each: Path(folder, each).relative_to(root).as_posix() + "/" for each in folders}
        folders[:] = [
            each for each, name in below.items()
            if NAME.fullmatch(each) and (name.startswith(prefix) or prefix.startswith(name))
        ]  # fmt: skip
        for each in names:
            path = Path(folder, each)
            name = path.relative_to(root).as_posix()
            if NAME.fullmatch(name) and name.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    yield name, path.stat().st_size


def _remove(path: Path, root: Path) -> None:
    """The file, and the folders that are empty without it."""
    path.unlink(missing_ok=True)
    for folder in path.relative_to(root).parents:
        if folder == Path():
            return
        with contextlib.suppress(FileNotFoundError):
            try:
                (root / folder).rmdir()
            except OSError:
                return
