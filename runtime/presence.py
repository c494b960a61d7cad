"""Who is alive: one row per process, one heartbeat for all that it owns."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import anyio

from limner.runtime import upkeep
from limner.runtime.database import TROUBLE, Database, Db
from limner.runtime.log import logger

log = logger(__name__)

REGISTER = "insert into worker (id, role, host, pid) values ($1, $2, $3, $4)"
BEAT = "update worker set seen_at = now(), state = $2, children = $3 where id = $1 returning paused"
PAUSE = (
    "update worker set paused = $2 where ($1 = 'all' or id::text like $1 || '%') and state <> 'stopped' returning id"
)
FORGET = """
delete from worker where seen_at < now() - interval '1 hour'
    and not exists (select from message where message.owner = worker.id and message.state = 1)
"""


class Presence:
    """This process among the workers. Its id is new at every start: never a host name, never a pid."""

    def __init__(self, db: Database, role: str, *, lease: float) -> None:
        self.db = db
        self.role = role
        self.lease = lease
        self.id: UUID = uuid4()
        self.state = "running"
        self.is_paused = False
        """An operator asked this process to take nothing new."""
        self.children: Callable[[], list[dict[str, Any]]] = list
        self._registered = False
        self._fresh_at = time.monotonic()
        self._guards: set[anyio.CancelScope] = set()

    @property
    def is_sure(self) -> bool:
        """False when the heartbeat is so old that others may soon take over what we own."""
        return self._registered and time.monotonic() - self._fresh_at < self.lease * 2 / 3

    async def run(self) -> None:
        """Beat every fifth of a lease; without a fresh beat for two thirds of it, cancel what we own."""
        while True:
            if not self.is_sure:  # frozen for longer than a lease: the next beat would hide that others took over
                self._let_go()
            try:
                await self.beat()
                with anyio.fail_after(self.lease / 3):
                    await upkeep.rescue(self.db, self.lease)
            except TROUBLE as error:
                log.warning("heartbeat_failed", error=str(error) or type(error).__name__)
            if not self.is_sure:
                self._let_go()
            await anyio.sleep(self.lease / 5)

    async def beat(self) -> None:
        began = time.monotonic()
        with anyio.fail_after(self.lease / 3):
            if not self._registered:
                await self.db.execute(REGISTER, self.id, self.role, socket.gethostname(), os.getpid())
                self._registered = True
            self.is_paused = bool(await self.db.fetchval(BEAT, self.id, self.state, self.children()))
        self._fresh_at = began

    async def leave(self) -> None:
        """Say goodbye, so that nobody waits for our lease to run out."""
        self.state = "stopped"
        try:
            await self.beat()
            await self.db.execute(FORGET)
        except TROUBLE as error:
            log.warning("goodbye_failed", error=str(error) or type(error).__name__)

    @contextmanager
    def guard(self) -> Any:
        """A scope for work on something we own: cancelled when we cannot be sure to own it any longer."""
        with anyio.CancelScope() as scope:
            self._guards.add(scope)
            try:
                yield scope
            finally:
                self._guards.discard(scope)

    def _let_go(self) -> None:
        if self._guards:
            log.error("lease_unsure", role=self.role, handlers=len(self._guards))
        for scope in self._guards:
            scope.cancel()


async def pause(db: Db, workers: str, *, paused: bool = True) -> int:
    """Have workers take nothing new, or go on: "all", or the beginning of one's id. Returns how many were asked.

    They hear of it with their next heartbeat.
    """
    return len(await db.fetch(PAUSE, workers, paused))
