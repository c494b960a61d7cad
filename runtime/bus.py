"""One LISTEN connection per process: subscribe, heartbeat, reconnect, sweep after each reconnect; or polling without one."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import anyio

from limner.runtime.database import TROUBLE, Database
from limner.runtime.entrance import enter
from limner.runtime.log import logger

log = logger(__name__)

BEAT = "bus_beat"
SAY = "select pg_notify($1, '')"
QUIET = 6.0
"""Seconds without a word until it says one to itself. asyncpg never notices a black-holed LISTEN connection by itself."""
ANSWER = 3.0
POLL = 1.0
"""Seconds between sweeps when there is only a pooler, behind which nobody can LISTEN."""

Listener = Callable[[str | None], None]
"""Called with the payload; with None in a sweep: anything may have been missed."""


class Bus:
    """What others tell. A notification is only a hint: whoever listens must find the row without it, too.

    When the database has no ``direct`` address, nobody can LISTEN: every second each listener is asked to look for
    itself, and that counts as connected.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self.is_connected = False
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._connection: Any = None
        self._heard_at = 0.0
        self._word = anyio.Event()
        self._turn = anyio.Lock()
        """One LISTEN at a time: asyncpg refuses a second statement on a connection that is at one."""

    async def on(self, channel: str, listener: Listener) -> None:
        """Listen to a channel from now on, or from the connection on that is to come."""
        self._listeners[channel].add(listener)
        connection = self._connection
        if connection is not None:
            try:
                with anyio.fail_after(ANSWER):
                    await self._hear(connection, channel)
            except TROUBLE:
                connection.terminate()  # the next one listens to it, too

    def off(self, channel: str, listener: Listener) -> None:
        self._listeners[channel].discard(listener)

    @property
    def is_polling(self) -> bool:
        """There is only a pooler: news arrives up to POLL seconds late."""
        return self.db.direct is None

    def about(self) -> dict[str, Any]:
        """What `limner actors` shows of it."""
        return {"hears_by": "poll" if self.is_polling else "listen", "is_connected": self.is_connected}

    async def run(self) -> None:
        if self.is_polling:
            await self._poll()
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

    async def _poll(self) -> None:
        self.is_connected = True
        try:
            while True:
                self._sweep()
                await anyio.sleep(POLL * random.uniform(0.7, 1.3))  # noqa: S311
        finally:
            self.is_connected = False

    async def _listen(self) -> None:
        with anyio.fail_after(10):
            self._connection = await enter(
                self.db.direct, timeout=8, command_timeout=ANSWER, server_settings={"application_name": "limner-bus"}
            )
        ended = anyio.Event()
        self._connection.add_termination_listener(lambda _: ended.set())
        with anyio.fail_after(10):
            for channel in [BEAT, *self._listeners]:
                await self._hear(self._connection, channel)
        self.is_connected = True
        self._sweep()
        await self._beat()
        while not ended.is_set():
            with anyio.move_on_after(self._heard_at + QUIET - time.monotonic()) as quiet:
                await ended.wait()
            if quiet.cancelled_caught and time.monotonic() >= self._heard_at + QUIET:
                await self._beat()
        raise ConnectionError("the connection was ended")

    async def _hear(self, connection: Any, channel: str) -> None:
        async with self._turn:
            await connection.add_listener(channel, self._heard)

    async def _beat(self) -> None:
        """Say a word, and wait until one is heard, be it somebody else's. Raises TimeoutError."""
        self._word = anyio.Event()
        with anyio.fail_after(ANSWER):
            await self.db.execute(SAY, BEAT)
            await self._word.wait()

    def _heard(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        self._heard_at = time.monotonic()
        self._word.set()
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
