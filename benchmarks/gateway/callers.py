"""Callers that order one picture after another, and how long each waited.

    python -m benchmarks.gateway.callers PORT CALLERS SECONDS < request as JSON

Every answer is looked at: it counts when it is a 200 that holds the upstream's very picture.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from typing import Any

import uvloop

from benchmarks.gateway.upstream import picture

WARM_UP = 1.0
"""Seconds in which nothing counts."""
PATIENCE = 60.0


async def call(port: int, callers: int, seconds: float, asked: dict[str, Any]) -> dict[str, Any]:
    """``asked`` has a path, a model and the tokens, which the callers share out. Latencies are in milliseconds."""
    sought = base64.b64encode(picture())
    began = time.perf_counter()
    start, end = began + WARM_UP, began + WARM_UP + seconds
    waits: list[float] = []
    answered = 0
    wrong: list[str] = []

    async def order(number: int) -> None:
        nonlocal answered
        token = asked["tokens"][number % len(asked["tokens"])]
        request = _request(asked["path"], port, token, asked["model"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        try:
            while (sent := time.perf_counter()) < end:
                writer.write(request)
                head, body = await asyncio.wait_for(_response(reader), PATIENCE)
                done = time.perf_counter()
                answered += 1
                if b" 200 " not in head[:16] or sought not in body:
                    wrong.append((head[:200] + body[:300]).decode(errors="replace"))
                    await asyncio.sleep(0.1)
                elif start <= done <= end:
                    waits.append((done - sent) * 1000)
        finally:
            writer.close()

    await asyncio.gather(*(order(number) for number in range(callers)))
    return {"waits": waits, "answered": answered, "wrong": len(wrong), "first_wrong": wrong[:1], "seconds": seconds}


def _request(path: str, port: int, token: str, model: str) -> bytes:
    body = json.dumps({"model": model, "prompt": "a fox in the snow", "n": 1, "size": "1024x1024"}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head, await reader.readexactly(int(value))
    pieces = []  # chunked
    while size := int((await reader.readline()).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readline()
    return head, b"".join(pieces)


def main() -> None:
    port, callers, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(uvloop.run(call(port, callers, seconds, json.load(sys.stdin)))), flush=True)


if __name__ == "__main__":
    main()
