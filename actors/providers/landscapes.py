"""Settings: sea, mountains, city, forest, desert, meadow, space, room and abstract, each painted from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable

from limner.actors.providers.canvas import Canvas, Point, curve, threshold
from limner.actors.providers.forms import arcs, discs, planet
from limner.actors.providers.palettes import darker, lighter, luminance, mix
from limner.actors.providers.plants import confetti, fir, foliage, grass, rays, tree, trunks
from limner.actors.providers.scenery import band, crag, dune, glitter, house, lake, mass, peaks, steps, street, waves
from limner.actors.providers.skies import heavens, stars


def sea(c: Canvas) -> None:
    """Water to the horizon, waves, glitter under the light, a beach at the bottom edge."""
    horizon = c.rng.uniform(0.44, 0.52)
    light = heavens(c, horizon)
    p = c.colours
    deep = mix(p.water, p.dark, 0.35)
    far = mix(p.haze, p.water, 0.5)
    c.shape(band(c, horizon, 1.02), (far, deep), detail=0.2)
    waves(c, horizon, lighter(p.water, 0.5), deep)
    glitter(c, light, horizon)
    shore = curve(
        [(x * c.w, c.h * (0.93 + 0.035 * math.sin(x * 5 + light))) for x in steps(-0.1, 1.1, 7)], closed=False
    )
    foam = [(x, y - c.u * 0.012) for x, y in shore]
    c.shape([*foam, (c.w * 1.1, c.h * 1.05), (-c.w * 0.1, c.h * 1.05)], lighter(p.light, 0.4), blur=2, alpha=0.8)
    sand = mix(mix(p.second, p.light, 0.35), p.mid, 0.3)
    c.shape([*shore, (c.w * 1.1, c.h * 1.05), (-c.w * 0.1, c.h * 1.05)], (sand, darker(sand, 0.35)), blur=1)
    c.flow = 0.0


def mountains(c: Canvas) -> None:
    """Ridge behind ridge, snow on the high ones, a still lake that mirrors them, firs on the near bank."""
    heavens(c, 0.66)
    p = c.colours
    snow = lighter(p.light, 0.5)
    for index in range(4):
        depth = index / 3
        rock = mix(mix(p.haze, p.far, 0.62 + 0.3 * depth), mix(p.near, p.dark, 0.25), depth**1.3)
        line = peaks(c, 0.46 + 0.085 * index, 0.30 - 0.07 * index, 2 + index)
        crag(c, line, rock, mix(snow, p.haze, 0.1) if index < 2 else None)
    lake(c, 0.70)
    bank = curve([(x * c.w, c.h * (0.90 + 0.03 * math.sin(4 * x + 1))) for x in steps(-0.05, 1.05, 8)], closed=False)
    mass(c, bank, (mix(p.ground, p.dark, 0.35), mix(p.ground, p.dark, 0.7)))
    edge = c.rng.choice([-1, 1])
    for _ in range(13):
        x = 0.5 + edge * (0.5 - abs(c.rng.gauss(0, 0.17)))
        fir(
            c,
            x * c.w,
            c.h * c.rng.uniform(0.91, 0.98),
            c.u * c.rng.uniform(0.14, 0.32),
            mix(p.near, p.dark, c.rng.uniform(0.45, 0.8)),
        )


def city(c: Canvas) -> None:
    """Rows of houses with lit windows, and the street that gives their lights back."""
    heavens(c, 0.72)
    p, level = c.colours, 0.80
    lit = luminance(p.top) < 90
    for row in range(3):
        depth = row / 2
        colour = mix(mix(p.haze, p.far, 0.6), mix(p.dark, p.far, 0.16), depth)
        x = -0.03
        while x < 1.02:
            wide = c.rng.uniform(0.06, 0.13) * (0.75 + 0.35 * depth) * c.u / c.w
            tall = c.rng.uniform(0.14, 0.30) * (1.75 - 0.55 * depth)
            house(c, x, wide, level - tall, level, mix(colour, p.second, c.rng.uniform(0, 0.12)), (lit, depth))
            x += wide * c.rng.uniform(0.92, 1.12)
    street(c, level)


def forest(c: Canvas) -> None:
    """Trunks that fade into the haze, light falling between them, a path and leaves on the ground."""
    p = c.colours
    glowing = mix(p.low, p.light, 0.35) if luminance(p.top) > 70 else mix(p.mid, p.haze, 0.5)
    leaf = mix(p.near, p.ground, 0.45)
    c.sky([mix(leaf, p.dark, 0.45), mix(leaf, glowing, 0.45), glowing, mix(glowing, leaf, 0.35)], 0.8)
    c.shape(band(c, 0.70, 1.02), (mix(p.ground, glowing, 0.45), mix(p.ground, p.dark, 0.6)))
    heart = c.rng.uniform(0.4, 0.6)
    c.glow(c.w * heart, c.h * 0.50, c.u * 0.62, lighter(p.sun, 0.3), 0.85)
    for layer in range(5):
        depth = layer / 4
        trunks(c, layer, heart, mix(mix(glowing, leaf, 0.4), mix(p.dark, p.near, 0.16), depth))
        foliage(c, depth, mix(mix(glowing, leaf, 0.5 + 0.3 * depth), p.dark, 0.55 * depth))
        if layer == 2:
            rays(c, heart)
    path: list[Point] = [
        (heart - 0.02, 0.71),
        (heart + 0.02, 0.71),
        (heart + 0.03, 0.80),
        (heart + 0.28, 1.05),
        (heart - 0.26, 1.05),
        (heart - 0.06, 0.83),
    ]
    c.shape(
        curve([(x * c.w, y * c.h) for x, y in path]),
        (mix(glowing, p.second, 0.25), mix(p.second, p.dark, 0.45)),
        blur=c.u * 0.006,
        alpha=0.75,
    )
    confetti(c, 260, 0.74, [leaf, lighter(leaf, 0.3), p.second, mix(p.ground, p.dark, 0.4)])
    c.flow = math.pi / 2


def desert(c: Canvas) -> None:
    """Dunes, each with a lit and a shaded flank, under a wide sky."""
    heavens(c, 0.6, clouds=0.35)
    p = c.colours
    sand = mix(p.second, p.low, 0.35)
    for index in range(2):
        mass(
            c,
            peaks(c, 0.55 + 0.03 * index, 0.07 - 0.02 * index, 3),
            mix(mix(p.haze, p.far, 0.55), p.accent, 0.15 + 0.12 * index),
        )
    for index, (base, rise) in enumerate(((0.60, 0.05), (0.66, 0.075), (0.76, 0.11), (0.92, 0.14))):
        dune(c, base, rise, mix(mix(sand, p.haze, 0.45), mix(sand, p.accent, 0.22), index / 3), index % 2 == 0)
    c.flow = 0.15


def meadow(c: Canvas) -> None:
    """Rolling hills, a few round trees, a path of flowers coming nearer."""
    heavens(c, 0.62)
    p = c.colours
    for index in range(4):
        depth = index / 3
        colour = mix(mix(p.haze, p.far, 0.6), p.ground, 0.25 + 0.7 * depth)
        line = curve(
            [
                (
                    x * c.w,
                    c.h
                    * (
                        0.50
                        + 0.085 * index
                        + (0.035 + 0.01 * index) * math.sin(x * (5.5 - index) + c.rng.uniform(0, 0.7) + index * 2)
                    ),
                )
                for x in steps(-0.1, 1.1, 7)
            ],
            closed=False,
        )
        mass(c, line, (lighter(colour, 0.22), mix(colour, darker(p.near, 0.1), 0.35)))
        for _ in range(5 - index):
            x, y = line[c.rng.randrange(4, len(line) - 4)]
            if index < 3:
                tree(
                    c,
                    x,
                    y + c.u * 0.008,
                    c.u * c.rng.uniform(0.045, 0.075) * (1 + 0.9 * depth),
                    mix(mix(p.haze, p.near, 0.55), mix(p.near, p.ground, 0.3), 0.25 + 0.75 * depth),
                )
    grass(c)
    if "snow" not in c.mood.weathers:
        confetti(c, 420, 0.70, [p.accent, p.second, p.light, lighter(p.accent, 0.5), mix(p.accent, p.top, 0.5)], up=1.0)


def space(c: Canvas) -> None:
    """A nebula, stars, a great planet with its ring and a small moon."""
    p = c.colours
    deep = mix(p.dark, (4, 5, 18), 0.6)
    bright = p.mid if c.mood.tints else mix(p.mid, (120, 60, 170), 0.45)
    c.sky([deep, mix(deep, bright, 0.2), deep])
    for colour, low in ((bright, 0.45), (mix(p.accent, bright, 0.4), 0.58), (lighter(p.second, 0.2), 0.70)):
        c.veil(threshold(c.noise(3, 3, 5), low, low + 0.4), colour, 0.62)
    stars(c, 1.0, 320)
    planet(c)
    c.swirl = 2.2


def room(c: Canvas) -> None:
    """A table before a wall with light from a window: the stage of a still life."""
    p = c.colours
    wall = mix(mix(p.far, p.dark, 0.3), p.second, 0.18)
    c.sky([darker(wall, 0.25), wall, lighter(wall, 0.12)])
    c.veil(threshold(c.noise(3, 3, 4), 0.2, 1.0), lighter(wall, 0.25), 0.4)
    side = c.rng.choice([0.16, 0.84])
    c.glow(c.w * side, c.h * 0.2, c.u * 0.8, lighter(p.low, 0.3), 0.65)
    for row in range(2):
        for column in range(2):
            x, y, s = c.w * (side - 0.11 + 0.17 * column) + c.w * 0.06, c.h * (0.10 + 0.19 * row), c.u * 0.085
            lean = c.u * 0.05
            c.shape(
                [(x - s, y - s + lean), (x + s * 0.7, y - s), (x + s * 0.7, y + s - lean * 0.3), (x - s, y + s + lean)],
                lighter(p.sun, 0.35),
                blur=c.u * 0.012,
                alpha=0.4,
            )
    cloth = mix(p.light, p.low, 0.3)
    c.shape(band(c, 0.70, 1.02), (mix(cloth, p.haze, 0.25), darker(cloth, 0.38)), detail=0.2)
    c.shape(band(c, 0.695, 0.705), mix(cloth, wall, 0.4), blur=2, alpha=0.8)
    for _ in range(7):
        x = c.rng.uniform(-0.1, 1.1)
        c.line(
            curve(
                [
                    (x * c.w, c.h * 0.72),
                    ((x + c.rng.uniform(-0.12, 0.12)) * c.w, c.h * 0.86),
                    ((x + c.rng.uniform(-0.2, 0.2)) * c.w, c.h * 1.02),
                ],
                closed=False,
            ),
            c.u * 0.035,
            darker(cloth, 0.32),
            alpha=0.35,
        )


def abstract(c: Canvas) -> None:
    """Fields of colour, discs and arcs in balance."""
    p = c.colours
    paper = mix(p.light, p.low, 0.35)
    c.sky([paper, mix(paper, p.haze, 0.4)])
    inks = [p.accent, p.second, p.water, p.near, mix(p.top, p.dark, 0.2), p.far, p.dark]
    c.rng.shuffle(inks)
    left = 0.0
    for index in range(4):
        wide = c.rng.uniform(0.18, 0.38)
        cut = c.rng.uniform(0.25, 0.75)
        for top, bottom, shift in ((-0.02, cut, 0), (cut, 1.02, 2)):
            slant, ink = c.rng.uniform(-0.05, 0.05), inks[(index + shift) % len(inks)]
            field = [(left, top), (left + wide, top), (left + wide + slant, bottom), (left + slant, bottom + slant)]
            c.shape(
                [(x * c.w, y * c.h) for x, y in field],
                (lighter(ink, 0.45), lighter(ink, 0.12)),
                alpha=c.rng.choice([0.35, 0.75, 0.85]),
            )
        left += wide
    discs(c, inks)
    arcs(c, inks)
    c.swirl = 1.0


SETTINGS: dict[str, Callable[[Canvas], None]] = {
    "sea": sea, "mountains": mountains, "city": city, "forest": forest, "desert": desert, "meadow": meadow,
    "space": space, "room": room, "abstract": abstract,
}  # fmt: skip
