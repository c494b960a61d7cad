"""A connection that asks Postgres about a type once in the life of the process, not once in its own."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection  # generic for type checkers only

FIRST_OF_OURS = 16384
"""Types below this number are Postgres's own (FirstNormalObjectId), and the same in every database."""

_known: dict[frozenset[int], Any] = {}


class Connection(Base):
    """asyncpg looks up every array type again on every connection, at two or three statements for each."""

    __slots__ = ()

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[Any, Any]:
        wanted = frozenset(typeoids)
        if wanted not in _known:
            types, statement = await super()._introspect_types(wanted, timeout)  # type: ignore[misc]
            if max(wanted) >= FIRST_OF_OURS:
                return types, statement
            _known[wanted] = types
        # asyncpg prepares an unnamed statement anew after one without a name.
        return _known[wanted], SimpleNamespace(name="")
