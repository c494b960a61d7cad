"""The brush: turns a study into a painting with layers of bristled strokes, coarse ones first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

TURNS = 24
KINDS = 3


@dataclass(frozen=True)
class Layer:
    """One layer of strokes: their length as a share of the shorter side, their spacing as a share of the length,
    how far (0..1) the canvas must be from the study for one, and how opaque they are in percent."""

    length: float
    spacing: float
    least: float
    cover: int


LAYERS = (
    Layer(0.075, 0.32, 0.0, 92),
    Layer(0.038, 0.28, 0.02, 92),
    Layer(0.019, 0.3, 0.03, 92),
    Layer(0.01, 0.36, 0.045, 92),
)

Field = tuple[Image.Image, Image.Image]
"""Cosine and sine of twice the direction of every edge, as bytes around 128: averaged, a thin line doesn't cancel."""


def paint(study: Image.Image, size: tuple[int, int], rng: Random, flow: float, swirl: float) -> Iterator[Image.Image]:
    """Paint the study at ``size``; yields the same canvas after each pass.

    ``flow``: direction in radians where the study has none of its own; ``swirl``: how far the flow meanders.
    """
    target = study if study.size == size else study.resize(size, Image.Resampling.BICUBIC)
    canvas = target.filter(ImageFilter.GaussianBlur(min(size) * 0.02))
    field = directions(study)
    for layer in LAYERS:
        _strokes(canvas, target, field, layer, rng, (flow, swirl))
        yield canvas


def finish(canvas: Image.Image, target: Image.Image, detail: Image.Image, rng: Random) -> Image.Image:
    """Bring the details back, then lay relief and weave over it."""
    crisp = Image.composite(target, canvas, detail)
    height = crisp.convert("L").filter(ImageFilter.Kernel((3, 3), (-1, -1, 0, -1, 0, 1, 0, 1, 1), 1, 128))
    relief = Image.blend(height, weave(rng, crisp.size), 0.35)
    return ImageChops.overlay(
        crisp, Image.merge("RGB", [relief.point([round(128 + (v - 128) * 0.5) for v in range(256)])] * 3)
    )


def weave(rng: Random, size: tuple[int, int]) -> Image.Image:
    """A canvas's threads as a tile: mid grey with a little light and shade."""
    side = 128
    threads = [[128 + rng.randint(-14, 14) for _ in range(side)] for _ in range(2)]
    data = bytes(
        (threads[0][x] + threads[1][y]) // 2 + (10 if (x + y) % 2 else -10) for y in range(side) for x in range(side)
    )
    tile = Image.frombytes("L", (side, side), data)
    whole = Image.new("L", size)
    for top in range(0, size[1], side):
        for left in range(0, size[0], side):
            whole.paste(tile, (left, top))
    return whole


def _strokes(
    canvas: Image.Image, target: Image.Image, field: Field, layer: Layer, rng: Random, flow: tuple[float, float]
) -> None:
    """One layer: a stroke wherever the canvas is still too far from the study."""
    length = max(5, round(min(canvas.size) * layer.length))
    spacing = length * layer.spacing
    across, down = max(2, round(canvas.width / spacing)), max(2, round(canvas.height / spacing))
    cells = (across, down)
    colours = target.resize(cells, Image.Resampling.BOX)
    wrong = ImageChops.difference(target, canvas).resize(cells, Image.Resampling.BOX).convert("L").tobytes()
    angles = _angles(field, cells, rng, flow)
    ink = colours.tobytes()
    order = [cell for cell in range(across * down) if wrong[cell] >= layer.least * 255]
    rng.shuffle(order)
    stamps = _stamps(length, layer.cover)
    step_x, step_y = canvas.width / across, canvas.height / down
    shifts = [tuple(base + rng.randint(-6, 6) for _ in range(3)) for base in (rng.randint(-7, 7) for _ in range(64))]
    random = rng.random
    for cell in order:
        row, column = divmod(cell, across)
        stamp = stamps[angles[cell] % TURNS * KINDS + int(random() * KINDS)]
        x = int((column + random()) * step_x) - stamp.width // 2
        y = int((row + random()) * step_y) - stamp.height // 2
        at, (r, g, b) = cell * 3, shifts[int(random() * 64)]
        canvas.paste((ink[at] + r, ink[at + 1] + g, ink[at + 2] + b), (x, y), stamp)


