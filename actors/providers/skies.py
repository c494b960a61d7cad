"""Above the horizon: light, clouds and stars, and what falls from them."""

from __future__ import annotations

from PIL import ImageChops

from limner.actors.providers.canvas import Canvas, both, fade, threshold
from limner.actors.providers.palettes import lighter, luminance, mix


def heavens(c: Canvas, horizon: float, clouds: float = 0.75) -> float:
    """Sky, light and clouds down to the horizon (share of the height). Returns the light's place across, 0..1."""
    p = c.colours
    c.sky([p.top, mix(p.top, p.mid, 0.6), p.mid, p.low, mix(p.low, p.haze, 0.5)], horizon + 0.12)
    night = luminance(p.top) < 45
    x, y = c.rng.choice([c.rng.uniform(0.18, 0.4), c.rng.uniform(0.6, 0.82)]), horizon * c.rng.uniform(0.28, 0.62)
    hidden = bool(c.mood.weathers & {"storm", "fog", "rain"})
    if night and not hidden:
        stars(c, horizon, 150)
        c.swirl = 1.3
    c.glow(
        c.w * x,
        c.h * y,
        c.u * (0.55 if night else 0.8),
        p.sun if not night else mix(p.low, p.sun, 0.3),
        0.35 if hidden else 0.8,
    )
    if not hidden:
        lamp(c, x, y, night)
    cover(c, horizon, clouds * (1.35 if hidden else 0.55 if night else 1.0))
    return x


def lamp(c: Canvas, x: float, y: float, night: bool) -> None:
    """The sun or the moon, at shares of the width and height."""
    p, r = c.colours, c.u * (0.05 if night else 0.062)
    c.glow(c.w * x, c.h * y, r * 3.2, lighter(p.sun, 0.3), 0.8)
    c.ellipse(c.w * x, c.h * y, r, r, (lighter(p.sun, 0.5), p.sun), detail=0.5)
    if night:
        for dx, dy, size in ((-0.3, -0.2, 0.22), (0.25, 0.3, 0.3), (0.3, -0.35, 0.14)):
            c.ellipse(c.w * x + dx * r, c.h * y + dy * r, r * size, r * size, mix(p.sun, p.mid, 0.28), blur=1)


def cover(c: Canvas, horizon: float, strength: float) -> None:
    """Clouds that thin out upwards, their undersides in shade."""
    p = c.colours
    body = c.noise(3, 7, 5)
    reach = fade(c.w, c.h, [0.55, 0.9, 1.0, 0.5, 0, 0] if horizon < 0.7 else [0.5, 0.9, 1.0, 0.8, 0.2, 0])
    mask = both(threshold(body, 0.52, 0.86), reach)
    under = ImageChops.offset(mask, 0, round(c.h * 0.018))
    c.veil(under, mix(p.mid, p.far, 0.5), min(1.0, 0.55 * strength))
    c.veil(mask, p.cloud, min(1.0, 0.85 * strength))


def stars(c: Canvas, bottom: float, count: int) -> None:
    """Small stars and a few with a halo, above ``bottom`` (share of the height)."""
    for _ in range(count):
        x, y = c.rng.random() * c.w, c.rng.random() ** 1.2 * c.h * bottom
        size = c.u * 0.0011 * c.rng.choice([1, 1, 1, 1.5, 2.2])
        colour = mix(c.colours.light, c.colours.second, c.rng.random() * 0.4)
        if c.rng.random() < 0.07:
            c.glow(x, y, c.u * 0.022, colour, 0.8)
            size *= 1.8
        c.ellipse(x, y, size, size, colour, detail=0.8)


def fog(c: Canvas) -> None:
    """Fog over everything, thicker in the distance, when the words ask for it."""
    if "fog" in c.mood.weathers:
        haze = lighter(c.colours.haze, 0.25)
        c.veil(both(threshold(c.noise(2, 5, 4), 0.15, 0.85), fade(c.w, c.h, [0, 0.3, 0.9, 0.75, 0.5])), haze, 0.68)


def falling(c: Canvas) -> None:
    """What comes down over the finished painting: lightning, rain, snow."""
    if "storm" in c.mood.weathers:
        _bolt(c)
    if c.mood.weathers & {"rain", "storm"}:
        for _ in range(190):
            x, y, long = c.rng.uniform(-0.05, 1.05) * c.w, c.rng.random() * c.h, c.u * c.rng.uniform(0.02, 0.06)
            thick = max(1.0, c.u * 0.0017)
            drop = [(x, y), (x + thick, y), (x - long * 0.25 + thick * 0.3, y + long), (x - long * 0.25, y + long)]
            c.shape(drop, lighter(c.colours.haze, 0.55), alpha=0.6, detail=0.5)
    if "snow" in c.mood.weathers:
        for _ in range(240):
            near = c.rng.random() ** 2.5
            size = c.u * (0.0016 + 0.005 * near)
            c.ellipse(
                c.rng.random() * c.w, c.rng.random() * c.h, size, size, (252, 253, 255), blur=0.4 + near, detail=0.92
            )


def _bolt(c: Canvas) -> None:
    x, y = c.w * c.rng.uniform(0.25, 0.75), 0.0
    points = [(x, y)]
    while y < c.h * 0.46:
        x, y = x + c.u * c.rng.uniform(-0.05, 0.05), y + c.u * c.rng.uniform(0.03, 0.07)
        points.append((x, y))
    c.glow(points[-3][0], points[-3][1], c.u * 0.35, lighter(c.colours.light, 0.2), 0.5)
    c.line(points, c.u * 0.009, (255, 252, 236), detail=0.85)
