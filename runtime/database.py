"""Statements on a pool, transactions that tell after their commit, and time-outs that really fire."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio
import asyncpg

from limner.runtime.log import logger
from limner.runtime.pool import Pool
from limner.runtime.together import Together

log = logger(__name__)

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

OUTER_TIMEOUT = 15.0
"""Seconds for a statement, and by default for a transaction; asyncpg's own would wait for a black-holed connection."""

# WAL is flushed in order, and a commit that has written nothing would not wait.
HARDEN = "select pg_logical_emit_message(true, 'limner', '')"

BREATH = 0.002
"""Seconds between notifications of one process: what is told sooner goes out together, a breath later."""
PATIENCE = 0.05
"""Seconds that what is not urgent waits for something that is."""
# To notify serialises commits: one that waits for no disk holds nobody up. What it tells of was committed before.
TELL = """
with quickly as materialized (select set_config('synchronous_commit', 'off', true))
select pg_notify(channel, payload) from quickly, unnest($1::text[], $2::text[]) as t(channel, payload)
"""

TROUBLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what its pool raises when a connection breaks while it is given back
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What a database outage looks like from here: a state to wait out, not a bug."""
OUTAGE = (*TROUBLE, asyncpg.InsufficientResourcesError, asyncpg.QueryCanceledError)
"""The same, its disk full, or a statement that somebody broke off: what whoever can wait outlives."""


def is_outage(error: BaseException) -> bool:
    """Whether it is an outage. asyncpg's complaint about a wrongly typed argument looks like one, and is a bug."""
    return isinstance(error, TROUBLE) and not isinstance(error, ValueError)


class Db(Protocol):
    """What statements need: the pool (each call on its own) or a transaction (all or nothing)."""

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]: ...
    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None: ...
    async def fetchval(self, sql: str, *args: Any) -> Any: ...
    async def execute(self, sql: str, *args: Any) -> str: ...
    async def together(self, carry: Carry[A, R], item: A) -> R: ...
    def transaction(self) -> contextlib.AbstractAsyncContextManager[Transaction]: ...
    def tell(self, channel: str, payload: str = "", *, can_wait: bool = False) -> None: ...


Carry = Callable[[Db, Sequence[A]], Awaitable[Sequence[R]]]
"""One statement for many: an answer for each item, in their order."""


