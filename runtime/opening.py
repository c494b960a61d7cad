"""How a database is opened: the pool, its limits for each session, and what runs beside it until it is closed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import anyio
import asyncpg
import orjson

from limner.runtime.connection import Connection
from limner.runtime.database import OUTER_TIMEOUT, TROUBLE, Database
from limner.runtime.entrance import enter
from limner.runtime.errors import as_raised
from limner.runtime.log import logger
from limner.runtime.pool import Pool

if TYPE_CHECKING:
    from limner.runtime.config import Config

log = logger(__name__)

COMMAND_TIMEOUT = 10.0
"""Seconds. Alone it does not free the caller of a black-holed connection; OUTER_TIMEOUT does (asyncpg cancels over the wire)."""
LIMITS = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "8s",  # a frozen process holds locks: shorter than others wait for them
}
"""Set for each session. Behind a pooler the operator sets them for the role, with ALTER ROLE."""
UNLIMITED = "select array_agg(name) from pg_settings where name = any($1::text[]) and setting = '0'"


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
