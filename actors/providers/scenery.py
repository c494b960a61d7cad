"""What settings are made of: ridges, water, dunes, houses and streets."""

from __future__ import annotations

from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from limner.actors.providers.canvas import Canvas, Point, both, curve, fade, threshold
from limner.actors.providers.palettes import RGB, darker, lighter, mix


def band(c: Canvas, top: float, bottom: float) -> list[Point]:
    """The whole width between two heights (shares)."""
    return [(-2, c.h * top), (c.w + 2, c.h * top), (c.w + 2, c.h * bottom), (-2, c.h * bottom)]


def steps(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * i / (count - 1) for i in range(count)]


def mass(c: Canvas, line: list[Point], fill: RGB | tuple[RGB, RGB], detail: float = 0) -> None:
    """Everything below a line."""
    c.shape([*line, (c.w + 4, c.h + 4), (-4, c.h + 4)], fill, detail=detail)


def peaks(c: Canvas, base: float, rise: float, count: int) -> list[Point]:
    """A mountain line with about ``count`` summits: ``base`` and ``rise`` are shares of the height."""
    tops = [
        ((i + c.rng.uniform(0.15, 0.85)) / count, c.rng.uniform(0.55, 1.0), c.rng.uniform(0.75, 1.3))
        for i in range(count)
    ]
    tops.append((c.rng.uniform(0.3, 0.7), 1.0, 1.0))
    rough = [0.0] * 2
    while len(rough) < 220:
        spread = 0.26 * (2 / len(rough)) ** 0.8
        between = [(a + b) / 2 + c.rng.uniform(-spread, spread) for a, b in pairwise(rough)]
        rough = [v for pair in zip(rough, between, strict=False) for v in pair] + [rough[-1]]
    last = len(rough) - 1
    line = []
    for i, bump in enumerate(rough):
        x = i / last
        up = max(high - abs(x - at) * steep * 2.1 * max(1.0, count / 3) for at, high, steep in tops)
        line.append((-4 + (c.w + 8) * x, c.h * (base - rise * (max(up, -0.12) + bump * 0.9))))
    return line


def crag(c: Canvas, line: list[Point], rock: RGB, snow: RGB | None) -> None:
    """A mass of rock below a line: gullies in light and shade, and snow on top if it has a colour."""
    mask = Image.new("L", (c.w, c.h))
    ImageDraw.Draw(mask).polygon([*line, (c.w + 4, c.h), (-4, c.h)], fill=255)
    c.lay(mask, (0, 0), (lighter(rock, 0.04), mix(rock, c.colours.haze, 0.6)), detail=0.3)
    summit = min(y for _, y in line) / c.h
    folds = c.noise(7, 5, 5)
    tilted = folds.transform(folds.size, Image.Transform.AFFINE, (1, 0.55, -0.3 * c.h, 0, 1, 0))
    lit = ImageChops.subtract(tilted, ImageChops.offset(tilted, round(c.u * 0.022), round(-c.u * 0.008)), 0.5, 128)
    high = fade(c.w, c.h, [0, 0, 0, 0, 0]) if snow is None else _above(c, line, summit)
    if snow is not None:
        c.veil(both(mask, threshold(ImageChops.add(high, tilted, 2), 0.60, 0.68)), snow)
    strength = 0.75 if snow is not None else 0.35
    c.veil(both(mask, threshold(lit, 0.56, 0.78)), lighter(rock, 0.5 if snow is not None else 0.18), strength * 0.6)
    c.veil(
        both(mask, threshold(ImageChops.invert(lit), 0.56, 0.74)),
        mix(rock, c.colours.top, 0.35) if snow is not None else darker(rock, 0.25),
        strength,
    )


def _above(c: Canvas, line: list[Point], summit: float) -> Image.Image:
    """How high every place lies: 255 at the summit, 0 a quarter of the height below it."""
    whole = Image.new("L", (c.w, c.h), 0)
    top, bottom = round(c.h * summit), round(c.h * (summit + 0.30))
    whole.paste(fade(c.w, bottom - top, [1, 0.75, 0.45, 0.1]), (0, top))
    return whole


