"""The demo painter: paints by Pillow alone, the same bytes for the same order, with live steps on the way."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from random import Random

import anyio
from anyio import to_thread
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from limner.actors.providers import brush, scenes
from limner.actors.providers.base import PREVIEW_LIMIT, Access, Fault, OnStep, Order, Picture, Step, UpstreamError
from limner.actors.providers.canvas import Canvas
from limner.actors.providers.guide import follow
from limner.actors.providers.parameters import refuse
from limner.actors.providers.skies import falling
from limner.sql.models import MARKUP

SIZES = range(256, 2049)
PIXEL_LIMIT = 40_000_000
STUDY_SIDE = 1152
"""Studies are composed at this length of the longer side at most; the brush works at full size."""

STEPS = 5
HANDS = anyio.CapacityLimiter(2)
"""Paintings at a time in this process: threads share the interpreter, more only finish later and cost memory."""


class Demo:
    """Refuses no prompt and costs nothing. The switch ``pace=SECONDS`` spreads the steps over it."""

    name = "demo"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """A PNG of the asked size. UpstreamError(INVALID_REQUEST) for sizes outside SIZES and broken references."""
        if MARKUP in order.parameters:
            refuse(MARKUP, "is not known to this painter")
        pause = pace(access.switch) / STEPS
        async with HANDS if not pause else nullcontext():
            stages = _stages(order)
            # Stage by stage in a thread: Pillow lets go of the interpreter for the long parts, and steps need no second
            # process. Measured with two at work: the loop is late by 10 to 40 ms at worst; 70 MB of memory and 30 MB a hand.
            while isinstance(stage := await to_thread.run_sync(next, stages), Step):
                await on_step(stage)
                await anyio.sleep(pause)
        return Picture(stage, "image/png", upstream_id=f"demo-{digest(order)[:16]}")

    async def check(self, access: Access) -> None:
        """Demo keys always work."""


def digest(order: Order) -> str:
    """What a picture hangs on, as hexadecimal sha256: prompt, seed, size, references and mask."""
    whole = hashlib.sha256(f"{order.seed} {order.width}x{order.height}\n{order.prompt}".encode())
    for data in (*order.references, order.mask or b""):
        whole.update(hashlib.sha256(data).digest())
    return whole.hexdigest()


def pace(switch: str) -> float:
    """The seconds that ``pace=SECONDS`` in a switch asks for, else 0; at most 600."""
    found = re.search(r"\bpace=(\d+(?:\.\d+)?)", switch)
    return min(float(found[1]), 600.0) if found else 0.0


def _stages(order: Order) -> Iterator[Step | bytes]:
    """The painting as it grows: steps with previews, then the encoded picture."""
    if order.width not in SIZES or order.height not in SIZES:
        raise UpstreamError(Fault.INVALID_REQUEST, f"size {order.width}x{order.height} is outside 256..2048")
    rng = Random(digest(order))  # noqa: S311 - art, not secrecy
    size = (order.width, order.height)
    study = _compose(order, rng)
    yield Step(0.15, preview(study.image.resize(_within(size, 64)), 320))
    painting = study.image
    for index, painting in enumerate(brush.paint(study.image, size, rng, study.flow, study.swirl)):
        yield Step(round(0.35 + 0.18 * index, 2), preview(painting, 320 + 32 * index))
    falling(study)
    target, detail = (part.resize(size, Image.Resampling.BICUBIC) for part in (study.image, study.detail))
    done = brush.finish(painting, target, detail, rng)
    if order.mask and order.references:
        done = _keep(done, opened(order.references[0]), opened(order.mask))
    yield encode(sign(done))


def _compose(order: Order, rng: Random) -> Canvas:
    wanted = scenes.plan(order.prompt, rng)
    study = scenes.compose(wanted, *_within((order.width, order.height), STUDY_SIDE), rng)
    if order.references:
        follow(study, [opened(data).convert("RGB") for data in order.references], found=wanted.found)
    return study


def opened(data: bytes) -> Image.Image:
    """A decoded reference or mask, upright. Raises UpstreamError(INVALID_REQUEST)."""
    with _broken_means_invalid():
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > PIXEL_LIMIT:
            raise UpstreamError(Fault.INVALID_REQUEST, f"reference of {image.width}x{image.height} pixels is too large")
        image.load()
        return ImageOps.exif_transpose(image)


@contextmanager
def _broken_means_invalid() -> Iterator[None]:
    try:
        yield
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UpstreamError(Fault.INVALID_REQUEST, f"reference cannot be decoded: {type(error).__name__}") from error


def _keep(painting: Image.Image, reference: Image.Image, mask: Image.Image) -> Image.Image:
    """The reference where the mask is opaque, the painting where it is clear (as OpenAI's masks are)."""
    old = ImageOps.fit(reference.convert("RGB"), painting.size, Image.Resampling.LANCZOS)
    stays = ImageOps.fit(mask.convert("RGBA").getchannel("A"), painting.size, Image.Resampling.BILINEAR)
    return Image.composite(old, painting, stays)


def sign(painting: Image.Image) -> Image.Image:
    """The painting with a small "demo" in its lower right corner, legible on any ground."""
    unit = min(painting.size)
    font = ImageFont.load_default(max(11, round(unit * 0.021)))
    draw = ImageDraw.Draw(painting, "RGBA")
    at = (painting.width - unit * 0.028, painting.height - unit * 0.026)
    left, top, right, bottom = draw.textbbox(at, "demo", font=font, anchor="rs")
    pad = unit * 0.008
    draw.rounded_rectangle(
        (left - pad * 1.4, top - pad, right + pad * 1.4, bottom + pad), pad * 1.3, fill=(20, 18, 24, 92)
    )
    draw.text(at, "demo", font=font, anchor="rs", fill=(255, 250, 240, 215))
    return painting


def preview(painting: Image.Image, side: int) -> bytes:
    """A WebP of at most ``side`` pixels and PREVIEW_LIMIT bytes."""
    small = painting.resize(_within(painting.size, side), Image.Resampling.BOX)
    for quality in (60, 40, 20, 5):
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=1)
        if buffer.tell() <= PREVIEW_LIMIT:
            break
    return buffer.getvalue()


def encode(painting: Image.Image) -> bytes:
    buffer = io.BytesIO()
    painting.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
