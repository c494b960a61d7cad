"""The object store as an S3 bucket. Nothing but plain S3 is spoken, so any server of it will do."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import aioboto3
import aiohttp
import anyio
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from limner.runtime.config import Config
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

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# What S3 servers answer, by meaning. A HEAD has no body, so its code is the status.
GONE = {"NoSuchKey", "404"}
TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
DEAF = {"NotImplemented", "501", "InvalidArgument"}
HOME = "us-east-1"  # the one region that must not be named when a bucket is created


@contextlib.asynccontextmanager
async def open_bucket(config: Config) -> AsyncIterator[Bucket]:
    """The configured bucket, with its client open for as long as the block."""
    limits = {
        "connect_timeout": 5,
        "read_timeout": 20,
        "retries": {"mode": "standard", "max_attempts": 3},
        "max_pool_connections": 20,
    }
    async with open_client(
        config.s3_endpoint, config.s3_region, config.s3_access_key, config.s3_secret_key, **limits
    ) as client:
        yield Bucket(client, config)


def open_client(
    endpoint: str | None, region: str, access: SecretStr | None, secret: SecretStr | None, **limits: Any
) -> AbstractAsyncContextManager[S3Client]:
    """Speaks plain S3 to any server of it. ``limits``: time-outs in seconds and the like, as botocore's Config calls them."""
    options = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **limits,
    )
    return aioboto3.Session().client(  # type: ignore[no-any-return]
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access.get_secret_value() if access else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=options,
    )


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
        stored = describe(key, data)
        with self._translated():
            if await self._is_there(stored) or await self._put(stored, data, mime, IfNoneMatch="*"):
                return stored
            await self._put(stored, data, mime)
            return stored

    async def get(self, key: str, *, is_fresh: bool = False) -> bytes:
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
        where: dict[str, Any] = {"Bucket": self._name, "Prefix": check_prefix(prefix)}
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


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", "an unnamed error"))
