"""The object store: a folder or an S3 bucket behind six methods that never overwrite."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
from anyio import to_thread

from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless, NotFound

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds for one call, whatever the size; a stream has as many for each chunk."""
CHUNK = 65536
KEY = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,199}(/[a-z0-9_-][a-z0-9._-]{0,199})*")
PREFIX = re.compile(r"[a-z0-9._/-]*")
KEY_LENGTH = 800

# What S3 servers answer, by meaning. A HEAD has no body, so its code is the status.
GONE = {"NoSuchKey", "404"}
TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
DEAF = {"NotImplemented", "501", "InvalidArgument"}
HOME = "us-east-1"  # the one region that must not be named when a bucket is created


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

    async def get(self, key: str) -> bytes:
        """The bytes. Raises Missing."""

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
        folder = Folder(config.pictures_folder)
        await folder.prepare()
        yield folder
    else:
        async with _open_bucket(config) as bucket:
            await bucket.prepare()
            yield bucket


def check_key(key: str) -> str:
    """The key itself. Raises ValueError when it is not one."""
    if len(key) > KEY_LENGTH or not KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def _check_prefix(prefix: str) -> str:
    if not PREFIX.fullmatch(prefix) or any(part.startswith(".") for part in prefix.split("/")) or prefix[:1] == "/":
        raise ValueError(f"not a prefix of storage keys: {prefix!r}")
    return prefix


class Folder:
    """Files under one folder. Half-written ones are in ``~incoming``, which no key can name."""

    LEFTOVER = 3600  # seconds: older than any put that could still be running

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / "~incoming"

    async def prepare(self) -> None:
        await self._in_thread(self._try_out)

    async def put(self, key: str, data: bytes, mime: str) -> Stored:
        check_key(key)
        return await self._in_thread(lambda: self._write(key, data))

    async def get(self, key: str) -> bytes:
        path = self._path(key)
        return await self._in_thread(path.read_bytes, key)

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
        folders = [_check_prefix(prefix).rpartition("/")[0]]
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
        _flush(self.root.parent)
        for left in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process of ours sweeps too
                if left.stat().st_mtime < time.time() - self.LEFTOVER:
                    left.unlink()
        with self._written(b"") as probe:  # some network file systems have no hard links
            linked = probe.with_suffix(".linked")
            linked.hardlink_to(probe)
            linked.unlink()

    def _write(self, key: str, data: bytes) -> Stored:
        path = self.root / key
        with self._written(data) as temporary:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.hardlink_to(temporary)  # unlike rename, it refuses to replace
            except (FileExistsError, NotADirectoryError):
                if not path.is_file() or path.read_bytes() != data:
                    raise KeyTaken(f"other bytes are stored under {key}") from None
        for folder in path.relative_to(self.root).parents:
            _flush(self.root / folder)
        return _describe(key, data)

    @contextlib.contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        temporary = self._incoming / secrets.token_hex(16)
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


