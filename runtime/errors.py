"""The error tree: three families, because a caller can react in three ways.

LimnerError
├── Refused       the person can do something about it: shown as it is, 4xx
│   ├── NotFound      there is no such thing, or it belongs to somebody else
│   └── TooMany       too often: say when to come back (``after`` seconds)
├── Busy          later will do: retried with backoff, or ``after`` seconds
├── Hopeless      never again: fail, release, blame
└── FenceLost     somebody else owns this message now: stop, write nothing

Anything else is a bug: the actor crashes, the supervisor restarts it, the log has the trace.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

WRONG_SETTINGS = 78
"""Exit code (EX_CONFIG) for what cannot work as it is set up: restarting will not help."""


class LimnerError(Exception):
    """Something Limner foresaw. A command that it ends exits with ``exit_code``."""

    exit_code = 1


class Refused(LimnerError):
    """The person can do something about it. ``field`` names the input at fault, when one is."""

    status = 400
    title = ""
    """What stands above it on a page of its own; empty: what fits the status."""

    def __init__(self, message: str, *, field: str | None = None, code: str = "refused") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class NotFound(Refused):
    """No such thing, or it belongs to somebody else; the two look the same from outside."""

    status = 404

    def __init__(self, message: str = "There is nothing here, or it is not yours.") -> None:
        super().__init__(message, code="not_found")


class TooMany(Refused):
    """Too often; ``after`` is the number of seconds to wait."""

    status = 429

    def __init__(self, message: str, *, after: float) -> None:
        super().__init__(message, code="too_many")
        self.after = after


class Busy(LimnerError):
    """Later will do. ``after``: seconds to wait, or None for the usual backoff."""

    def __init__(self, message: str = "busy", *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Hopeless(LimnerError):
    """Never again. ``blame`` says who is at fault: request, key, proxy, provider or us."""

    def __init__(self, message: str, *, blame: str = "us") -> None:
        super().__init__(message)
        self.blame = blame


class FenceLost(LimnerError):
    """The message has another owner, attempt or end by now: nothing may be written for it."""


@contextlib.contextmanager
def as_raised() -> Iterator[None]:
    """One error out of a task group, as it was raised inside it."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__
