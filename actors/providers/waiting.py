"""Waiting for a job that goes on over there: looks in growing intervals, and one that fails is not the end of the job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from limner.actors.providers.base import Access, Fault, JobGone, UpstreamError
from limner.actors.providers.egress import Wire, translated

T = TypeVar("T")

FIRST, GROWTH, MOST = 0.5, 1.5, 2.0
"""Seconds to the second look, what each pause is longer than the one before, seconds between the later ones."""
LOOK = 20.0
"""Seconds that one look may take."""
LONGEST = 30.0
"""Seconds between two looks when the upstream asks for more."""
PASSING = frozenset(
    [Fault.UPSTREAM_5XX, Fault.TIMEOUT_UNKNOWN, Fault.PROXY_FAILED, Fault.RATE_LIMITED, Fault.DAILY_QUOTA]
)
"""What a look may meet without the job being any worse for it."""
GONE = 3
"""So many looks in a row must find nothing until a job counts as gone: one that is new may not be known everywhere yet."""


async def until_done(look: Callable[[], Awaitable[T | None]], access: Access, wire: Wire) -> T:
    """What ``look`` gives at last; None means not yet. Its caller's deadline ends it.

    Raises UpstreamError for what does not pass by itself, JobGone among it.
    """
    pause, missed = FIRST, 0
    while True:
        try:
            with translated(access, wire), anyio.fail_after(LOOK):
                found = await look()
            missed, asked = 0, 0.0
        except JobGone:
            missed += 1
            if missed >= GONE:
                raise
            found, asked = None, 0.0
        except UpstreamError as error:
            if error.fault not in PASSING:
                raise
            found, asked = None, error.after or 0.0
        if found is not None:
            return found
        await anyio.sleep(max(pause, min(asked, LONGEST)))
        pause = min(pause * GROWTH, MOST)
