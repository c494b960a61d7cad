"""A bucket of copies: plain S3, big ones in parts, so that no more than one part is in memory."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
from botocore.exceptions import BotoCoreError, ClientError

from limner.actors.archivist.target import CHUNK, NAME, Bytes, NotKept, TargetUnavailable, Written, in_pieces
from limner.runtime.bucket import HOME, open_client
from limner.runtime.config import Config

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

PART = 16 << 20
"""Bytes: S3 takes 10,000 parts, so 156 GB fit. Each but the last must have 5 MB."""
DEADLINE = 180.0
"""Seconds for one call, a part of 16 MB among them."""
GONE = {"NoSuchKey", "NoSuchBucket", "404"}


@contextlib.asynccontextmanager
async def open_bucket(config: Config) -> AsyncIterator[BucketTarget]:
    """The configured bucket, made if it was not there. Raises TargetUnavailable."""
    limits = {"connect_timeout": 10, "read_timeout": 60, "retries": {"mode": "standard", "max_attempts": 4}}
    async with open_client(
        config.backup_s3_endpoint,
        config.backup_s3_region,
        config.backup_s3_access_key,
        config.backup_s3_secret_key,
        **limits,
    ) as client:
        bucket = BucketTarget(client, config)
        await bucket.prepare()
        yield bucket


class BucketTarget:
    """Objects in one S3 bucket that holds nothing else."""

    def __init__(self, client: S3Client, config: Config) -> None:
        assert config.backup_s3_bucket
        self._client = client
        self._bucket = config.backup_s3_bucket
        self._region = config.backup_s3_region
        self.called = f"the bucket {self._bucket!r} at {config.backup_s3_endpoint or 'Amazon'}"

    async def prepare(self) -> None:
        with self._translated():
            await self._make()
        probe = f"probe-{secrets.token_hex(8)}"
        await self.write(probe, in_pieces(b"may this bucket be written?"))
        await self.delete(probe)

    async def write(self, name: str, source: AsyncIterator[bytes]) -> Written:
        """One put when it fits into a part; else in parts, which nobody sees before the last one is there."""
        key, digest, size = _key(name), hashlib.sha256(), 0
        upload: str | None = None
        tags: list[str] = []
        try:
            async for part, is_last in _parts(source):
                digest.update(part)
                size += len(part)
                if is_last and upload is None:
                    await self._put(key, part)
                    break
                upload = upload or await self._begin(key)
                tags.append(await self._add(key, upload, len(tags) + 1, part))
            if upload is not None:
                await self._finish(key, upload, tags)
        except BaseException:
            if upload is not None:
                await self._abort(key, upload)
            raise
        return Written(size, digest.hexdigest())

    async def read(self, name: str) -> Bytes:
        with self._translated(_key(name)):
            body = (await self._client.get_object(Bucket=self._bucket, Key=name))["Body"]
        async with body:
            piece = b"-"
            while piece:
                with self._translated(name):
                    piece = await body.read(CHUNK)
                if piece:
                    yield piece

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        where: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        more = True
        while more:
            with self._translated():
                page = await self._client.list_objects_v2(**where)
            for found in page.get("Contents", []):
                if NAME.fullmatch(found["Key"]):
                    yield found["Key"], found["Size"]
            more = page["IsTruncated"]
            where["ContinuationToken"] = page.get("NextContinuationToken")

    async def delete(self, name: str) -> None:
        with contextlib.suppress(NotKept), self._translated(_key(name)):
            await self._client.delete_object(Bucket=self._bucket, Key=name)

    async def sweep(self) -> None:
        with self._translated():
            found = await self._client.list_multipart_uploads(Bucket=self._bucket)
        for upload in found.get("Uploads", []):
            await self._abort(upload["Key"], upload["UploadId"])

    async def _put(self, key: str, data: bytes) -> None:
        with self._translated():
            await self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    async def _begin(self, key: str) -> str:
        with self._translated():
            return (await self._client.create_multipart_upload(Bucket=self._bucket, Key=key))["UploadId"]

    async def _add(self, key: str, upload: str, number: int, part: bytes) -> str:
        with self._translated():
            answer = await self._client.upload_part(
                Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=part
            )
            return answer["ETag"]

    async def _finish(self, key: str, upload: str, tags: Sequence[str]) -> None:
        parts: Any = {"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]}
        with self._translated():
            await self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload=parts
            )

    async def _abort(self, key: str, upload: str) -> None:
        with anyio.CancelScope(shield=True), contextlib.suppress(TargetUnavailable), self._translated():
            await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)

    async def _make(self) -> None:
        errors = self._client.exceptions
        location: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            await self._client.head_bucket(Bucket=self._bucket)
        except errors.ClientError as error:
            if _code(error) not in GONE:
                raise
            with contextlib.suppress(errors.BucketAlreadyOwnedByYou):
                await self._client.create_bucket(Bucket=self._bucket, **({} if self._region == HOME else location))

    @contextlib.contextmanager
    def _translated(self, name: str = "") -> Iterator[None]:
        try:
            with anyio.fail_after(DEADLINE):
                yield
        except ClientError as error:
            if name and _code(error) in GONE:
                raise NotKept(f"{name} is not in {self.called}") from None
            raise TargetUnavailable(f"{self.called} refuses: {_code(error)}") from None
        except TimeoutError:
            raise TargetUnavailable(f"{self.called} does not answer in time") from None
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise TargetUnavailable(f"{self.called} cannot be used: {' '.join(str(error).split())}") from None


async def _parts(source: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """The source in parts of PART bytes, and whether it is the last; at least one, be it empty."""
    held = bytearray()
    async for chunk in source:
        held += chunk
        while len(held) > PART:
            yield bytes(held[:PART]), False
            del held[:PART]
    yield bytes(held), True


def _key(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"not a name of a copy: {name!r}")
    return name


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", "an unnamed error"))
