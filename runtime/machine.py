"""The machine under a process, as it reports it with its heartbeats: how far its clock is off, and how much room is left."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

REPORT_EVERY = 60.0
"""Seconds between two reports."""
QUICK = 1.0
"""Seconds of an answer from which a clock can be judged."""
PATIENCE = 2.0
"""Seconds that the file system may take."""


class Machine:
    """``folder``: where the process keeps things. ``clock``: the one on the wall here, in seconds."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self._off: float | None = None
        self._reported_at = float("-inf")

    def compare(self, before: float, after: float, theirs: float) -> None:
        """What the database's clock said between two looks at ours. A slow answer says nothing."""
        if 0 <= after - before <= QUICK:
            self._off = (before + after) / 2 - theirs

    async def report(self) -> dict[str, Any] | None:
        """None while the last report is young, and before there is anything to say."""
        if time.monotonic() - self._reported_at < REPORT_EVERY or (self._off is None and self.folder is None):
            return None
        self._reported_at = time.monotonic()
        found: dict[str, Any] = {} if self._off is None else {"clock": round(self._off, 3)}
        if self.folder is not None:
            with anyio.move_on_after(PATIENCE):
                found |= await to_thread.run_sync(_room, self.folder, abandon_on_cancel=True)
        return found or None


def _room(folder: Path) -> dict[str, Any]:
    """Percent that are free there, or in what there is above it; nothing when that cannot be said."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {}
    total = usage.used + usage.free  # what is kept for root is nobody's
    return {"path": str(folder), "bytes": total, "free": round(100 * usage.free / total, 2)} if total else {}
