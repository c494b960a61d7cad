"""A canvas to compose on: gradients, clouds of noise, soft shapes and glows, all reproducible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from limner.actors.providers.palettes import RGB, Mood, Palette

Point = tuple[float, float]
Fill = RGB | tuple[RGB, RGB]
"""One colour, or two that run into each other from the top of a shape to its bottom."""


class Canvas:
    """An RGB study of ``w`` x ``h`` pixels; ``u`` is its shorter side, ``detail`` marks what must stay crisp."""

    def __init__(self, width: int, height: int, rng: Random, colours: Palette, mood: Mood) -> None:
        self.w, self.h, self.u = width, height, min(width, height)
        self.rng, self.colours, self.mood = rng, colours, mood
        self.image = Image.new("RGB", (width, height), colours.mid)
        self.detail = Image.new("L", (width, height), 0)
        self.flow = 0.0
        self.swirl = 0.0

    def sky(self, stops: Sequence[RGB], bottom: float = 1.0) -> None:
        """A vertical gradient through ``stops`` from the top edge to ``bottom`` (share of the height)."""
        height = max(2, round(self.h * bottom))
        self.image.paste(gradient(stops, self.w, height), (0, 0))

    def shape(
        self, points: Sequence[Point], fill: Fill, *, blur: float = 0, alpha: float = 1, detail: float = 0
    ) -> None:
        """A filled polygon in pixels, smooth-edged; ``blur`` in pixels."""
        pad = math.ceil(blur * 2.5) + 2
        xs, ys = [x for x, _ in points], [y for _, y in points]
        box = self._box(min(xs) - pad, min(ys) - pad, max(xs) + pad, max(ys) + pad)
        if box is None:
            return
        mask = Image.new("L", ((box[2] - box[0]) * 2, (box[3] - box[1]) * 2), 0)
        ImageDraw.Draw(mask).polygon([((x - box[0]) * 2, (y - box[1]) * 2) for x, y in points], fill=255)
        self.lay(mask.reduce(2), box[:2], fill, blur=blur, alpha=alpha, detail=detail)

    def ellipse(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        fill: Fill,
        *,
        turn: float = 0,
        blur: float = 0,
        alpha: float = 1,
        detail: float = 0,
    ) -> None:
        """An ellipse, turned clockwise by ``turn`` radians."""
        self.shape(oval(cx, cy, rx, ry, turn), fill, blur=blur, alpha=alpha, detail=detail)

    def line(self, points: Sequence[Point], width: float, fill: Fill, *, alpha: float = 1, detail: float = 0) -> None:
        """A line through points that thins out towards its end."""
        count = max(len(points) - 1, 1)
        left, right = [], []
        for index, (x, y) in enumerate(points):
            (ax, ay), (bx, by) = points[max(index - 1, 0)], points[min(index + 1, count)]
            length = math.hypot(bx - ax, by - ay) or 1
            half = width * (1 - 0.7 * index / count) / 2
            left.append((x - (by - ay) / length * half, y + (bx - ax) / length * half))
            right.append((x + (by - ay) / length * half, y - (bx - ax) / length * half))
        self.shape(left + right[::-1], fill, alpha=alpha, detail=detail)

    def lay(
        self,
        mask: Image.Image,
        at: tuple[int, int],
        fill: Fill,
        *,
        blur: float = 0,
        alpha: float = 1,
        detail: float = 0,
    ) -> None:
        """Paint through a mask whose corner lies ``at`` a pixel."""
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur))
        if alpha < 1:
            mask = scaled(mask, alpha)
        box = (*at, at[0] + mask.width, at[1] + mask.height)
        if isinstance(fill[0], tuple):
            self.image.paste(gradient(fill, *mask.size), box, mask)
        else:
            self.image.paste(fill, box, mask)
        if detail:
            self.detail.paste(round(255 * detail), box, mask)

    def glow(self, cx: float, cy: float, radius: float, colour: RGB, strength: float = 1) -> None:
        """Light that falls off from a point."""
        box = self._box(cx - radius, cy - radius, cx + radius, cy + radius)
        if box is None:
            return
        whole = _falloff().resize((round(radius * 2), round(radius * 2)), Image.Resampling.BILINEAR)
        left, top = round(cx - radius), round(cy - radius)
        self.lay(
            scaled(whole.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top)), strength), box[:2], colour
        )

    def veil(self, mask: Image.Image, fill: Fill, alpha: float = 1) -> None:
        """Paint through a mask of the whole canvas."""
        self.lay(mask, (0, 0), fill, alpha=alpha)

    def noise(self, across: int, down: int, octaves: int = 4) -> Image.Image:
        """Clouds with about ``across`` x ``down`` blobs over the whole canvas, stretched to full contrast."""
        return noise(self.rng, self.w, self.h, across, down, octaves)

    def _box(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int] | None:
        box = (
            max(0, math.floor(left)),
            max(0, math.floor(top)),
            min(self.w, math.ceil(right)),
            min(self.h, math.ceil(bottom)),
        )
        return box if box[0] < box[2] and box[1] < box[3] else None


def gradient(stops: Sequence[RGB], width: int, height: int) -> Image.Image:
    """A vertical gradient through the colours."""
    strip = Image.new("RGB", (1, len(stops)))
    strip.putdata(list(stops))
    edge = 0.5 / len(stops)
    tall = strip.resize(
        (1, height), Image.Resampling.BILINEAR, (0, edge * len(stops), 1, len(stops) - edge * len(stops))
    )
    return tall.resize((width, height), Image.Resampling.NEAREST)


def noise(rng: Random, width: int, height: int, across: int, down: int, octaves: int = 4) -> Image.Image:
    """Value noise, painted at half size: deterministic for an rng, unlike Pillow's own effect_noise."""
    size = (max(1, width // 2), max(1, height // 2))
    total: Image.Image | None = None
    for octave in range(octaves):
        cells = (min(size[0], (across << octave) + 1), min(size[1], (down << octave) + 1))
        layer = Image.frombytes("L", cells, rng.randbytes(cells[0] * cells[1])).resize(size, Image.Resampling.BICUBIC)
        total = layer if total is None else Image.blend(total, layer, 0.5**octave / (2 - 0.5**octave))
    assert total is not None
    return ImageOps.autocontrast(total, cutoff=1).resize((width, height), Image.Resampling.BILINEAR)


def threshold(mask: Image.Image, low: float, high: float) -> Image.Image:
    """0 below ``low``, full above ``high`` (0..1), a ramp between."""
    span = max(high - low, 1e-6)
    return mask.point([round(255 * min(1, max(0, (v / 255 - low) / span))) for v in range(256)])


def scaled(mask: Image.Image, factor: float) -> Image.Image:
    return mask.point([min(255, round(v * factor)) for v in range(256)])


def fade(width: int, height: int, stops: Sequence[float]) -> Image.Image:
    """A mask that runs from top to bottom through strengths of 0..1."""
    return gradient([(round(s * 255),) * 3 for s in stops], width, height).getchannel(0)


def both(one: Image.Image, other: Image.Image) -> Image.Image:
    """Where both masks are."""
    return ImageChops.multiply(one, other)


def oval(cx: float, cy: float, rx: float, ry: float, turn: float = 0) -> list[Point]:
    count = max(16, min(72, round((rx + ry) / 3)))
    cos, sin = math.cos(turn), math.sin(turn)
    ring = [(rx * math.cos(math.tau * i / count), ry * math.sin(math.tau * i / count)) for i in range(count)]
    return [(cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in ring]


def curve(points: Sequence[Point], closed: bool = True, steps: int = 8) -> list[Point]:
    """A smooth line through the points (Catmull-Rom)."""
    count = len(points)
    found = []
    for i in range(count if closed else count - 1):
        a, b, c, d = (points[_neighbour(i + k, count, closed)] for k in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            found.append((_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)))
    return found if closed else [*found, points[-1]]


@lru_cache(maxsize=512)
def path(text: str) -> list[Point]:
    """Points written as ``x,y x,y``: outlines stay readable on a line."""
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def _neighbour(index: int, count: int, closed: bool) -> int:
    return index % count if closed else min(max(index, 0), count - 1)


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)


@lru_cache(maxsize=1)
def _falloff() -> Image.Image:
    ramp = Image.radial_gradient("L")
    return ramp.point([round(255 * max(0.0, 1 - v / 181) ** 1.8) for v in range(256)])
