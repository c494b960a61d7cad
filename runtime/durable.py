"""What is there after a power cut."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def flush(folder: Path) -> None:
    """Make the names in a folder durable: fsync of the file alone keeps its bytes, not its name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def kind_of(folder: Path) -> str:
    """The type of its file system, such as "ext4"; "" where nobody tells."""
    place, found = folder.resolve(), ("", "")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mount, kind, *_ = line.split(" ")
            if place.is_relative_to(mount) and len(mount) >= len(
                found[0]
            ):  # of those mounted over each other, the last
                found = mount, kind
    return found[1]


class Held:
    """A folder that is kept open, for whoever flushes it often. It is closed when nobody has it any more."""

    def __init__(self, folder: Path) -> None:
        self._handle = -1
        self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._since = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds. Another folder may have taken its place since."""
        return time.monotonic() - self._since

    def flush(self) -> None:
        os.fsync(self._handle)

    def __del__(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
