"""Pictures as bytes: measured, verified, cleaned and made small in a confined process, never in this one."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from limner.runtime.errors import Busy, Refused

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_PIXELS = 25_000_000
MAX_MEMORY = 2**30
"""Bytes of address space that the decoding process gets: 25 megapixels of WebP need about half of it."""
MAX_CPU = 6
"""Seconds of processor time for one picture; a progressive JPEG can ask for hours."""
MAX_WAIT = 60.0
PROCESSES = 2
HUMBLE = 19
"""The niceness of a process that takes only what others leave."""

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
DRAFTABLE = {"L", "RGB", "CMYK"}  # what a JPEG decoder gives: shrunk while it decodes, so converted last
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What Pillow's parsers raise for broken files."""

_turn = CapacityLimiter(PROCESSES)


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


async def measure(data: bytes, max_pixels: int = MAX_PIXELS) -> Shape:
    """The shape by the header alone, as stored: a camera's rotation is not applied. Raises BadImage, Busy."""
    refuse_others(data, FORMATS)
    return await _in_child(_measure, data, max_pixels)


async def verify(data: bytes, max_pixels: int = MAX_PIXELS) -> Shape:
    """The shape of a still picture (PNG, JPEG, WebP) every pixel of which was decoded. Raises BadImage, Busy."""
    refuse_others(data, STILL)
    return await _in_child(_verify, data, max_pixels)


async def clean(data: bytes, *, max_edge: int = 2048) -> tuple[bytes, Shape]:
    """A PNG of nothing but pixels, RGB or RGBA of 8 bits, upright, at most ``max_edge`` a side, and its shape.

    For what strangers send: metadata, colour profiles, later frames and whatever hides in the file are gone.
    Raises BadImage, Busy.
    """
    refuse_others(data, FORMATS)
    return await _in_child(_clean, data, MAX_PIXELS, max_edge)


async def has_holes(data: bytes) -> bool:
    """Whether a picture that was cleaned has a pixel that is not wholly opaque. Raises BadImage, Busy."""
    return await _in_child(_has_holes, data, MAX_PIXELS)


async def thumbnail(data: bytes, *, edge: int = 480) -> bytes:
    """A WebP of at most ``edge`` pixels a side. Raises BadImage, Busy."""
    return (await proof(data, edge=edge))[1]


async def proof(data: bytes, *, edge: int = 480, humbly: bool = False) -> tuple[Shape, bytes]:
    """``verify`` and ``thumbnail`` by one decode. Raises BadImage (Undecoded), Busy.

    ``humbly``: only with what other work leaves of the processors. The child that does so remains humble for all that it
    gets afterwards.
    """
    refuse_others(data, STILL)
    return await _in_child(_proof_humbly if humbly else _proof, data, MAX_PIXELS, edge)


async def stencil(data: bytes) -> bytes:
    """A PNG of a mask's size, white where it is transparent and black elsewhere. Raises BadImage, Busy."""
    refuse_others(data, STILL)
    return await _in_child(_stencil, data, MAX_PIXELS)


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


async def _in_child(work: Callable[[bytes, *Ts], T], data: bytes, *args: *Ts) -> T:
    """Do the work in one of PROCESSES. A child that dies is blamed on the picture only when a second one dies too."""
    async with _turn:
        started = anyio.current_time()
        with contextlib.suppress(BrokenWorkerProcess):
            return await _run(work, data, *args)
        if anyio.current_time() - started >= MAX_CPU:
            raise Undecoded("The picture takes too long to decode.")
        await _meet_a_child()
        try:
            return await _run(work, data, *args)
        except BrokenWorkerProcess:
            raise Undecoded("The picture cannot be decoded.") from None


async def _meet_a_child() -> None:
    """Raises BrokenWorkerProcess when none can be started at all: that is our trouble, not the picture's."""
    for _ in range(PROCESSES - 1):  # the idle ones may have been killed as well
        with contextlib.suppress(BrokenWorkerProcess):
            await _run(_confine)
    await _run(_confine)