class Bucket:
    """Objects in one S3 bucket. It looks before it puts: not every server heeds the condition of the put itself."""

    def __init__(self, client: S3Client, config: Config) -> None:
        self._client = client
        self._name = config.s3_bucket
        self._region = config.s3_region
        self._called = f"the bucket {config.s3_bucket!r} at {config.s3_endpoint or 'Amazon'}"

    async def prepare(self) -> None:
        with self._translated():
            await self._make()
        probe = f"probe/{secrets.token_hex(16)}"
        await self.put(probe, b"", "text/plain")
        await self.delete(probe)

    async def put(self, key: str, data: bytes, mime: str) -> Stored:
        stored = _describe(key, data)
        with self._translated():
            if await self._is_there(stored) or await self._put(stored, data, mime, IfNoneMatch="*"):
                return stored
            await self._put(stored, data, mime)
            return stored

    async def get(self, key: str) -> bytes:
        with self._translated(check_key(key)):
            body = (await self._client.get_object(Bucket=self._name, Key=key))["Body"]
            async with body:
                return bytes(await body.read())

    async def stream(self, key: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        with self._translated(check_key(key)):
            body = (await self._client.get_object(Bucket=self._name, Key=key))["Body"]
        async with body:
            piece = b"-"
            while piece:
                with self._translated(key):
                    piece = await body.read(chunk)
                if piece:
                    yield piece

    async def head(self, key: str) -> int | None:
        with contextlib.suppress(Missing), self._translated(check_key(key)):
            return (await self._client.head_object(Bucket=self._name, Key=key))["ContentLength"]
        return None

    async def delete(self, key: str) -> None:
        with contextlib.suppress(Missing), self._translated(check_key(key)):
            await self._client.delete_object(Bucket=self._name, Key=key)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        where: dict[str, Any] = {"Bucket": self._name, "Prefix": _check_prefix(prefix)}
        more = True
        while more:
            with self._translated():
                page = await self._client.list_objects_v2(**where)
            for key in (found["Key"] for found in page.get("Contents", [])):
                if KEY.fullmatch(key):
                    yield key
            more = page["IsTruncated"]
            where["ContinuationToken"] = page.get("NextContinuationToken")

    @contextlib.contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        import aiohttp
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with anyio.fail_after(DEADLINE):
                yield
        except ClientError as error:
            if key and _code(error) in GONE:
                raise Missing(key) from None
            raise StorageUnavailable(f"{self._called} refuses: {_code(error)}") from None
        except TimeoutError:
            raise StorageUnavailable(f"{self._called} does not answer in time") from None
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise StorageUnavailable(f"{self._called} cannot be used: {' '.join(str(error).split())}") from None

    async def _make(self) -> None:
        errors = self._client.exceptions
        location: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            await self._client.head_bucket(Bucket=self._name)
        except errors.ClientError as error:
            if _code(error) not in GONE:
                raise
            with contextlib.suppress(errors.BucketAlreadyOwnedByYou):  # the other processes start at the same time
                await self._client.create_bucket(Bucket=self._name, **({} if self._region == HOME else location))

    async def _put(self, stored: Stored, data: bytes, mime: str, **condition: Any) -> bool:
        """False when the server does not know the condition. Raises KeyTaken."""
        about = {"Bucket": self._name, "Key": stored.key, "ContentType": mime, "Metadata": {"sha256": stored.sha256}}
        try:
            await self._client.put_object(Body=data, **about, **condition)  # type: ignore[arg-type]
        except self._client.exceptions.ClientError as error:
            if condition and _code(error) in DEAF:
                return False
            if _code(error) not in TAKEN or not await self._is_there(stored):
                raise
        return True

    async def _is_there(self, stored: Stored) -> bool:
        """True for the same bytes, False for none. Raises KeyTaken for others."""
        try:
            found = await self._client.head_object(Bucket=self._name, Key=stored.key)
        except self._client.exceptions.ClientError as error:
            if _code(error) not in GONE:
                raise
            return False
        if (found["ContentLength"], found["Metadata"].get("sha256")) != (stored.size, stored.sha256):
            raise KeyTaken(f"other bytes are stored under {stored.key}")
        return True


@contextlib.asynccontextmanager
async def _open_bucket(config: Config) -> AsyncIterator[Bucket]:
    import aioboto3  # 28 MB and most of a second: only who uses S3 pays for it
    from aiobotocore.config import AioConfig

    options = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=5,
        read_timeout=20,
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=20,
    )
    access, secret = config.s3_access_key, config.s3_secret_key
    async with aioboto3.Session().client(
        "s3",
        endpoint_url=config.s3_endpoint,
        region_name=config.s3_region,
        aws_access_key_id=access.get_secret_value() if access else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=options,
    ) as client:
        yield Bucket(client, config)


def _describe(key: str, data: bytes) -> Stored:
    return Stored(check_key(key), len(data), hashlib.sha256(data).hexdigest())


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", "an unnamed error"))


def _size(path: Path) -> int:
    with path.open("rb") as file:  # unlike stat, refuses a folder
        return os.fstat(file.fileno()).st_size


def _entries(folder: Path) -> list[tuple[str, bool]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir()) for entry in entries if KEY.fullmatch(entry.name)]
    return []


def _flush(folder: Path) -> None:
    """Make the names in a folder durable: fsync of the file alone keeps its bytes, not its name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
