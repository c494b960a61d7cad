"""Round things: planets and their rings, the discs and arcs of abstract pictures."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from limner.actors.providers.canvas import Canvas, both, curve, oval
from limner.actors.providers.palettes import RGB, darker, lighter, mix


def planet(c: Canvas) -> None:
    """A banded planet with a ring, and its moon."""
    p = c.colours
    x, y, r = c.w * c.rng.uniform(0.36, 0.64), c.h * c.rng.uniform(0.36, 0.5), c.u * c.rng.uniform(0.2, 0.25)
    turn = c.rng.uniform(-0.45, -0.2)
    c.glow(x, y, r * 2.1, mix(p.second, p.mid, 0.4), 0.6)
    ring_mask(c, (x, y, r), turn, front=False)
    size = round(r * 2)
    disc = Image.new("L", (size * 2, size * 2), 0)
    ImageDraw.Draw(disc).ellipse((0, 0, size * 2 - 1, size * 2 - 1), fill=255)
    bands = ImageChops.offset(c.noise(2, 14, 3).resize((size, size)), 3, 0)
    ball = Image.composite(
        Image.new("RGB", (size, size), lighter(p.second, 0.25)),
        Image.new("RGB", (size, size), mix(p.accent, p.second, 0.35)),
        bands,
    )
    ball = ball.rotate(-math.degrees(turn), Image.Resampling.BICUBIC)
    c.image.paste(ball, (round(x - r), round(y - r)), disc.reduce(2))
    c.detail.paste(150, (round(x - r), round(y - r)), disc.reduce(2))
    shadow = Image.new("L", (size, size), 255)
    ImageDraw.Draw(shadow).ellipse((-size * 0.28, -size * 0.28, size * 0.82, size * 0.82), fill=0)
    c.lay(
        both(shadow.filter(ImageFilter.GaussianBlur(r * 0.2)), disc.reduce(2)),
        (round(x - r), round(y - r)),
        mix(p.dark, (4, 5, 18), 0.5),
        alpha=0.82,
    )
    ring_mask(c, (x, y, r), turn, front=True)
    mx, my, mr = (x + c.w * 0.5) % c.w, c.h * 0.78, c.u * 0.05
    c.ellipse(mx, my, mr, mr, (lighter(p.haze, 0.3), darker(p.far, 0.4)), detail=0.5)


def ring_mask(c: Canvas, ball: tuple[float, float, float], turn: float, front: bool) -> None:
    """The half of a planet's ring that is before or behind it."""
    x, y, r = ball
    cos, sin = math.cos(turn), math.sin(turn)
    for inner, outer, alpha in ((1.35, 1.62, 0.75), (1.68, 1.86, 0.5)):
        angles = [math.pi * i / 40 + (0 if front else math.pi) for i in range(41)]
        arc = [(math.cos(a) * r * outer, math.sin(a) * r * outer * 0.24) for a in angles]
        arc += [(math.cos(a) * r * inner, math.sin(a) * r * inner * 0.24) for a in angles[::-1]]
        c.shape(
            [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in arc],
            lighter(mix(c.colours.light, c.colours.second, 0.4), 0.1),
            alpha=alpha,
            detail=0.5,
        )


def discs(c: Canvas, inks: list[RGB]) -> None:
    """A group of rings around one point, and small discs that answer it."""
    x, y, r = c.w * c.rng.uniform(0.35, 0.65), c.h * c.rng.uniform(0.35, 0.6), c.u * c.rng.uniform(0.2, 0.27)
    c.ellipse(x + r * 0.1, y + r * 0.12, r, r, c.colours.dark, alpha=0.25, blur=r * 0.1)
    for index, share in enumerate((1.0, 0.8, 0.58, 0.4, 0.2)):
        ink = inks[(index + 1) % len(inks)]
        c.ellipse(x, y, r * share, r * share, (lighter(ink, 0.25), ink), detail=0.25)
    half = [(x, y - r), *(point for point in oval(x, y, r, r) if point[0] > x), (x, y + r)]
    c.shape(sorted(half, key=lambda point: point[1]), darker(inks[0], 0.4), alpha=0.3)
    for index in range(7):
        angle = c.rng.random() * math.tau
        far, small = c.rng.uniform(0.3, 0.52), c.u * c.rng.uniform(0.014, 0.055)
        cx, cy, ink = (
            c.w * 0.5 + math.cos(angle) * far * c.w,
            c.h * 0.5 + math.sin(angle) * far * c.h,
            inks[(index + 3) % len(inks)],
        )
        c.ellipse(cx, cy, small, small, (lighter(ink, 0.2), ink), detail=0.3)
        if small > c.u * 0.035:
            c.ellipse(cx, cy, small * 0.5, small * 0.5, lighter(inks[index % len(inks)], 0.5), detail=0.3)


def arcs(c: Canvas, inks: list[RGB]) -> None:
    """A few sweeping lines and a ladder of bars that tie an abstract picture together."""
    for index in range(3):
        start, end = (-0.05 * c.w, c.rng.uniform(0.1, 0.9) * c.h), (1.05 * c.w, c.rng.uniform(0.1, 0.9) * c.h)
        bends = [(share * c.w, c.rng.uniform(0.15, 0.85) * c.h) for share in (0.33, 0.67)]
        c.line(
            curve([start, *bends, end], closed=False, steps=20),
            c.u * (0.03 - 0.009 * index),
            mix(c.colours.dark, inks[index], 0.35),
            alpha=0.92,
            detail=0.3,
        )
    x, y, turn = c.w * c.rng.uniform(0.08, 0.7), c.h * c.rng.choice([0.1, 0.78]), c.rng.uniform(-0.3, 0.3)
    for step in range(6):
        left, tall = x + step * c.u * 0.035, c.u * (0.05 + 0.012 * step)
        bar = [
            (left, y),
            (left + c.u * 0.018, y),
            (left + c.u * 0.018 + tall * turn, y + tall),
            (left + tall * turn, y + tall),
        ]
        c.shape(bar, c.colours.dark if step % 2 else inks[step % len(inks)], detail=0.4)
