"""The HTTP server under the site: aiohttp's, whose own answers to what is no HTTP carry our headers, too."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from limner.http.middleware import fixed_headers


class Runner(web.AppRunner):
    """An AppRunner. What cannot be parsed never reaches the application, so no middleware dresses the answer."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _Server(made.request_handler, request_factory=made.request_factory, **made._kwargs)
        server.headers = fixed_headers(self.app)
        return server


class _Server(web.Server):
    headers: dict[str, str]

    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=asyncio.get_running_loop(), **self._kwargs)


class _Handler(RequestHandler):
    __slots__ = ("headers",)

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self.headers = server.headers

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # it logs, and raises when something was sent already
        words = "This request cannot be understood." if status < 500 else "This did not work because of us."
        response = web.Response(status=status, text=words, headers=self.headers)
        response.force_close()
        return response
