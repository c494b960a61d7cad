"""asyncpg's pool with some connections kept at hand while they are used often."""

from __future__ import annotations

import time
from typing import Any

import anyio
import asyncpg

AT_HAND = 2
"""Connections that are kept at the most."""
COOL = 1.0
"""Seconds without use after which one goes back."""
PATIENCE = 10.0
"""Seconds that somebody waits for a connection."""
NO_CONNECTION = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)
"""What comes of an attempt to connect."""


class Unreached(OSError):
    """There is no connection, so nothing was asked of the database, and nothing can have been written."""


class Pool:
    """What statements and transactions go through.

    To take a connection out of asyncpg's pool and put it back costs a task and two timers each time, which is a good part
    of a short statement's latency. So up to two are not put back at once, unless somebody waits for one.
    """

    def __init__(self, behind: asyncpg.Pool[asyncpg.Record]) -> None:
        self.behind = behind
        self._at_hand: list[Any] = []
        self._waiters = 0
        self._used_at = 0.0
        self._is_warm = anyio.Event()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        async with self.acquire() as connection:
            return await connection.fetch(sql, *args)  # type: ignore[no-any-return]

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        async with self.acquire() as connection:
            return await connection.fetchrow(sql, *args)  # type: ignore[no-any-return]

    async def fetchval(self, sql: str, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(sql, *args)  # type: ignore[no-any-return]

    def acquire(self) -> _Borrowed:
        """A connection for the time of a block."""
        return _Borrowed(self)

    async def take(self) -> Any:
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            await self.behind.release(connection)
        self._waiters += 1
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + PATIENCE):
                return await self.behind.acquire()
            raise Unreached(f"no connection to the database is free for {PATIENCE:.0f} s")
        except NO_CONNECTION as error:
            raise Unreached(str(error) or type(error).__name__) from error
        finally:
            self._waiters -= 1

    async def give(self, connection: Any, *, is_sound: bool) -> None:
        if is_sound and not self._waiters and len(self._at_hand) < AT_HAND:
            self._at_hand.append(connection)
            self._used_at = time.monotonic()
            self._is_warm.set()
        else:
            await self.behind.release(connection)

    async def cool_forever(self) -> None:
        """Give back what is not used any more, so that idle connections can be closed."""
        while True:
            await self._is_warm.wait()
            await anyio.sleep(COOL)
            if time.monotonic() - self._used_at >= COOL:
                self._is_warm = anyio.Event()
                await self.cool()

    async def cool(self) -> None:
        while self._at_hand:
            await self.behind.release(self._at_hand.pop())

    async def close(self) -> None:
        await self.cool()
        await self.behind.close()

    def terminate(self) -> None:
        self.behind.terminate()


def _is_open(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # asyncpg's pool has seen its end, and taken it back
        return False


class _Borrowed:
    """What ``acquire`` gives: written out, since a generator's context manager costs as much again."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Any:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._pool.give(self._connection, is_sound=kind is None)
