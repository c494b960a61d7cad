"""A stand-in for OpenAI's image API that costs next to nothing: after 50 ms it answers every order with the same picture.

    python -m benchmarks.gateway.upstream PORT

Written on the bare protocol, since it shares two cores with what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import random
import sys
from typing import cast

import orjson
import uvloop
from PIL import Image

PAINTS_FOR = 0.05
SIDE = 1024
PATCH = 130
"""Pixels on a side of what does not compress: the rest is flat, as it must be in a PNG of this size and 60 KB."""


@functools.cache
def picture() -> bytes:
    """The PNG that everybody gets."""
    painting = Image.new("RGB", (SIDE, SIDE), (228, 87, 46))
    painting.paste(Image.frombytes("RGB", (PATCH, PATCH), random.Random(5).randbytes(3 * PATCH * PATCH)), (300, 400))
    file = io.BytesIO()
    painting.save(file, "PNG")
    return file.getvalue()


def answer() -> bytes:
    """The whole response, as documented for gpt-image models."""
    usage = {
        "input_tokens": 12, "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
        "output_tokens": 1056, "total_tokens": 1068,
    }  # fmt: skip
    entry = {"b64_json": base64.b64encode(picture()).decode()}
    about = {"background": "opaque", "output_format": "png", "quality": "medium", "size": f"{SIDE}x{SIDE}"}
    body = orjson.dumps({"created": 1794800000, "data": [entry], "usage": usage, **about})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Painter(asyncio.Protocol):
    """One connection. Requests come one after another on it, with a Content-Length or without a body."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0 or len(self._heard) < end + 4 + _length(bytes(self._heard[:end])):
            return
        self._heard.clear()
        asyncio.get_running_loop().call_later(PAINTS_FOR, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._response)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def main() -> None:
    response = answer()
    server = await asyncio.get_running_loop().create_server(
        lambda: Painter(response), "127.0.0.1", int(sys.argv[1]), backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
