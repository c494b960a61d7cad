"""Server-sent events as an upstream streams them: names and data, however they were cut on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import aiohttp

from limner.actors.providers.base import Fault, UpstreamError
from limner.actors.providers.egress import BODY_LIMIT, CHUNK


async def events(response: aiohttp.ClientResponse, limit: int = BODY_LIMIT) -> AsyncGenerator[tuple[str, bytes], None]:
    """Each event's name (may be empty) and data. Raises UpstreamError(NO_IMAGE) beyond ``limit`` bytes in all."""
    name, data = "", list[bytes]()
    async for line in _lines(response, limit):
        if not line:
            if data:
                yield name, b"\n".join(data)
            name, data = "", []
            continue
        label, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if label == b"data":
            data.append(value)
        elif label == b"event":
            name = value.decode("utf-8", "replace")
    if data:  # some leave out the last empty line
        yield name, b"\n".join(data)


async def _lines(response: aiohttp.ClientResponse, limit: int) -> AsyncGenerator[bytes, None]:
    """Lines of any length; aiohttp's own reader gives up on one of a picture's length."""
    rest, read = bytearray(), 0
    async for chunk in response.content.iter_chunked(CHUNK):
        read += len(chunk)
        if read > limit:
            raise UpstreamError(Fault.NO_IMAGE, f"stream of more than {limit} bytes")
        rest += chunk
        if b"\n" in chunk:
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield bytes(line.removesuffix(b"\r"))
    if rest:
        yield bytes(rest.removesuffix(b"\r"))
