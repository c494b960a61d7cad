"""One LISTEN connection per process: subscribe, heartbeat, reconnect, sweep after each reconnect."""

from __future__ import annotations

import contextlib
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import anyio
import asyncpg

from limner.runtime.database import TROUBLE, Database
from limner.runtime.log import logger

log = logger(__name__)

BEAT = "bus_beat"
EVERY = 5.0
"""Seconds between heartbeats. asyncpg never notices a black-holed LISTEN connection by itself."""
ANSWER = 4.0

Listener = Callable[[str | None], None]
"""Called with the payload; with None after a reconnect, since anything may have been missed."""


class Bus:
    """What others tell. A notification is only a hint: whoever listens must find the row without it, too."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.is_connected = False
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._connection: Any = None
        self._beats = anyio.Event()
        self._ended = anyio.Event()
        self._id = uuid4().hex

    async def on(self, channel: str, listener: Listener) -> None:
        """Listen to a channel from now on; LISTEN is sent when it is the first listener."""
        self._listeners[channel].add(listener)
        if self._connection is not None and len(self._listeners[channel]) == 1:
            with contextlib.suppress(*TROUBLE), anyio.fail_after(ANSWER):
                await self._connection.add_listener(channel, self._heard)

    def off(self, channel: str, listener: Listener) -> None:
        self._listeners[channel].discard(listener)

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
            except TROUBLE as error:
                failures = 0 if self.is_connected else failures + 1
                log.warning("bus_lost", error=str(error) or type(error).__name__)
            finally:
                self._drop()
            await anyio.sleep(min(0.2 * 2**failures, 5) * random.uniform(0.7, 1.3))  # noqa: S311

    async def _listen(self) -> None:
        with anyio.fail_after(10):
            self._connection = await asyncpg.connect(
                self.db.dsn, timeout=8, command_timeout=ANSWER, server_settings={"application_name": "limner-bus"}
            )
        ended = self._ended = anyio.Event()
        self._connection.add_termination_listener(lambda _: ended.set())
        with anyio.fail_after(10):
            for channel in [BEAT, *self._listeners]:
                await self._connection.add_listener(channel, self._heard)
        self.is_connected = True
        self._sweep()
        while True:
            self._beats = anyio.Event()
            with anyio.fail_after(ANSWER):
                await self.db.execute("select pg_notify($1, $2)", BEAT, self._id)
                await self._beats.wait()
            with anyio.move_on_after(EVERY):
                await self._ended.wait()
                raise ConnectionError("the connection was ended")

    def _heard(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        if channel == BEAT:
            if payload == self._id:
                self._beats.set()
            return
        for listener in list(self._listeners[channel]):
            listener(payload)

    def _sweep(self) -> None:
        for channel in self._listeners:
            for listener in list(self._listeners[channel]):
                listener(None)

    def _drop(self) -> None:
        self.is_connected = False
        if self._connection is not None:
            self._connection.terminate()  # close() would wait for an answer that may never come
            self._connection = None
