"""A trap in a test's own program: it kills, or freezes, the process right before or after one statement of the runtime."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from limner.runtime import database, mailbox, post, presence, schedule, upkeep

STATEMENT = re.compile(r"\s*(with|select|insert|update|delete|call)\s")
COPY = "COPY"


def statements(*modules: Any) -> dict[str, str]:
    """The statements of these modules: the names of their constants, by their text."""
    constants = [(name, text) for module in modules for name, text in vars(module).items() if name.isupper()]
    whole = (text for text in constants if isinstance(text[1], str) and not text[1].rstrip().endswith(","))
    return {text: name for name, text in whole if STATEMENT.match(text)}


NAMES = statements(presence, database, upkeep, post, mailbox) | {
    schedule.TAKE: "TICK",
    schedule.LEAD: "LEAD",
    mailbox.CLAIM_HUMBLY: "CLAIM",  # the same in another order; which of the two comes is chance
    mailbox.ACK_AND_CLAIM_HUMBLY: "ACK_AND_CLAIM",
}


def name_of(sql: str) -> str:
    """The name of a statement of the runtime; empty for others."""
    return NAMES.get(sql, "")


@dataclass
class Trap:
    """Springs ``when`` the ``count``-th statement called ``name`` passes. One without a name only counts what passes.

    "after" means: committed and answered, but nobody has used the answer yet.
    """

    when: Literal["before", "after"] = "before"
    name: str = ""
    count: int = 1
    signal: str = "SIGKILL"
    passed: Counter[str] = field(default_factory=Counter)
    heard: Callable[[str], None] = lambda name: None
    """Called with the name of what passed, before the trap springs."""

    @classmethod
    def parse(cls, words: str) -> Trap:
        """From "before 1 CLAIM", "after 2 commit of ACK"; an empty text is a trap that never springs."""
        if not words:
            return cls()
        when, count, name = words.split(" ", 2)
        assert when in ("before", "after")
        return cls("before" if when == "before" else "after", name, int(count))

    def meet(self, when: str, *names: str) -> None:
        for name in names if when == "after" else ():
            self.passed[name] += 1
            self.heard(name)
        if when == self.when and self.name in names:
            self.count -= 1
            if self.count == 0:
                os.kill(os.getpid(), signal.Signals[self.signal])

    def set(self, db: database.Database) -> None:
        """Stand between this database and its pool."""
        db.pool = Trapped(db.pool, self)  # type: ignore[assignment]


class Trapped:
    """A pool or a connection that leads past a trap."""

    def __init__(self, behind: Any, trap: Trap) -> None:
        self._behind = behind
        self._trap = trap
        self._in_transaction = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    async def fetch(self, sql: str, *args: Any, **options: Any) -> Any:
        return await self._call(self._behind.fetch, self._names(sql), sql, *args, **options)

    async def fetchrow(self, sql: str, *args: Any, **options: Any) -> Any:
        return await self._call(self._behind.fetchrow, self._names(sql), sql, *args, **options)

    async def fetchval(self, sql: str, *args: Any, **options: Any) -> Any:
        return await self._call(self._behind.fetchval, self._names(sql), sql, *args, **options)

    async def execute(self, sql: str, *args: Any, **options: Any) -> Any:
        return await self._call(self._behind.execute, self._names(sql), sql, *args, **options)

    async def copy_records_to_table(self, *args: Any, **options: Any) -> Any:
        return await self._call(self._behind.copy_records_to_table, (COPY,), *args, **options)

    @contextlib.asynccontextmanager
    async def acquire(self, **options: Any) -> AsyncIterator[Trapped]:
        async with self._behind.acquire(**options) as connection:
            yield Trapped(connection, self._trap)

    @contextlib.asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        """Its commit is named after the statement of the runtime that came last in it."""
        transaction = self._behind.transaction(**options)
        await transaction.start()
        self._in_transaction = "nothing"
        try:
            yield
        except BaseException:
            await transaction.rollback()
            raise
        name = f"commit of {self._in_transaction}"
        self._in_transaction = ""
        await self._call(transaction.commit, (name,))

    def _names(self, sql: str) -> tuple[str, ...]:
        name = name_of(sql)
        if not name:
            return ()
        if self._in_transaction:
            self._in_transaction = name
            return (f"{name} in a transaction",)
        return (name,)

    async def _call(self, method: Any, names: tuple[str, ...], *args: Any, **options: Any) -> Any:
        self._trap.meet("before", *names)
        answer = await method(*args, **options)
        self._trap.meet("after", *names)
        return answer
