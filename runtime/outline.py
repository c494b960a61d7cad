"""Pictures by their outline: whole and undamaged as far as their file says, told in this process without decoding a pixel."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

from anyio import to_thread

from limner.runtime.raster import MAX_PIXELS, STILL, BadImage, Shape, refuse_others, sniff

INLINE = 2**20
"""Bytes up to which it is done on the spot: about a millisecond. A thread gets what is larger."""
MOST_PARTS = 65_536
PNG_END = b"IEND"
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits that a sample may have, by colour type."""

SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that tell the size."""
SCAN, END = 0xDA, 0xD9
AFTER_SCAN = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""The next marker behind compressed data, in which FF 00 is an FF and D0 to D7 are signs of the way."""


class _Short(Exception):
    """The file ends before its time."""


class _Damaged(Exception):
    """Something in it cannot be."""


async def examine(data: bytes, max_pixels: int = MAX_PIXELS) -> Shape:
    """The shape of a still picture that is all there: for a PNG by every checksum, for JPEG and WebP by every part's length.

    What only a decoder sees is not looked for. Raises BadImage.
    """
    refuse_others(data, STILL)
    if len(data) <= INLINE:
        return _examined(data, max_pixels)
    return await to_thread.run_sync(_examined, data, max_pixels)


def _examined(data: bytes, max_pixels: int) -> Shape:
    mime = sniff(data) or ""
    name = mime.removeprefix("image/").upper().replace("WEBP", "WebP")
    try:
        width, height = WALKS[mime](data)
    except (_Short, IndexError, struct.error):
        raise BadImage(f"The {name} file is cut short.") from None
    except _Damaged:
        raise BadImage(f"The {name} file is damaged.") from None
    if width * height > max_pixels:
        raise BadImage(f"The picture is too large: at most {max_pixels // 1_000_000} megapixels are accepted.")
    return Shape(mime, width, height)


def _png(data: bytes) -> tuple[int, int]:
    view, at, has_pixels = memoryview(data), 8, False
    width = height = 0
    for number in range(MOST_PARTS):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(view[at + 4 : end]):
            raise _Damaged
        if number == 0:
            width, height = _png_size(kind, data[at + 8 : end])
        has_pixels |= kind == b"IDAT" and length > 0
        if kind == PNG_END:
            if not has_pixels:
                raise _Damaged
            return width, height
        at = end + 4
    raise _Damaged


def _png_size(kind: bytes, header: bytes) -> tuple[int, int]:
    if kind != b"IHDR" or len(header) != 13:
        raise _Damaged
    width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", header)
    if not (width and height and depth in PNG_DEPTHS.get(colour, ())) or methods[:2] != [0, 0] or methods[2] > 1:
        raise _Damaged
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    at, size, has_scan = 2, (0, 0), False
    for _ in range(MOST_PARTS):
        at, marker = _jpeg_marker(data, at)
        if marker == END:
            if not has_scan or 0 in size:
                raise _Damaged
            return size
        (length,) = struct.unpack_from(">H", data, at)
        if marker in SIZES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = (width, height)
        at += length
        if length < 2 or at > len(data):
            raise _Short
        if marker == SCAN:
            has_scan = True
            found = AFTER_SCAN.search(data, at)
            if found is None:
                raise _Short
            at = found.start()
    raise _Damaged


def _jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    """Where what it heads begins, and the marker; any number of FF may stand before it."""
    if data[at] != 0xFF:
        raise _Damaged
    while data[at] == 0xFF:
        at += 1
    return at + 1, data[at]


def _webp(data: bytes) -> tuple[int, int]:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise _Short
    at, size, has_pixels = 12, (0, 0), False
    for _ in range(MOST_PARTS):
        if at + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        body, at = at + 8, at + 8 + length + length % 2
        if body + length > end:
            raise _Short
        if kind in WEBP_SIZES:
            found = WEBP_SIZES[kind](data[body : body + 10])
            size = size if all(size) else found
        has_pixels |= kind in (b"VP8 ", b"VP8L", b"ANMF") and length > 0
    if not has_pixels or 0 in size:
        raise _Damaged
    return size


def _vp8(head: bytes) -> tuple[int, int]:
    if head[0] & 1 or head[3:6] != b"\x9d\x01\x2a":  # only a key frame can stand alone
        raise _Damaged
    width, height = struct.unpack_from("<HH", head, 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l(head: bytes) -> tuple[int, int]:
    if head[0] != 0x2F:
        raise _Damaged
    (bits,) = struct.unpack_from("<I", head, 1)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _vp8x(head: bytes) -> tuple[int, int]:
    if len(head) < 10:
        raise _Short
    return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1


WALKS: dict[str, Callable[[bytes], tuple[int, int]]] = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}
WEBP_SIZES: dict[bytes, Callable[[bytes], tuple[int, int]]] = {b"VP8 ": _vp8, b"VP8L": _vp8l, b"VP8X": _vp8x}
