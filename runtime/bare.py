"""Bytes of a picture without what its maker wrote into them: prompts, seeds, places, cameras. No pixel is decoded or changed.

PNG: RFC 2083 and its third edition; JPEG: ITU T.81 B.1; WebP: RFC 9649.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from limner.runtime.errors import LimnerError

PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"pHYs",
}  # fmt: skip
"""What a still picture is drawn with. Text, EXIF, times and whatever is private to a program are left out."""
WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
WEBP_TELLS = 0x08 | 0x04
"""The flags in VP8X that announce EXIF and XMP."""
NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""What ends the coded data of a JPEG's scan: a marker that is neither a stuffed byte nor a restart."""
JFIF, APP2, ADOBE, COMMENT, SCAN, END = 0xE0, 0xE2, 0xEE, 0xFE, 0xDA, 0xD9


class Garbled(LimnerError):
    """The bytes do not hang together as a file of that type."""


def bare(data: bytes, mime: str) -> bytes:
    """The same PNG, JPEG or WebP, ended where the picture ends. Raises Garbled, also for any other type."""
    parts = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}.get(mime)
    if parts is None:
        raise Garbled(f"nobody here knows what stands where in {mime}")
    return b"".join(parts(data))


def _png(data: bytes) -> Iterator[bytes]:
    if not data.startswith(PNG):
        raise Garbled("no PNG")
    yield PNG
    at = len(PNG)
    while True:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + size
        if len(kind) < 4 or end > len(data):
            raise Garbled("a PNG that ends too soon")
        if kind in PNG_CHUNKS:
            yield data[at:end]
        if kind == b"IEND":
            return
        at = end


def _jpeg(data: bytes) -> Iterator[bytes]:
    if not data.startswith(b"\xff\xd8"):
        raise Garbled("no JPEG")
    yield data[:2]
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # markers may be padded
            at += 1
        if at + 2 > len(data) or data[at] != 0xFF:
            raise Garbled("a JPEG that ends too soon, or is out of step")
        marker = data[at + 1]
        if marker == END:
            yield data[at : at + 2]
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            raise Garbled("a JPEG that ends too soon")
        if marker == SCAN:
            following = NEXT_MARKER.search(data, end)
            if following is None:
                raise Garbled("a JPEG without an end")
            end = following.start()
        if _draws(marker, data[at + 4 : at + 16]):
            yield data[at:end]
        at = end


def _draws(marker: int, start: bytes) -> bool:
    """Whether a decoder needs the segment: tables and scans, and of what programs add the colours."""
    if marker == COMMENT or 0xE0 <= marker <= 0xEF:
        known = {JFIF: b"JFIF\0", APP2: b"ICC_PROFILE\0", ADOBE: b"Adobe"}.get(marker)
        return known is not None and start.startswith(known)
    return True


def _webp(data: bytes) -> Iterator[bytes]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise Garbled("no WebP")
    at, all_ = 12, 8 + int.from_bytes(data[4:8], "little")
    chunks = []
    while at + 8 <= min(all_, len(data)):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if at + 8 + size > len(data):
            raise Garbled("a WebP that ends too soon")
        if kind == b"VP8X":
            flags = bytes([data[at + 8] & ~WEBP_TELLS & 0xFF])
            chunks.append(data[at : at + 8] + flags + data[at + 9 : end])
        elif kind in WEBP_CHUNKS:
            chunks.append(data[at:end])
        at = end
    body = b"WEBP" + b"".join(chunks)
    yield b"RIFF" + len(body).to_bytes(4, "little") + body
