"""What grows: firs, round trees, a wood's trunks and leaves, grass and flowers."""

from __future__ import annotations

import math

from limner.actors.providers.canvas import Canvas, both, fade, threshold
from limner.actors.providers.palettes import RGB, darker, lighter, mix


def fir(c: Canvas, x: float, foot: float, tall: float, colour: RGB) -> None:
    """A fir of ``tall`` pixels standing at a foot point."""
    c.shape([(x - tall * 0.02, foot), (x, foot - tall), (x + tall * 0.02, foot)], darker(colour, 0.3))
    snowy = "snow" in c.mood.weathers
    for tier in range(6):
        y, half = foot - tall * (0.08 + 0.15 * tier), tall * (0.25 - 0.037 * tier)
        rim = [
            (x - half, y + half * 0.12),
            (x - half * 0.35, y - half * 0.18),
            (x, y - half * 1.15),
            (x + half * 0.35, y - half * 0.18),
            (x + half, y + half * 0.12),
            (x + half * 0.3, y - half * 0.05),
            (x - half * 0.3, y + half * 0.03),
        ]
        c.shape(rim, (lighter(colour, 0.12), darker(colour, 0.15)), detail=0.3)
        if snowy:
            c.shape(
                [(x - half * 0.8, y), (x, y - half * 1.15), (x + half * 0.5, y - half * 0.2), (x, y - half * 0.3)],
                (245, 248, 252),
                alpha=0.8,
            )


def tree(c: Canvas, x: float, foot: float, size: float, colour: RGB) -> None:
    """A round tree; ``size`` is its crown's radius in pixels."""
    bark = mix(c.colours.dark, c.colours.second, 0.25)
    c.ellipse(x + size * 0.3, foot, size, size * 0.14, darker(c.colours.ground, 0.5), alpha=0.35, blur=2)
    c.line([(x, foot), (x, foot - size * 1.3)], size * 0.22, bark, detail=0.3)
    for side in (-0.4, 0.35):
        c.line([(x, foot - size * 0.8), (x + side * size, foot - size * 1.5)], size * 0.12, bark)
    leaves = [(c.rng.random() * math.tau, c.rng.random() ** 0.5) for _ in range(26)]
    dabs = sorted((math.sin(angle) * far, math.cos(angle) * far) for angle, far in leaves)
    for up, across in reversed(dabs):
        r = size * c.rng.uniform(0.2, 0.36)
        leaf = lighter(colour, -0.3 * up) if up < 0 else darker(colour, 0.4 * up)
        c.ellipse(x + across * size * 0.75, foot - size * 1.75 + up * size * 0.62, r, r * 0.85, leaf, alpha=0.9)


def trunks(c: Canvas, layer: int, heart: float, colour: RGB) -> None:
    """One row of trunks, thicker the nearer; they leave the ``heart`` (share of the width) open."""
    near = layer / 4
    for _ in range(9 - layer):
        x = c.rng.uniform(-0.02, 1.02)
        if abs(x - heart) < 0.05 + 0.13 * near:
            continue
        foot, half = c.h * (0.70 + 0.30 * near**1.4) + 3, c.u * (0.006 + 0.026 * near**1.3) * c.rng.uniform(0.75, 1.3)
        lean = c.u * c.rng.uniform(-0.04, 0.04)
        X = x * c.w
        bole = [
            (X - half * 1.9, foot),
            (X - half, foot - half * 4),
            (X - half * 0.7 + lean, -4),
            (X + half * 0.7 + lean, -4),
            (X + half, foot - half * 4),
            (X + half * 1.9, foot),
        ]
        c.shape(bole, (lighter(colour, 0.06), colour), detail=0.15)
        rim = [
            (X - half * 0.2, foot - half * 3),
            (X - half * 0.1 + lean, 0),
            (X - half * 0.7 + lean, 0),
            (X - half, foot - half * 3),
        ]
        c.shape(
            rim if x > heart else [(2 * X - a + (2 * lean if b == 0 else 0), b) for a, b in rim],
            lighter(mix(colour, c.colours.sun, 0.35), 0.1),
            alpha=0.5,
            blur=half * 0.25,
        )


def foliage(c: Canvas, near: float, colour: RGB) -> None:
    """Leaves from above and at both sides, one depth of them."""
    reach = fade(c.w, c.h, [1.0, 0.95, 0.5 - 0.15 * near, 0, 0, 0])
    cells = round(11 - 5 * near)
    c.veil(both(threshold(c.noise(cells, cells, 5), 0.46, 0.60), reach), colour, 0.55 + 0.3 * near)


def rays(c: Canvas, heart: float) -> None:
    """Light that falls in broad beams."""
    light = lighter(c.colours.sun, 0.3)
    for _ in range(6):
        x = heart + c.rng.uniform(-0.3, 0.25)
        wide, lean = c.rng.uniform(0.03, 0.09), c.rng.uniform(0.08, 0.24)
        beam = [(x, -0.02), (x + wide, -0.02), (x + wide * 1.8 + lean, 0.86), (x + lean - wide * 0.3, 0.86)]
        c.shape([(a * c.w, b * c.h) for a, b in beam], light, blur=c.u * 0.02, alpha=0.2)


def confetti(c: Canvas, count: int, top: float, inks: list[RGB], up: float = 0) -> None:
    """Dabs on the ground, larger the nearer: leaves, or flowers when ``up`` gives them stems."""
    for _ in range(count):
        near = c.rng.random() ** 0.7
        x, y = c.rng.random() * c.w, c.h * (top + (1.0 - top) * near)
        size = c.u * (0.003 + 0.008 * near) * c.rng.uniform(0.6, 1.25)
        ink = mix(c.rng.choice(inks), c.colours.haze, 0.35 * (1 - near))
        if up and near > 0.45:
            c.line([(x, y + size * 4), (x, y)], size * 0.4, darker(c.colours.near, 0.1))
        c.ellipse(x, y, size, size * (0.85 if up else 0.5), (lighter(ink, 0.2), ink), detail=0.35)


def grass(c: Canvas) -> None:
    """Blades in the foreground."""
    for _ in range(170):
        x, y = c.rng.random() * c.w, c.h * c.rng.uniform(0.86, 1.05)
        tall, lean = c.u * c.rng.uniform(0.03, 0.09), c.u * c.rng.uniform(-0.02, 0.02)
        colour = mix(
            c.colours.ground, c.rng.choice([c.colours.near, c.colours.light, c.colours.dark]), c.rng.uniform(0.1, 0.4)
        )
        c.shape([(x - tall * 0.04, y), (x + lean, y - tall), (x + tall * 0.04, y)], colour, alpha=0.85)
