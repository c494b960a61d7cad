"""A ZIP archive as a stream: made while it is sent, never held as a whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Entry:
    """A file of the archive. ``packs``: compress it; pictures are compressed already."""

    name: str
    pieces: AsyncIterator[bytes]
    at: datetime
    packs: bool = True


class _Outlet(io.RawIOBase):
    """Takes what zipfile writes, and gives it away at once; it cannot go back."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.waiting += data
        return len(data)

    def drain(self) -> bytes:
        taken = bytes(self.waiting)
        self.waiting.clear()
        return taken


async def archive(entries: AsyncIterator[Entry]) -> AsyncGenerator[bytes, None]:
    """The archive's bytes. What is kept until the end is one line for each file."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", allowZip64=True) as file:
        async for entry in entries:
            about = zipfile.ZipInfo(entry.name, entry.at.timetuple()[:6])
            about.compress_type = zipfile.ZIP_DEFLATED if entry.packs else zipfile.ZIP_STORED
            about.external_attr = 0o644 << 16
            with file.open(about, "w", force_zip64=True) as target:
                async for piece in entry.pieces:
                    target.write(piece)
                    if outlet.waiting:
                        yield outlet.drain()
            yield outlet.drain()
    yield outlet.drain()
