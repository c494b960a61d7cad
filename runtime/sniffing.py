"""What bytes are, as the first of them tell: a picture that is accepted, or something else, named in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from limner.runtime.errors import Refused

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
"""What is decoded, and the only Pillow plugin that is tried for each."""
STILL = frozenset(FORMATS) - {"image/gif"}

OTHERS = (
    (b"%pdf", "a PDF document"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"8bps", "a Photoshop file"),
    (b"%!ps", "a PostScript file"),
    (b"pk\3\4", "an archive"),
    (b"ii*\0", "a TIFF picture"),
    (b"mm\0*", "a TIFF picture"),
    (b"bm", "a BMP picture"),
)
HEIC = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


class BadImage(Refused):
    """These bytes are no picture that is accepted; the message says why in plain words."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="bad_image")


class Undecoded(BadImage):
    """Nobody could decode them here, within the limits that are set: that may be the fault of this machine, too."""


@dataclass(frozen=True)
class Shape:
    """What a picture is: ``mime`` is one of FORMATS, ``width`` and ``height`` are pixels."""

    mime: str
    width: int
    height: int


def sniff(data: bytes) -> str | None:
    """The type that the first bytes tell: image/png, jpeg, webp, gif or avif; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if b"avif" in _brands(data) or b"avis" in _brands(data):
        return "image/avif"
    return None


def refuse_others(data: bytes, accepted: frozenset[str] | dict[str, str]) -> None:
    """Raises BadImage for what the first bytes show to be something else."""
    if sniff(data) not in accepted:
        *most, last = (name for mime, name in FORMATS.items() if mime in accepted)
        raise BadImage(f"{_nature(data)}: send a {', '.join(most)} or {last} picture instead.")


def _nature(data: bytes) -> str:
    if not data:
        return "The file is empty"
    if known := sniff(data):
        return f"This is a picture of type {known.removeprefix('image/').upper()}, which is not accepted"
    if HEIC & _brands(data):
        return "This is a HEIC photo, which is not accepted"
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "This is an SVG drawing, which is not accepted"
    for prefix, name in OTHERS:
        if start.startswith(prefix):
            return f"This is {name}, which is not accepted"
    return "This is not a picture"


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[at : at + 4] for at in range(8, end, 4)}
