"""What all stand-ins for painters share: real HTTP on loopback, answers scripted per key, a memory, a command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import io
import json
import random
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from PIL import Image

FLOOD = 65 * 2**20
"""Bytes of the answer of the act "flood": more than anybody should read."""


@dataclass(frozen=True)
class Script:
    """One answer, for the first request of its key whose path contains ``path``.

    ``body``: JSON, bytes as they are, or a tuple of chunks that are sent one by one, ``pace`` seconds apart.
    ``act``: "hang" answers never, "drop" and "cut" close early, "flood" sends FLOOD bytes. ``delay``: seconds before.
    """

    status: int = 200
    body: dict[str, Any] | list[Any] | bytes | tuple[bytes, ...] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    act: str = ""
    path: str = ""
    delay: float = 0.0
    pace: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request as it arrived: ``fields`` of the JSON or form, ``files`` as (name, type, bytes) in their order."""

    path: str
    key: str
    headers: dict[str, str]
    fields: dict[str, Any]
    files: list[tuple[str, str, bytes]]
    method: str = "GET"
    query: dict[str, str] = field(default_factory=dict)


class Upstream:
    """Answers with the next script of the request's key; a key without any gets what is usual for its protocol.

    A protocol is a subclass: where its base URL ends, where a request carries its key, and what is usual.
    """

    prefix = ""
    """What ``base_url`` ends in."""
    aside: tuple[str, ...] = ()
    """Ends of paths that only scripts which name a path answer: polling must not eat what is meant for a picture."""

    def __init__(self, *, delay: float = 0.0, kilobytes: int = 0, remembers: bool = True) -> None:
        self.base_url = ""
        self.delay = delay
        self.kilobytes = kilobytes
        self.remembers = remembers
        self.scripts: dict[str, deque[Script]] = defaultdict(deque)
        self.standing: dict[str, Script] = {}
        self.pictures: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.served: Counter[str] = Counter()
        self.arrived = asyncio.Event()
        self.closing = asyncio.Event()

    def key(self, request: web.Request) -> str:
        """The key that a request carries."""
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    async def usual(self, asked: Asked) -> Script:
        """What an upstream in good health answers."""
        raise NotImplementedError

    def script(self, key: str, *answers: Script) -> None:
        """Append answers for a key."""
        self.scripts[key].extend(answers)

    def always(self, key: str, answer: Script) -> None:
        """What a key gets from now on when no other script is left for it."""
        self.standing[key] = answer

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Listen until the block ends; ``base_url`` is where."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/files/{name}", self._file)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self.base_url = f"http://{host}:{runner.addresses[0][1]}{self.prefix}"
        try:
            yield self
        finally:
            self.closing.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await self._arrive(request)
        script = self._scripted(asked) or await self.usual(asked)
        if seconds := script.delay or (0 if asked.path.endswith(self.aside or ("\0",)) else self.delay):
            await asyncio.sleep(seconds)
        if script.act == "hang":
            await self.closing.wait()
        if script.act in ("drop", "hang"):
            return _close(request)
        if script.act == "cut":
            return await _cut(request)
        if script.act == "flood":
            return await _streamed(request, script, (bytes(2**20),) * (FLOOD // 2**20))
        if isinstance(script.body, tuple):
            return await _streamed(request, script, script.body)
        if isinstance(script.body, bytes):
            return web.Response(status=script.status, body=script.body, headers=script.headers)
        return web.Response(
            status=script.status,
            body=json.dumps({} if script.body is None else script.body).encode(),
            headers={"Content-Type": "application/json"} | script.headers,
        )

    async def _file(self, request: web.Request) -> web.Response:
        asked = await self._arrive(request)
        data = self.pictures.get(request.match_info["name"])
        script = self._scripted(asked) if self._has_own(asked) else None
        if script is not None:
            return web.Response(status=script.status, body=script.body, headers=script.headers)
        return web.Response(body=data, content_type="image/png") if data else web.Response(status=404)

    async def _arrive(self, request: web.Request) -> Asked:
        asked = await _asked(request, self.key(request))
        self.served[asked.key] += 1
        if self.remembers:
            self.asked.append(asked)
        self.arrived.set()
        return asked

    def _scripted(self, asked: Asked) -> Script | None:
        waiting = self.scripts[asked.key]
        named_only = asked.path.endswith(self.aside) if self.aside else False
        for script in waiting:
            if script.path in asked.path and (script.path or not named_only):
                waiting.remove(script)
                return script
        standing = self.standing.get(asked.key)
        return standing if standing and standing.path in asked.path and (standing.path or not named_only) else None

    def _has_own(self, asked: Asked) -> bool:
        return any(script.path and script.path in asked.path for script in self.scripts[asked.key])


@functools.lru_cache(maxsize=64)
def painted(
    width: int, height: int, colour: tuple[int, int, int] = (228, 87, 46), kilobytes: int = 0, form: str = "PNG"
) -> bytes:
    """A flat picture, made once; its first rows are noise where it is to weigh some ``kilobytes``."""
    image = Image.new("RGB", (width, height), colour)
    if rows := min(height, kilobytes * 1024 // (width * 3)):
        noise = random.Random(7).randbytes(width * rows * 3)
        image.paste(Image.frombytes("RGB", (width, rows), noise), (0, 0))
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def run(kind: type[Upstream]) -> None:
    """Stand in for a painter until Ctrl-C, as the command line says."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one, which is printed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a picture takes")
    parser.add_argument("--kilobytes", type=int, default=0, help="what a picture weighs at least")
    parser.add_argument(
        "--scripts",
        type=Path,
        help='JSON file, by key: [{"status": 429, "body": {…}, "headers": {…}}, …, {"always": …}]',
    )
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(kind(delay=given.delay, kilobytes=given.kilobytes, remembers=False), given))


async def _run(upstream: Upstream, given: argparse.Namespace) -> None:
    for key, answers in json.loads(given.scripts.read_text()).items() if given.scripts else ():
        for answer in answers:
            if "always" in answer:
                upstream.always(key, Script(**answer["always"]))
            else:
                upstream.script(key, Script(**answer))
    async with upstream.serve(given.port, given.host):
        print(upstream.base_url, flush=True)
        await asyncio.Event().wait()


async def _asked(request: web.Request, key: str) -> Asked:
    fields: dict[str, Any] = {}
    files: list[tuple[str, str, bytes]] = []
    if request.content_type == "application/json" and request.can_read_body:
        fields = await request.json()
    elif request.content_type == "multipart/form-data":
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files.append((name, value.content_type, value.file.read()))
            else:
                fields[name] = value
    elif request.content_type == "application/x-www-form-urlencoded" and request.can_read_body:
        fields = dict(await request.post())
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Asked(request.path, key, headers, fields, files, request.method, dict(request.query))


def _close(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut(request: web.Request) -> web.StreamResponse:
    """Promise 1000 bytes, send 10, hang up."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"data": [')
    return _close(request)


async def _streamed(request: web.Request, script: Script, chunks: tuple[bytes, ...]) -> web.StreamResponse:
    """Chunk by chunk, until all are sent or the other side had enough."""
    response = web.StreamResponse(status=script.status, headers=script.headers)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(script.pace)
        await response.write_eof()
    return response