class Transaction:
    """A connection inside a transaction. What it tells goes out after the commit, or never."""

    def __init__(self, connection: Any, timeout: float | None = None) -> None:
        """``timeout``: seconds for each statement, when it is not the connection's own."""
        self._connection = connection
        self._timeout = timeout
        self.told: list[tuple[str, str]] = []

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(sql, *args, timeout=self._timeout)  # type: ignore[no-any-return]

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        return await self._connection.fetchrow(sql, *args, timeout=self._timeout)  # type: ignore[no-any-return]

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchval(sql, *args, timeout=self._timeout)

    async def execute(self, sql: str, *args: Any) -> str:
        return await self._connection.execute(sql, *args, timeout=self._timeout)  # type: ignore[no-any-return]

    async def together(self, carry: Carry[A, R], item: A) -> R:
        """Alone: nobody else is in this transaction."""
        return (await carry(self, [item]))[0]

    def tell(self, channel: str, payload: str = "", *, can_wait: bool = False) -> None:
        self.told.append((channel, payload))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A savepoint: what was told inside is forgotten when it rolls back."""
        before = len(self.told)
        try:
            async with self._connection.transaction():
                yield self
        except BaseException:
            del self.told[before:]
            raise


class Database:
    """A pool of connections to one Postgres, and the one notifier that tells the others what has been committed."""

    def __init__(self, pool: Pool, dsn: str, direct: str | None) -> None:
        self.pool = pool
        self.dsn = dsn
        self.direct = direct
        """Where a session of one's own can be had, for LISTEN; None when there is only a pooler."""
        self.post: Any = None
        """The mailbox's group commit for this pool, made when it is first needed."""
        self._hardening: Together[None, None] = Together(self._harden)
        self._parties: dict[Any, Together[Any, Any]] = {}
        self._told: dict[tuple[str, str], None] = {}
        self._told_at = 0.0
        self._wake, self._hurry = anyio.Event(), anyio.Event()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        return await self._in_time(self.pool.fetch, sql, args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        return await self._in_time(self.pool.fetchrow, sql, args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._in_time(self.pool.fetchval, sql, args)

    async def execute(self, sql: str, *args: Any) -> str:
        return await self._in_time(self.pool.execute, sql, args)

    async def together(self, carry: Carry[A, R], item: A) -> R:
        """What this process wants of the same statement at the same time goes out as one. ``carry`` is a function of a module."""
        party = self._parties.get(carry)
        if party is None:
            party = self._parties[carry] = Together(partial(carry, self))
        return await party.do(item)  # type: ignore[no-any-return]

    async def harden(self) -> None:
        """When it returns, all that was committed before is on the disk, also what did not wait for it by itself.

        A transaction that sets ``synchronous_commit`` off lets go of its locks at once; those who wait for the disk afterwards
        wait together.
        """
        await self._hardening.do(None)

    async def _harden(self, callers: Sequence[None]) -> Sequence[None]:
        await self.fetchval(HARDEN)  # "execute" without arguments would have it planned each time
        return callers

    async def _in_time(self, call: Callable[..., Awaitable[T]], sql: str, args: tuple[Any, ...]) -> T:
        with anyio.CancelScope(deadline=anyio.current_time() + OUTER_TIMEOUT):  # cheaper than fail_after
            return await call(sql, *args)
        raise TimeoutError(f"no answer from the database in {OUTER_TIMEOUT:.0f} s")

    @contextlib.asynccontextmanager
    async def transaction(self, limit: float = OUTER_TIMEOUT) -> AsyncIterator[Transaction]:
        """One transaction of at most ``limit`` seconds; notifications go out after its commit."""
        with anyio.fail_after(limit):
            async with self.pool.acquire() as connection:
                async with connection.transaction():
                    tx = Transaction(connection, limit if limit > OUTER_TIMEOUT else None)
                    yield tx
        for channel, payload in tx.told:
            self.tell(channel, payload)

    def tell(self, channel: str, payload: str = "", *, can_wait: bool = False) -> None:
        """Tell, then forget: equal notifications that wait together go out as one.

        ``can_wait``: with the next one that cannot, or PATIENCE later.
        """
        self._told[channel, payload] = None
        self._wake.set()
        if not can_wait:
            self._hurry.set()

    def may_carry(self, channel: str, payload: str) -> bool:
        """Whether a statement that goes out now is to notify by itself; in a storm it is to be told instead."""
        now = time.monotonic()
        if now - self._told_at < BREATH:
            return False
        self._told_at = now
        self._told.pop((channel, payload), None)
        return True

    async def notify_forever(self) -> None:
        """Send what was told, outside any write transaction: NOTIFY inside one serialises commits."""
        while True:
            await self._wake.wait()
            with anyio.move_on_after(PATIENCE):
                await self._hurry.wait()
            self._wake, self._hurry = anyio.Event(), anyio.Event()
            await anyio.sleep(max(self._told_at + 2 * BREATH - time.monotonic(), 0))
            await self.flush()

    async def flush(self) -> None:
        told, self._told = list(self._told), {}
        if not told:
            return
        self._told_at = time.monotonic()
        try:
            await self.execute(TELL, [channel for channel, _ in told], [payload for _, payload in told])
        except TROUBLE as error:
            log.warning("notify_lost", count=len(told), error=str(error))  # ticks and sweeps find the rows


def affected(tag: str) -> int:
    """The row count in a command tag, such as 3 in "UPDATE 3"."""
    return int(tag.rsplit(" ", 1)[-1])
