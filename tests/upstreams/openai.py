"""A stand-in for OpenAI's image API over real HTTP: scripted per key, and it remembers what it was asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image


@dataclass(frozen=True)
class Script:
    """One answer. ``body``: JSON or bytes as they are; ``act``: "hang" answers never, "drop" and "cut" close early."""

    status: int = 200
    body: dict[str, Any] | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    act: str = ""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived: ``fields`` of the JSON or form, ``files`` as (name, type, bytes) in their order."""

    path: str
    key: str
    headers: dict[str, str]
    fields: dict[str, Any]
    files: list[tuple[str, str, bytes]]


class FakeOpenAI:
    """Answers with the next script of the request's key; a key without any gets a picture of the asked size."""

    def __init__(self) -> None:
        self.base_url = ""
        self.scripts: dict[str, deque[Script]] = defaultdict(deque)
        self.pictures: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self._closing = asyncio.Event()

    def script(self, key: str, *answers: Script) -> None:
        """Append answers for a key."""
        self.scripts[key].extend(answers)

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[FakeOpenAI]:
        """Listen on loopback until the block ends; ``base_url`` ends in /v1."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/files/{name}", self._file)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            self._closing.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await _asked(request)
        self.asked.append(asked)
        self.arrived.set()
        waiting = self.scripts[asked.key]
        script = waiting.popleft() if waiting else _usual(asked)
        if script.act == "hang":
            await self._closing.wait()
        if script.act in ("drop", "hang"):
            return _close(request)
        if script.act == "cut":
            return await _cut(request)
        if isinstance(script.body, bytes):
            return web.Response(status=script.status, body=script.body, headers=script.headers)
        return web.json_response(script.body or {}, status=script.status, headers=script.headers)

    async def _file(self, request: web.Request) -> web.Response:
        self.asked.append(await _asked(request))
        data = self.pictures.get(request.match_info["name"])
        return web.Response(body=data, content_type="image/png") if data else web.Response(status=404)


def painted(width: int, height: int, colour: tuple[int, int, int] = (228, 87, 46)) -> bytes:
    """A flat PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def picture(data: bytes, **more: Any) -> dict[str, Any]:
    """The body of a success: one picture as base64."""
    return {"created": 1794800000, "data": [{"b64_json": base64.b64encode(data).decode()}], **more}


def error(code: str | None, message: str, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    """The envelope of a failure."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def _usual(asked: Asked) -> Script:
    if asked.path.endswith("/models"):
        return Script(body={"object": "list", "data": [{"id": "gpt-image-2", "object": "model"}]})
    width, height = (int(side) for side in str(asked.fields.get("size", "1024x1024")).split("x"))
    usage = {
        "input_tokens": 110, "input_tokens_details": {"text_tokens": 10, "image_tokens": 100},
        "output_tokens": 1000, "total_tokens": 1110,
    }  # fmt: skip
    headers = {"x-request-id": f"req_{len(asked.fields)}"}
    return Script(body=picture(painted(width, height), usage=usage, size=f"{width}x{height}"), headers=headers)


async def _asked(request: web.Request) -> Asked:
    fields: dict[str, Any] = {}
    files: list[tuple[str, str, bytes]] = []
    if request.content_type == "application/json":
        fields = await request.json()
    elif request.content_type == "multipart/form-data":
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files.append((name, value.content_type, value.file.read()))
            else:
                fields[name] = value
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Asked(request.path, key, headers, fields, files)


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
