"""What is there after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def flush(folder: Path) -> None:
    """Make the names in a folder durable: fsync of the file alone keeps its bytes, not its name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
