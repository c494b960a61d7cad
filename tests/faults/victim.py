"""A program for tests to kill: it does all that a mailbox can do, until its trap springs, and then its heir finishes the work."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import orjson

from limner.runtime import embedded, mailbox, upkeep
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.errors import Busy, FenceLost, Hopeless
from limner.runtime.mailbox import Message
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.supervisor import Child, Supervisor, supervise
from tests.faults.clerk import Log
from tests.faults.trap import Trap

LEASE = 2.5
PATIENCE = 60.0
"""Seconds after which a scene of the play has failed."""
TABLES = """
create table effect (number integer not null, attempt integer not null, owner uuid not null);
create table seen (number integer primary key);
"""
BEGUN = "select exists (select from seen join message on payload->'number' = to_jsonb(number) and payload->>'what' = 'last')"
AT_ONCE = 8
"""Processes that run at a time: each costs Postgres up to four connections."""


@dataclass(frozen=True)
class Do(Message):
    """Do what it says."""

    mailbox = "desk"
    number: int
    what: str


@dataclass(frozen=True)
class Serve(Message):
    """Do what it says, for guests that take turns."""

    mailbox = "window"
    fair = True
    number: int
    what: str


class Clerk(Actor):
    concurrency = 4
    pause = 0.3

    def __init__(self, db: Database, bus: Bus, presence: Presence, log: Log) -> None:
        super().__init__(db, bus, presence)
        self._log = log

    async def receive(self, message: Do | Serve) -> None:
        fence = message.fence
        about = {"number": message.number, "owner": str(fence.owner), "attempt": fence.attempt}
        about["what"] = message.what
        self._log.write(event="start", **about)
        try:
            await getattr(self, f"_{message.what}")(message)
        except BaseException as why:
            self._log.write(event="stopped", why=repr(why), **about)
            raise
        self._log.write(event="end", **about)

    async def _back(self, message: Do | Serve) -> None:
        """Return: the acknowledgement goes with others."""

    async def _book(self, message: Do | Serve) -> None:
        """Have the effect and acknowledge it in one transaction."""
        fence = message.fence
        async with self.db.transaction() as tx:
            await mailbox.hold(tx, fence)
            await tx.execute("insert into effect values ($1, $2, $3)", message.number, fence.attempt, fence.owner)
            await mailbox.ack(tx, fence)

    async def _report(self, message: Do | Serve) -> None:
        await mailbox.report(self.db, message.fence, {"share": 0.5})
        await self._book(message)

    async def _busy(self, message: Do | Serve) -> None:
        if await self._is_first(message):
            raise Busy("come back", after=0.1)
        await self._book(message)

    async def _crash(self, message: Do | Serve) -> None:
        if await self._is_first(message):
            raise ZeroDivisionError("the first try fails")
        await self._book(message)

    async def _wait(self, message: Do | Serve) -> None:
        """Put it back in a transaction of its own."""
        if not await self._is_first(message):
            return await self._book(message)
        fence = message.fence
        self._log.write(event="parting", number=message.number, owner=str(fence.owner), attempt=fence.attempt)
        async with self.db.transaction() as tx:
            await mailbox.retry(tx, message.fence, after=0.1, error="later", blame=False)
        raise FenceLost("put back already")

    async def _despair(self, message: Do | Serve) -> None:
        """Hopeless, until somebody has seen to it."""
        if not await self.db.fetchval("select exists (select from seen where number = $1)", message.number):
            raise Hopeless("nobody can do this")
        await self._book(message)

    async def _last(self, message: Do | Serve) -> None:
        """Longer than anybody waits; the heir has seen enough and books it."""
        if await self._is_first(message) and not isinstance(self, Heir):
            await anyio.sleep_forever()
        await self._book(message)

    async def _is_first(self, message: Do | Serve) -> bool:
        mark = "insert into seen values ($1) on conflict do nothing returning true"
        return bool(await self.db.fetchval(mark, message.number))


class Heir:
    """Whoever comes after the victim."""


class Desk(Clerk):
    mailbox = "desk"
    messages = (Do,)


class Window(Clerk):
    mailbox = "window"
    messages = (Serve,)


class DeskOfHeir(Heir, Desk):
    pass


class WindowOfHeir(Heir, Window):
    pass


class Play:
    """All that senders and operators do, each once; what was acknowledged is in the log."""

    def __init__(self, db: Database, log: Log) -> None:
        self.db = db
        self.log = log
        self._numbers = iter(range(1, 10_000))

    async def run(self) -> None:
        await self._orders()
        await self._alone()
        await self._together()
        await self._in_bulk()
        await self._regrets()
        await self._requeues()
        await self._until("select not exists (select from message)")
        await self._send("last")
        await self._until(BEGUN)

    async def _orders(self) -> None:
        """In a transaction, as an order is."""
        numbers = [next(self._numbers) for _ in range(2)]
        async with self.db.transaction() as tx:
            await mailbox.send(tx, Do(numbers[0], "book"))
            await mailbox.send(tx, Serve(numbers[1], "book"), partition="ann", partition_limit=1)
        for number in numbers:
            self.log.write(event="sent", number=number)

    async def _alone(self) -> None:
        for what in ("back", "book", "report", "busy", "crash", "wait"):
            await self._send(what)
            await self._serve(what, "ben")
        await self._send("book", delay=0.2)
        await self._send("book", delay=600, deadline=0.2)  # nobody will have begun it

    async def _together(self) -> None:
        """Many at the same time, without keys and with them."""
        for has_key in (False, True):
            async with anyio.create_task_group() as group:
                for number in range(12):
                    key = f"key {number}" if has_key else None
                    group.start_soon(self._send, "book" if number % 3 else "back", key)
                    group.start_soon(self._serve, "book", f"guest {number % 3}")

    async def _in_bulk(self) -> None:
        numbers = [next(self._numbers) for _ in range(40)]
        await mailbox.send_many(self.db, [Do(number, "back") for number in numbers])
        for number in numbers:
            self.log.write(event="sent", number=number)

    async def _regrets(self) -> None:
        """Take one back that waits, and one that is in hand."""
        await self._send("book", key="regret", delay=600)
        await self.cancel("regret")
        await self._send("last", key="too late")
        await self._until(BEGUN)
        await self.cancel("too late")

    async def cancel(self, key: str) -> None:
        number = await self.db.fetchval("select (payload->>'number')::int from message where key = $1", key)
        self.log.write(event="canceling", number=number)
        if await mailbox.cancel(self.db, "desk", key):
            self.log.write(event="canceled", number=number)

    async def _requeues(self) -> None:
        await self._send("despair")
        await self._until("select exists (select from dead_letter where reason like 'nobody%')")
        dead = await self.db.fetchrow("select id, payload from dead_letter where reason like 'nobody%'")
        assert dead is not None
        await self.db.execute("insert into seen values ($1)", dead["payload"]["number"])
        assert await upkeep.requeue(self.db, dead["id"])

    async def _send(self, what: str, key: str | None = None, **options: Any) -> None:
        number = next(self._numbers)
        await mailbox.send(self.db, Do(number, what), key=key, **options)
        self.log.write(event="sent", number=number)

    async def _serve(self, what: str, guest: str) -> None:
        number = next(self._numbers)
        await mailbox.send(self.db, Serve(number, what), partition=guest, partition_limit=1)
        self.log.write(event="sent", number=number)

    async def _until(self, sql: str) -> None:
        with anyio.fail_after(PATIENCE):
            while not await self.db.fetchval(sql):
                await anyio.sleep(0.02)


async def live(dsn: str, log: Log, trap: Trap, script: Callable[[Database, Log], Awaitable[None]], *cast: Any) -> None:
    """A worker until the script is over; then it drains."""
    async with open_database(dsn, role="victim", pool=3) as db:
        trap.set(db)
        presence, bus = Presence(db, "victim", lease=LEASE), Bus(db)
        await presence.beat()
        actors = [kind(db, bus, presence, log) for kind in cast]
        children = [Child("presence", presence.run), Child("bus", bus.run)]
        children += [Child(each.mailbox, each.run, drain=each.drain, patience=0.3) for each in actors]
        troupe = Supervisor(children, intensity=0)

        async def act() -> None:
            await script(db, log)
            troupe.stop()

        async with anyio.create_task_group() as group:
            group.start_soon(act)
            await supervise(troupe)
            await presence.leave()
            group.cancel_scope.cancel()
    if not trap.name:
        log.write(event="passed", statements=trap.passed)


async def play(db: Database, log: Log) -> None:
    await Play(db, log).run()


async def inherit(db: Database, log: Log) -> None:
    """What the victim took back is taken back again; then until there is nothing left to do."""
    await Play(db, log).cancel("regret")
    with anyio.fail_after(PATIENCE):
        while await db.fetchval("select exists (select from message)"):
            await anyio.sleep(0.1)


def work(dsn: str, path: str, trap: str) -> None:
    anyio.run(live, dsn, Log(Path(path)), Trap.parse(trap), play, Desk, Window)


def finish(dsn: str, path: str, _: str) -> None:
    anyio.run(live, dsn, Log(Path(path)), Trap(), inherit, DeskOfHeir, WindowOfHeir)


def fork(life: Callable[..., None], *args: str) -> int:
    """A child process for this, so that all is imported but once; its number."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        if prepare := embedded.die_with_parent(signal.SIGKILL):
            prepare()
        life(*args)
        code = 0
    except BaseException as crash:
        print(life.__name__, *args, file=sys.stderr)
        sys.excepthook(type(crash), crash, crash.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code)


def main(tasks: str) -> int:
    """For each of the tasks (name, dsn, log, trap) a victim, and at its death an heir; prints how each of them ended."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what they log is no part of the answer
    waiting = list(orjson.loads(tasks))[::-1]
    roles: dict[int, tuple[str, list[str]]] = {}
    ends: dict[str, dict[str, object]] = {}
    while waiting or roles:
        while waiting and len(roles) < AT_ONCE:
            task = waiting.pop()
            roles[fork(work, *task[1:])] = ("victim", task)
        pid, status = os.wait()
        role, task = roles.pop(pid)
        ends.setdefault(task[0], {})[role] = os.waitstatus_to_exitcode(status)
        if role == "victim":
            ends[task[0]]["died"] = time.time()
            roles[fork(finish, *task[1:])] = ("heir", task)
    os.write(answer, orjson.dumps(ends))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin.read()))