def lake(c: Canvas, level: float) -> None:
    """Still water below ``level`` (share of the height) that mirrors what lies above it."""
    top = round(c.h * level)
    depth = c.h - top
    mirror = c.image.crop((0, max(0, top - depth), c.w, top)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = mirror.resize((c.w, depth)).filter(ImageFilter.GaussianBlur(c.u * 0.004))
    mirror = Image.blend(mirror, Image.new("RGB", mirror.size, mix(c.colours.water, c.colours.dark, 0.2)), 0.28)
    c.image.paste(mirror, (0, top))
    for _ in range(26):
        y = top + depth * c.rng.random() ** 1.6
        x, half = c.rng.random() * c.w, c.w * c.rng.uniform(0.03, 0.16)
        c.ellipse(x, y, half, c.u * 0.0016 * (1 + 3 * (y - top) / depth), lighter(c.colours.low, 0.3), alpha=0.45)
    c.shape(band(c, level - 0.002, level + 0.004), lighter(c.colours.haze, 0.4), alpha=0.6, blur=1)


def waves(c: Canvas, horizon: float, crest: RGB, trough: RGB) -> None:
    """Crests and troughs that grow towards the viewer."""
    for down, stops in ((90, [0, 1, 0.2, 0, 0]), (44, [0, 0.2, 1, 0.3, 0]), (20, [0, 0, 0.2, 1, 1])):
        zone = Image.new("L", (c.w, c.h))
        top = round(c.h * horizon)
        zone.paste(fade(c.w, c.h - top, stops), (0, top))
        swell = c.noise(max(3, down // 6), down, 2)
        c.veil(both(threshold(swell, 0.60, 0.85), zone), crest, 0.62)
        c.veil(both(threshold(ImageChops.invert(swell), 0.62, 0.9), zone), trough, 0.7)
    for _ in range(34):
        near = c.rng.random()
        x, y = c.rng.random() * c.w, c.h * (horizon + (0.90 - horizon) * near)
        half = c.u * (0.01 + 0.055 * near)
        rim = curve([(x - half, y), (x, y - half * 0.16), (x + half, y)], closed=False, steps=5)
        c.line(rim, max(1.0, half * 0.10), lighter(crest, 0.55), alpha=0.8, detail=0.3)


def glitter(c: Canvas, light: float, horizon: float) -> None:
    """The light's broken path over the water."""
    warm = lighter(c.colours.sun, 0.25)
    for _ in range(150):
        near = c.rng.random() ** 1.4
        y = c.h * (horizon + (0.93 - horizon) * near)
        x = c.w * light + c.rng.gauss(0, c.u * (0.02 + 0.06 * near))
        c.ellipse(
            x, y, c.u * (0.007 + 0.02 * near) * c.rng.uniform(0.6, 1.4), c.u * (0.0012 + 0.003 * near), warm, alpha=0.8
        )


def dune(c: Canvas, base: float, rise: float, sand: RGB, left: bool) -> None:
    """One dune with a sharp crest, lit on its left or its right flank."""
    p, peak = c.colours, c.rng.uniform(0.2, 0.45) if left else c.rng.uniform(0.55, 0.8)
    line = curve(
        [
            (-0.15 * c.w, c.h * (base + 0.02)),
            (c.w * (peak - 0.34), c.h * (base - rise * 0.12)),
            (c.w * peak, c.h * (base - rise)),
            (c.w * (peak + 0.3), c.h * (base - rise * 0.25)),
            (1.15 * c.w, c.h * (base + 0.02)),
        ],
        closed=False,
        steps=14,
    )
    mass(c, line, (lighter(sand, 0.3), mix(sand, p.second, 0.35)), detail=0.3)
    turn = 1 if left else -1
    flank = [point for point in line if (point[0] - c.w * peak) * turn >= 0][::turn]
    foot = base + rise + 0.16
    crest = curve(
        [
            (c.w * peak, c.h * (base - rise)),
            (c.w * (peak + 0.10 * turn), c.h * (base - rise * 0.35)),
            (c.w * (peak - 0.02 * turn), c.h * (base + rise * 0.35)),
            (c.w * (peak + 0.16 * turn), c.h * (base + rise * 0.8)),
            (c.w * (peak + 0.12 * turn), c.h * foot),
        ],
        closed=False,
    )
    shade = mix(sand, mix(p.dark, p.top, 0.5), 0.46)
    edge = c.w * (1.15 if left else -0.15)
    c.shape(
        [*crest, (edge, c.h * foot), *flank[::-1]], (shade, mix(shade, sand, 0.7)), alpha=0.92, blur=1.2, detail=0.2
    )


def house(c: Canvas, x: float, wide: float, top: float, street: float, colour: RGB, lights: tuple[bool, float]) -> None:
    """A block of flats in shares of the canvas; ``lights``: whether windows are lit, and how near (0..1) it is."""
    lit, near = lights
    left, right, roof, foot = x * c.w, (x + wide) * c.w, top * c.h, street * c.h + 2
    c.shape(
        [(left, roof), (right, roof), (right, foot), (left, foot)],
        (colour, mix(colour, c.colours.haze, 0.3)),
        detail=0.3,
    )
    c.shape(
        [(right - (right - left) * 0.22, roof), (right, roof), (right, foot), (right - (right - left) * 0.22, foot)],
        darker(colour, 0.3),
        alpha=0.5,
    )
    _roof(c, left, right, roof, colour)
    columns = max(2, round((right - left) / (c.u * 0.022)))
    cell = (right - left) / columns
    warm = [
        c.colours.second,
        mix(c.colours.second, c.colours.accent, 0.4),
        lighter(c.colours.second, 0.4),
        lighter(c.colours.low, 0.3),
    ]
    chance = 0.2 + 0.38 * near if lit else 0.75
    for row in range(int((foot - roof) / (cell * 1.35)) - 1):
        for column in range(columns):
            if c.rng.random() < chance:
                wx, wy = left + (column + 0.28) * cell, roof + (row + 0.6) * cell * 1.35
                glass = c.rng.choice(warm) if lit or c.rng.random() < 0.06 else darker(colour, 0.4)
                c.shape(
                    [(wx, wy), (wx + cell * 0.48, wy), (wx + cell * 0.48, wy + cell * 0.72), (wx, wy + cell * 0.72)],
                    glass,
                    alpha=0.5 + 0.45 * near,
                    detail=0.75 * near,
                )


def _roof(c: Canvas, left: float, right: float, roof: float, colour: RGB) -> None:
    middle, wide, kind = (left + right) / 2, right - left, c.rng.random()
    if kind < 0.25:
        c.shape([(left, roof), (middle, roof - wide * 0.5), (right, roof)], darker(colour, 0.2), detail=0.3)
    elif kind < 0.45:
        c.line([(middle, roof), (middle, roof - wide * 0.7)], max(2.0, wide * 0.05), darker(colour, 0.25), detail=0.5)
        c.ellipse(middle, roof - wide * 0.7, 2, 2, c.colours.accent, detail=0.8)
    elif kind < 0.7:
        c.shape(
            [
                (left + wide * 0.2, roof),
                (left + wide * 0.2, roof - wide * 0.22),
                (right - wide * 0.2, roof - wide * 0.22),
                (right - wide * 0.2, roof),
            ],
            darker(colour, 0.1),
            detail=0.3,
        )


def street(c: Canvas, level: float) -> None:
    """A wet street below ``level`` that gives the lights above it back in long streaks."""
    top = round(c.h * level)
    depth = c.h - top
    mirror = (
        c.image.crop((0, max(0, top - depth * 2), c.w, top))
        .transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        .resize((c.w, depth))
    )
    mirror = mirror.filter(ImageFilter.BoxBlur((2, c.u * 0.045)))
    mirror = Image.blend(mirror, Image.new("RGB", mirror.size, mix(c.colours.dark, c.colours.far, 0.35)), 0.3)
    c.image.paste(mirror, (0, top))
    for x in steps(0.06, 0.94, 7):
        x += c.rng.uniform(-0.04, 0.04)
        lamp_top = c.h * (level - 0.07)
        c.line([(x * c.w, top + 6), (x * c.w, lamp_top)], c.u * 0.006, c.colours.dark, detail=0.6)
        c.glow(x * c.w, lamp_top, c.u * 0.07, lighter(c.colours.second, 0.2), 0.85)
        c.ellipse(x * c.w, lamp_top, c.u * 0.007, c.u * 0.007, lighter(c.colours.second, 0.7), detail=0.8)
        for _ in range(9):
            y = top + depth * c.rng.random()
            c.ellipse(
                x * c.w + c.rng.gauss(0, c.u * 0.008),
                y,
                c.u * c.rng.uniform(0.008, 0.025),
                c.u * 0.003,
                lighter(c.colours.second, 0.25),
                alpha=0.7,
            )
