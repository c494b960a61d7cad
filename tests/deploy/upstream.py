"""What stands behind Caddy in these tests, as a process of its own: it tells what it was sent; SIGTERM drains it.

Its arguments are its port, and for how many seconds it serves on after SIGTERM and says that it is not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from aiohttp import web

LINGER = 0.2
"""Seconds between closing the door and sending home who is inside: who just came in has yet to say what for."""
SERVED = web.AppKey("served", list[str])
PORT = web.AppKey("port", int)
UNREADY = web.AppKey("unready", asyncio.Event)


async def echo(request: web.Request) -> web.Response:
    size = len(await request.read())
    request.app[SERVED].append(request.method)
    await asyncio.sleep(float(request.query.get("seconds", "0")))
    headers = {name.lower(): value for name, value in request.headers.items()}
    return web.json_response({"headers": headers, "size": size, "port": request.app[PORT]})


async def ready(request: web.Request) -> web.Response:
    """200 until SIGUSR1: from then on 503, and whoever asks anyway is still served."""
    return web.Response(status=503 if request.app[UNREADY].is_set() else 200)


async def own_headers(request: web.Request) -> web.Response:
    return web.Response(headers={"X-Frame-Options": "SAMEORIGIN", "Cache-Control": "public", "Server": "secretive/1.0"})


async def page(request: web.Request) -> web.Response:
    return web.Response(text="a page " * 1000, content_type="text/html")


async def as_it_is(request: web.Request) -> web.Response:
    """JSON that is not worth packing, as the API sends pictures."""
    return web.json_response({"data": "A" * 10_000}, headers={"Cache-Control": "no-store, no-transform"})


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: first\n\n")
    with contextlib.suppress(ConnectionError):
        await asyncio.Event().wait()
    return response


async def serve(port: int, lame_duck: float) -> None:
    app = web.Application(client_max_size=100 * 1024 * 1024)
    app[SERVED], app[PORT], app[UNREADY] = [], port, asyncio.Event()
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/live", stream)
    app.router.add_get("/own-headers", own_headers)
    app.router.add_get("/page", page)
    app.router.add_get("/as-it-is", as_it_is)
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, app[UNREADY].set)
    print("up", flush=True)
    await over.wait()
    app[UNREADY].set()
    await asyncio.sleep(lame_duck)
    await site.stop()
    await asyncio.sleep(LINGER)
    await runner.cleanup()
    print(len(app[SERVED]), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
