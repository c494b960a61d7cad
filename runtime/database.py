"""The connection pool, transactions that tell after their commit, and time-outs that really fire."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import anyio
import asyncpg
import orjson

from limner.runtime.connection import Connection
from limner.runtime.entrance import enter
from limner.runtime.errors import as_raised
from limner.runtime.log import logger
from limner.runtime.pool import Pool
from limner.runtime.together import Together

if TYPE_CHECKING:
    from limner.runtime.config import Config

log = logger(__name__)

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

COMMAND_TIMEOUT = 10.0
"""Seconds. Alone it does not free the caller of a black-holed connection; OUTER_TIMEOUT does (asyncpg cancels over the wire)."""
OUTER_TIMEOUT = 15.0
LIMITS = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "8s",  # a frozen process holds locks: shorter than others wait for them
}
"""Set for each session. Behind a pooler the operator sets them for the role, with ALTER ROLE."""
UNLIMITED = "select array_agg(name) from pg_settings where name = any($1::text[]) and setting = '0'"

# WAL is flushed in order, and a commit that has written nothing would not wait.
HARDEN = "select pg_logical_emit_message(true, 'limner', '')"

BREATH = 0.002
"""Seconds between notifications of one process: what is told sooner goes out together, a breath later."""
PATIENCE = 0.05
"""Seconds that what is not urgent waits for something that is."""
TELL = "select pg_notify(channel, payload) from unnest($1::text[], $2::text[]) as t(channel, payload)"

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


@contextlib.asynccontextmanager
async def open_database(
    dsn: str, *, role: str, pool: int = 10, patience: float = 0, pooled: bool = False, direct: str | None = None
) -> AsyncIterator[Database]:
    """A Database whose notifier runs until the block ends.

    ``pooled``: ``dsn`` leads through a pooler in transaction mode, where nothing may be left in a session; ``direct``
    leads around it. Raises one of TROUBLE when Postgres cannot be reached within ``patience`` seconds.
    """
    async with contextlib.AsyncExitStack() as stack:
        options = _options(role, pool, pooled=pooled) | {"max_inactive_connection_lifetime": _linger(dsn)}
        opened = Pool(await _open_pool(dsn, options, patience))
        stack.push_async_callback(_close, opened)
        stack.enter_context(as_raised())
        database = Database(opened, dsn, direct or (None if pooled else dsn))
        if pooled and (missing := await database.fetchval(UNLIMITED, list(LIMITS))):
            log.warning("no_limits_behind_the_pooler", missing=missing)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(database.notify_forever)
        group.start_soon(opened.cool_forever)
        try:
            yield database
        finally:
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(2, shield=True):
                await database.flush()


def open_for(config: Config, role: str, *, pool: int | None = None) -> AbstractAsyncContextManager[Database]:
    """The configured database for a role, which waits two minutes for it; ``pool`` instead of the configured size."""
    return open_database(
        config.dsn, role=role, pool=pool or config.database_pool, patience=120,
        pooled=config.database_pooled, direct=config.direct_dsn,
    )  # fmt: skip


def open_briefly(config: Config) -> AbstractAsyncContextManager[Database]:
    """The configured database for one command: two connections, and no patience."""
    return open_database(config.dsn, role="cli", pool=2, pooled=config.database_pooled)


def _options(role: str, size: int, *, pooled: bool) -> dict[str, Any]:
    """How to open the pool. A pooler refuses LIMITS, and gives every transaction another session than the last."""
    name = {"application_name": f"limner-{role}"}
    if pooled:
        return {"connect": enter, "max_size": size, "server_settings": name, "statement_cache_size": 0}
    return {"connect": enter, "max_size": size, "server_settings": name | LIMITS}


def _linger(dsn: str) -> float:
    """Seconds that an idle connection stays. Each costs Postgres a process; on this machine a new one takes no time."""
    return 60.0 if urlsplit(dsn).hostname else 5.0


async def _open_pool(dsn: str, options: dict[str, Any], patience: float) -> asyncpg.Pool[asyncpg.Record]:
    give_up = anyio.current_time() + patience
    said = False
    while True:
        try:
            with anyio.fail_after(OUTER_TIMEOUT):
                return await asyncpg.create_pool(
                    dsn,
                    min_size=1,
                    connection_class=Connection,
                    command_timeout=COMMAND_TIMEOUT,
                    timeout=10,
                    reset=_leave_as_it_is,
                    init=_speak_json,
                    **options,
                )
        except (*TROUBLE, asyncpg.InvalidCatalogNameError) as error:
            if anyio.current_time() >= give_up:
                raise
            if not said:
                log.info("waiting_for_database", error=str(error) or type(error).__name__)
            said = True
        await anyio.sleep(0.2)


async def _close(pool: Pool) -> None:
    with anyio.move_on_after(5, shield=True) as scope:
        await pool.close()
    if scope.cancelled_caught:
        pool.terminate()


async def _leave_as_it_is(connection: Any) -> None:
    """Nobody here changes a session, so nothing needs a reset: by default it costs every call a second round trip."""


async def _speak_json(connection: Any) -> None:
    # jsonb travels as a version byte and the text; binary, so that COPY can carry it too.
    for name, encoder, decoder in (
        ("json", _dumped, orjson.loads),
        ("jsonb", lambda value: b"\x01" + _dumped(value), lambda data: orjson.loads(data[1:])),
    ):
        await connection.set_type_codec(name, encoder=encoder, decoder=decoder, schema="pg_catalog", format="binary")


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, default=_as_text)


def _as_text(value: Any) -> str:
    """asyncpg has a UUID of its own, a subclass that orjson does not know."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON holds")


def affected(tag: str) -> int:
    """The row count in a command tag, such as 3 in "UPDATE 3"."""
    return int(tag.rsplit(" ", 1)[-1])
