"""Bodies: an answer with several pictures is written one after the other, so that no process holds them all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pybase64
from aiohttp import web

from limner.http.state import STORAGE
from limner.runtime.log import logger
from limner.runtime.storage import Missing, Storage, StorageUnavailable

log = logger(__name__)

MARK = b"\x00"
"""Stands for a picture that is still to be read: nothing that orjson writes has it."""
LATER = orjson.Fragment(MARK)


@dataclass(frozen=True)
class Body:
    """What is answered, for orjson; and the storage keys of the pictures that it has LATER for, in that order."""

    content: dict[str, Any]
    keys: Sequence[str] = field(default_factory=list)

    def within(self, name: str, around: Mapping[str, Any]) -> Body:
        return Body({**around, name: self.content}, self.keys)


def base64(data: bytes) -> orjson.Fragment:
    """As a JSON string, made once: not decoded, looked through and encoded again."""
    return orjson.Fragment(b'"%b"' % pybase64.b64encode(data))


async def answered(request: web.Request, body: Body, headers: Mapping[str, str]) -> web.StreamResponse:
    """The answer to this request. What is lost, or cannot be read, once it is on its way is null."""
    text = orjson.dumps(body.content)
    if not body.keys:
        return web.Response(body=text, headers=headers, content_type="application/json")
    response = web.StreamResponse(headers={**headers, "Content-Type": "application/json"})
    await response.prepare(request)
    before, *after = text.split(MARK)
    with contextlib.suppress(ConnectionResetError):  # who left needs no more of it
        await response.write(before)
        for key, part in zip(body.keys, after, strict=True):
            await response.write(await _picture(request.app[STORAGE], key))
            await response.write(part)
        await response.write_eof()
    return response


async def _picture(storage: Storage, key: str) -> bytes:
    try:
        return b'"%b"' % pybase64.b64encode(await storage.get(key))
    except (Missing, StorageUnavailable) as error:
        log.error("picture_missing", key=key, error=str(error))
        return b"null"
