"""Lull: a moment in which this process does nothing that somebody waits for."""

from __future__ import annotations

import time

import anyio


class Lull:
    """What can wait asks for one; what cannot wait stirs."""

    def __init__(self) -> None:
        self._stirred = 0.0

    def stir(self) -> None:
        """Somebody waits for what is done now."""
        self._stirred = time.monotonic()

    async def come(self, *, still: float, most: float) -> None:
        """Return when nothing stirred for ``still`` seconds, or after ``most``: what can wait does get done."""
        give_up = time.monotonic() + most
        while (now := time.monotonic()) < give_up and (left := self._stirred + still - now) > 0:
            await anyio.sleep(min(left, give_up - now))