def directions(study: Image.Image) -> Field:
    """Where the edges of a study run, on a coarse grid."""
    small = (
        study.convert("L").resize(_within(study.size, 224), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.7))
    )
    dx = small.filter(ImageFilter.Kernel((3, 3), (-1, 0, 1, -2, 0, 2, -1, 0, 1), 2, 128)).tobytes()
    dy = small.filter(ImageFilter.Kernel((3, 3), (-1, -2, -1, 0, 0, 0, 1, 2, 1), 2, 128)).tobytes()
    cos, sin = bytearray(len(dx)), bytearray(len(dx))
    for place, (gx, gy) in enumerate(zip(dx, dy, strict=True)):
        gx, gy = gx - 128, gy - 128
        square = gx * gx + gy * gy
        if square > 9:
            # the direction along an edge is its gradient's turned by a quarter: both signs flip
            weight = 127 * min(1.0, square / 220) / square
            cos[place], sin[place] = round(128 - weight * (gx * gx - gy * gy)), round(128 - weight * 2 * gx * gy)
        else:
            cos[place] = sin[place] = 128
    one, other = (
        Image.frombytes("L", small.size, bytes(part)).filter(ImageFilter.GaussianBlur(1.3)) for part in (cos, sin)
    )
    return one, other


def _angles(field: Field, cells: tuple[int, int], rng: Random, flow: tuple[float, float]) -> list[int]:
    """For every cell the direction along its edges, else that of the flow, in TURNS of half a circle."""
    cos, sin = (part.resize(cells, Image.Resampling.BILINEAR).tobytes() for part in field)
    meander = Image.frombytes("L", (9, 9), rng.randbytes(81)).resize(cells, Image.Resampling.BICUBIC).tobytes()
    along, swirl = flow
    found = []
    for c, s, bend in zip(cos, sin, meander, strict=True):
        c, s = c - 128, s - 128
        angle = math.atan2(s, c) / 2 if c * c + s * s > 90 else along + (bend - 128) / 128 * (0.35 + swirl)
        found.append(round(angle / math.pi * TURNS) % TURNS)
    return found


def _within(size: tuple[int, int], limit: int) -> tuple[int, int]:
    scale = min(1.0, limit / max(size))
    return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))


@lru_cache(maxsize=24)
def _stamps(length: int, cover: int) -> tuple[Image.Image, ...]:
    """Brush marks as masks, for every direction in KINDS of bristles; always the same ones for a length."""
    rng = Random(length)  # noqa: S311 - texture, not secrecy
    flat = [_mark(length, max(3, round(length * 0.3)), cover / 100, rng) for _ in range(KINDS)]
    turned = (
        mark.rotate(-180 * turn / TURNS, Image.Resampling.BICUBIC, expand=True)
        for turn in range(TURNS)
        for mark in flat
    )
    return tuple(stamp.crop(stamp.getbbox()) for stamp in turned)


def _mark(length: int, width: int, alpha: float, rng: Random) -> Image.Image:
    hairs = Image.frombytes("L", (1, max(2, width // 2)), rng.randbytes(max(2, width // 2)))
    hairs = hairs.resize((length, width), Image.Resampling.BICUBIC).point([round(150 + v * 0.41) for v in range(256)])
    body = Image.new("L", (length * 2, width * 2), 0)
    ImageDraw.Draw(body).rounded_rectangle(
        (width * 0.3, 1, length * 2 - width * 0.3, width * 2 - 2), radius=width * 0.9, fill=255
    )
    ends = (
        Image.linear_gradient("L")
        .rotate(90)
        .resize((length, width))
        .point([round(min(255, 130 + v)) for v in range(256)])
    )
    mask = ImageChops.multiply(ImageChops.multiply(body.reduce(2), hairs), ends)
    return mask.point([round(v * alpha) for v in range(256)])
