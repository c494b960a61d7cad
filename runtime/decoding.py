"""What is done with a picture's bytes in the confined process (runtime/raster.py): each picture may be an attack."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from limner.runtime.sniffing import FORMATS, BadImage, Shape, sniff

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_MEMORY = 2**30
"""Bytes of address space that the decoding process gets: 25 megapixels of WebP need about half of it."""
MAX_CPU = 6
"""Seconds of processor time for one picture; a progressive JPEG can ask for hours."""
HUMBLE = 19
"""The niceness of a process that takes only what others leave."""
DRAFTABLE = {"L", "RGB", "CMYK"}  # what a JPEG decoder gives: shrunk while it decodes, so converted last
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What Pillow's parsers raise for broken files."""


def measure(data: bytes, max_pixels: int) -> Shape:
    with _opened(data, max_pixels) as (_, shape):
        return shape


def verify(data: bytes, max_pixels: int) -> Shape:
    with _opened(data, max_pixels, strict=True) as (image, shape):
        image.load()
        return shape


def clean(data: bytes, max_pixels: int, max_edge: int) -> tuple[bytes, Shape]:
    with _opened(data, max_pixels) as (image, _):
        bare = _bare(image, max_edge)
        return _encoded(bare, "PNG", compress_level=4), Shape("image/png", *bare.size)


def has_holes(data: bytes, max_pixels: int) -> bool:
    with _opened(data, max_pixels) as (image, _):
        darkest: int = image.getchannel("A").getextrema()[0] if image.mode == "RGBA" else 255  # type: ignore[assignment]
        return darkest < 255


def proof(data: bytes, max_pixels: int, edge: int) -> tuple[Shape, bytes]:
    with _opened(data, max_pixels, strict=True) as (image, shape):
        return shape, _encoded(_bare(image, edge), "WEBP", quality=80, method=2)


def proof_humbly(data: bytes, max_pixels: int, edge: int) -> tuple[Shape, bytes]:
    os.setpriority(os.PRIO_PROCESS, 0, HUMBLE)
    return proof(data, max_pixels, edge)


def stencil(data: bytes, max_pixels: int) -> bytes:
    with _opened(data, max_pixels) as (image, _):
        alpha = image.convert("RGBA").getchannel("A")
        return _encoded(alpha.point([255] * 128 + [0] * 128), "PNG", compress_level=4)


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int, *, strict: bool = False) -> Iterator[tuple[Image, Shape]]:
    """The picture, its size known to be bearable, none of its pixels decoded yet; foreign errors end here.

    ``strict`` looks at the checksums of a PNG too: decoding ignores them, and does not miss an end that is cut off.
    """
    confine()
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


def confine() -> None:
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