async def _run(work: Callable[[*Ts], T], *args: *Ts) -> T:
    try:
        with anyio.fail_after(MAX_WAIT):  # a limiter of its own: the wait for a turn must not count
            return await to_process.run_sync(work, *args, cancellable=True, limiter=CapacityLimiter(1))
    except TimeoutError:
        raise Busy("the picture could not be examined in time") from None


# What follows runs in the child.


def _measure(data: bytes, max_pixels: int) -> Shape:
    with _opened(data, max_pixels) as (_, shape):
        return shape


def _verify(data: bytes, max_pixels: int) -> Shape:
    with _opened(data, max_pixels, strict=True) as (image, shape):
        image.load()
        return shape


def _clean(data: bytes, max_pixels: int, max_edge: int) -> tuple[bytes, Shape]:
    with _opened(data, max_pixels) as (image, _):
        bare = _bare(image, max_edge)
        return _encoded(bare, "PNG", compress_level=4), Shape("image/png", *bare.size)


def _has_holes(data: bytes, max_pixels: int) -> bool:
    with _opened(data, max_pixels) as (image, _):
        darkest: int = image.getchannel("A").getextrema()[0] if image.mode == "RGBA" else 255  # type: ignore[assignment]
        return darkest < 255


def _proof(data: bytes, max_pixels: int, edge: int) -> tuple[Shape, bytes]:
    with _opened(data, max_pixels, strict=True) as (image, shape):
        return shape, _encoded(_bare(image, edge), "WEBP", quality=80, method=2)


def _proof_humbly(data: bytes, max_pixels: int, edge: int) -> tuple[Shape, bytes]:
    os.setpriority(os.PRIO_PROCESS, 0, HUMBLE)
    return _proof(data, max_pixels, edge)


def _stencil(data: bytes, max_pixels: int) -> bytes:
    with _opened(data, max_pixels) as (image, _):
        alpha = image.convert("RGBA").getchannel("A")
        return _encoded(alpha.point([255] * 128 + [0] * 128), "PNG", compress_level=4)


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int, *, strict: bool = False) -> Iterator[tuple[Image, Shape]]:
    """The picture, its size known to be bearable, none of its pixels decoded yet; foreign errors end here.

    ``strict`` looks at the checksums of a PNG too: decoding ignores them, and does not miss an end that is cut off.
    """
    _confine()
    from PIL import Image, ImageFile, WebPImagePlugin  # noqa: F401 - else Pillow imports every plugin for WebP

    mime = sniff(data) or ""
    Image.MAX_IMAGE_PIXELS = max_pixels
    too_large = f"The picture is too large: at most {max_pixels // 1_000_000} megapixels are accepted."
    try:
        with warnings.catch_warnings(action="ignore"):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[FORMATS[mime]]) as image:
                if image.width * image.height > max_pixels:
                    raise BadImage(too_large)
                if strict and mime == "image/png":
                    Image.open(io.BytesIO(data), formats=["PNG"]).verify()
                yield image, Shape(mime, *image.size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise BadImage(too_large) from None
    except DAMAGE as error:
        raise BadImage(_damage(FORMATS[mime], str(error))) from None


def _confine() -> None:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(spent.ru_utime + spent.ru_stime) + MAX_CPU + 1)
    _limit(resource.RLIMIT_AS, MAX_MEMORY)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _damage(name: str, why: str) -> str:
    if "truncated" in why.lower():
        return f"The {name} file is cut short."
    return f"The {name} file is damaged."


def _bare(image: Image, edge: int) -> Image:
    """Nothing but pixels: upright, RGB or RGBA, at most ``edge`` a side."""
    from PIL import ImageOps

    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode == "I;16":
        image = image.point(lambda value: value * (1 / 257)).convert("L")  # convert alone clips instead of scaling
    elif image.mode != mode and (mode == "RGBA" or image.mode not in DRAFTABLE):
        image = image.convert(mode)
    image.thumbnail((edge, edge), reducing_gap=3.0)
    with contextlib.suppress(*DAMAGE):  # a picture with garbled EXIF is still a picture
        ImageOps.exif_transpose(image, in_place=True)
    bare = image.convert(mode)
    bare.info = {}
    return bare


def _encoded(image: Image, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
