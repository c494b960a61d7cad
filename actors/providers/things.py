"""Things in the pictures: lighthouse, boat, cottage, castle, balloon, rocket, cactus, pyramid, and all still life."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from limner.actors.providers.canvas import Canvas, path
from limner.actors.providers.palettes import darker, lighter, luminance, mix
from limner.actors.providers.pen import Pen, native
from limner.actors.providers.still import STILL


def lighthouse(c: Canvas, x: float, y: float, size: float) -> None:
    """A striped tower on its rock, with beams at night."""
    pen = Pen(c, x, y, size)
    rock, white, red = mix(c.colours.dark, c.colours.far, 0.4), native(c, (246, 240, 230)), native(c, c.colours.accent)
    lamp = lighter(c.colours.second, 0.5)
    if luminance(c.colours.top) < 130:
        for side in (-1, 1):
            beam = [pen.at(0, -0.93), pen.at(side * 2.6, -1.18), pen.at(side * 2.6, -0.72)]
            c.shape(beam, lamp, alpha=0.3, blur=size * 0.02)
    pen.blob(
        path("-0.62,0.12 -0.46,-0.06 -0.24,-0.16 0,-0.19 0.26,-0.14 0.44,-0.04 0.66,0.12 0,0.16"),
        (lighter(rock, 0.2), darker(rock, 0.3)),
    )
    pen.cut(path("-0.13,-0.16 -0.085,-0.84 0.085,-0.84 0.13,-0.16"), (white, darker(white, 0.1)))
    for low, high in ((-0.30, -0.44), (-0.58, -0.72)):
        pen.cut(
            [
                (-0.13 - 0.066 * (low + 0.16), low),
                (-0.13 - 0.066 * (high + 0.16), high),
                (0.13 + 0.066 * (high + 0.16), high),
                (0.13 + 0.066 * (low + 0.16), low),
            ],
            red,
        )
    pen.cut(path("0.03,-0.16 0.02,-0.84 0.085,-0.84 0.13,-0.16"), c.colours.dark, alpha=0.25)
    pen.cut(path("-0.12,-0.84 0.12,-0.84 0.12,-0.87 -0.12,-0.87"), c.colours.dark)
    pen.cut(path("-0.065,-0.87 0.065,-0.87 0.065,-0.98 -0.065,-0.98"), lamp)
    pen.cut(path("-0.085,-0.98 0,-1.07 0.085,-0.98"), darker(red, 0.2))
    cx, cy = pen.at(0, -0.925)
    c.glow(cx, cy, size * 0.34, lamp, 0.75)


def boat(c: Canvas, x: float, y: float, size: float) -> None:
    """A sailing boat and its reflection."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    sail, hull = native(c, lighter(c.colours.light, 0.2)), native(c, c.colours.accent)
    for step in range(7):
        pen.dot(
            0.03 * (-1) ** step,
            0.06 + step * 0.045,
            0.3 - 0.03 * step,
            0.014,
            mix(sail, hull, step % 2 * 0.6),
            alpha=0.5,
        )
    pen.blob(path("-0.03,-0.16 -0.03,-0.98 -0.22,-0.58 -0.42,-0.2"), (sail, darker(sail, 0.12)))
    pen.blob(path("0.03,-0.16 0.03,-0.9 0.26,-0.42 0.36,-0.18"), (lighter(sail, 0.3), mix(sail, c.colours.second, 0.3)))
    pen.stroke([(0, 0), (0, -1.04)], 0.02, c.colours.dark)
    pen.cut(path("-0.46,-0.13 0.44,-0.13 0.32,0.03 -0.34,0.03"), (lighter(hull, 0.1), darker(hull, 0.35)))
    pen.cut(path("-0.46,-0.13 0.44,-0.13 0.43,-0.1 -0.455,-0.1"), lighter(hull, 0.6))


def cottage(c: Canvas, x: float, y: float, size: float) -> None:
    """A cottage with light in its windows and smoke over its chimney."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    wall, tile = native(c, (240, 226, 204)), native(c, mix(c.colours.accent, (150, 70, 50), 0.4))
    snowy = "snow" in c.mood.weathers
    for step in range(9):
        pen.dot(
            0.3 + 0.035 * step + 0.03 * math.sin(step),
            -1.0 - 0.09 * step,
            0.03 + 0.014 * step,
            0.035 + 0.008 * step,
            lighter(c.colours.haze, 0.4),
            alpha=0.34 - 0.03 * step,
        )
    pen.cut(path("0.22,-0.6 0.22,-0.94 0.34,-0.94 0.34,-0.5"), darker(tile, 0.3))
    pen.cut(path("-0.5,0 -0.5,-0.42 0.5,-0.42 0.5,0"), (wall, darker(wall, 0.16)))
    pen.cut(
        path("-0.62,-0.38 -0.34,-0.84 0.34,-0.84 0.62,-0.38"),
        ((246, 248, 252), (214, 224, 238)) if snowy else (lighter(tile, 0.1), darker(tile, 0.2)),
    )
    lamp = lighter(c.colours.second, 0.35)
    for left in (-0.4, 0.2):
        cx, cy = pen.at(left + 0.1, -0.22)
        c.glow(cx, cy, size * 0.28, lamp, 0.45)
        pen.cut([(left, -0.14), (left, -0.32), (left + 0.2, -0.32), (left + 0.2, -0.14)], lamp)
        pen.stroke([(left + 0.1, -0.14), (left + 0.1, -0.32)], 0.018, wall)
        pen.stroke([(left, -0.23), (left + 0.2, -0.23)], 0.018, wall)
    pen.cut(path("-0.08,0 -0.08,-0.28 0.08,-0.28 0.08,0"), native(c, c.colours.water))


def castle(c: Canvas, x: float, y: float, size: float) -> None:
    """Towers with pointed roofs and flags."""
    pen = Pen(c, x, y, size)
    stone, slate = (
        native(c, mix((206, 196, 186), c.colours.haze, 0.3)),
        native(c, mix(c.colours.top, c.colours.accent, 0.3)),
    )
    pen.cut(path("-0.4,0.02 -0.4,-0.36 0.4,-0.36 0.4,0.02"), (stone, darker(stone, 0.25)))
    for step in range(8):
        pen.cut(
            [
                (-0.4 + 0.105 * step, -0.36),
                (-0.4 + 0.105 * step, -0.41),
                (-0.34 + 0.105 * step, -0.41),
                (-0.34 + 0.105 * step, -0.36),
            ],
            stone,
        )
    for left, wide, tall in ((-0.5, 0.18, 0.55), (0.32, 0.18, 0.6), (-0.24, 0.16, 0.66), (0.05, 0.2, 0.78)):
        pen.cut(
            [(left, 0.03), (left, -tall), (left + wide, -tall), (left + wide, 0.03)],
            (lighter(stone, 0.1), darker(stone, 0.3)),
        )
        pen.cut(
            [(left + wide * 0.62, 0.03), (left + wide * 0.62, -tall), (left + wide, -tall), (left + wide, 0.03)],
            darker(stone, 0.45),
            alpha=0.45,
        )
        top = -tall - wide * 1.5
        pen.cut(
            [(left - 0.02, -tall), (left + wide / 2, top), (left + wide + 0.02, -tall)],
            (lighter(slate, 0.2), darker(slate, 0.2)),
        )
        pen.cut(
            [(left + wide / 2, top), (left + wide / 2 + 0.1, top - 0.035), (left + wide / 2, top - 0.07)],
            c.colours.accent,
        )
        pen.cut(
            [
                (left + wide * 0.35, -tall + 0.06),
                (left + wide * 0.6, -tall + 0.06),
                (left + wide * 0.6, -tall + 0.14),
                (left + wide * 0.35, -tall + 0.14),
            ],
            lighter(c.colours.second, 0.3),
        )
    pen.blob(path("-0.08,0.03 -0.08,-0.14 0,-0.2 0.08,-0.14 0.08,0.03"), darker(stone, 0.65))


def balloon(c: Canvas, x: float, y: float, size: float) -> None:
    """A striped hot-air balloon."""
    pen = Pen(c, x, y, size)
    inks = [
        native(c, colour)
        for colour in (
            c.colours.accent,
            lighter(c.colours.light, 0.2),
            c.colours.second,
            lighter(c.colours.light, 0.2),
            c.colours.water,
        )
    ]
    pen.stroke([(-0.2, -0.32), (-0.06, -0.1)], 0.012, c.colours.dark)
    pen.stroke([(0.2, -0.32), (0.06, -0.1)], 0.012, c.colours.dark)
    for index, width in enumerate((0.38, 0.3, 0.21, 0.12, 0.04)):
        pen.blob(
            [
                (0, -1.0),
                (width, -0.9),
                (width * 1.08, -0.66),
                (width * 0.72, -0.4),
                (width * 0.3, -0.26),
                (-width * 0.3, -0.26),
                (-width * 0.72, -0.4),
                (-width * 1.08, -0.66),
                (-width, -0.9),
            ],
            (lighter(inks[index], 0.12), darker(inks[index], 0.14)),
        )
    pen.cut(path("-0.075,-0.12 0.075,-0.12 0.06,0 -0.06,0"), native(c, (140, 92, 52)))


def rocket(c: Canvas, x: float, y: float, size: float) -> None:
    """A rocket on its flame."""
    pen = Pen(c, x, y, size)
    skin, red = (240, 238, 232), native(c, c.colours.accent)
    cx, cy = pen.at(0, 0.05)
    c.glow(cx, cy, size * 0.5, lighter(c.colours.second, 0.3), 0.8)
    pen.blob(path("-0.1,-0.1 0,0.42 0.1,-0.1"), (lighter(c.colours.second, 0.5), red))
    pen.twins(path("0.1,-0.32 0.28,-0.08 0.26,0.04 0.08,-0.08"), (red, darker(red, 0.3)))
    pen.blob(path("0,-1 0.13,-0.74 0.16,-0.4 0.1,-0.08 -0.1,-0.08 -0.16,-0.4 -0.13,-0.74"), (skin, darker(skin, 0.3)))
    pen.blob(path("0,-1 0.11,-0.79 0,-0.76 -0.11,-0.79"), red)
    pen.dot(0, -0.56, 0.075, 0.075, darker(skin, 0.45))
    pen.dot(0, -0.56, 0.055, 0.055, lighter(c.colours.mid, 0.2))


def cactus(c: Canvas, x: float, y: float, size: float) -> None:
    """A saguaro with a flower on top."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    green = native(c, mix((62, 122, 84), c.colours.near, 0.25))
    pen.dot(0.22, 0, 0.4, 0.03, darker(c.colours.ground, 0.5), alpha=0.4)
    for points, width in (
        (path("0,0 0,-0.5 0,-0.95"), 0.17),
        (path("-0.04,-0.36 -0.26,-0.38 -0.27,-0.56 -0.26,-0.74"), 0.13),
        (path("0.04,-0.5 0.24,-0.52 0.26,-0.66 0.26,-0.84"), 0.12),
    ):
        end = points[-1]
        for (ax, ay), (bx, by) in pairwise(points):
            for step in range(12):
                t = step / 11
                pen.dot(
                    ax + (bx - ax) * t,
                    ay + (by - ay) * t,
                    width / 2,
                    width / 2,
                    (lighter(green, 0.1), darker(green, 0.12)),
                )
        pen.stroke(
            [(end[0] - width * 0.15, end[1]), (end[0] - width * 0.15, points[-2][1])],
            0.014,
            lighter(green, 0.4),
            alpha=0.7,
        )
    pen.dot(0, -1.03, 0.05, 0.04, c.colours.accent)


def pyramid(c: Canvas, x: float, y: float, size: float) -> None:
    """Two pyramids, lit from one side."""
    pen = Pen(c, x, y, size)
    stone = mix(c.colours.second, c.colours.low, 0.4)
    for left, tall in ((0.55, 0.55), (0.0, 1.0)):
        pen.cut(
            [(left - tall * 0.85, 0), (left, -tall), (left + tall * 0.2, 0.02)],
            (lighter(stone, 0.35), lighter(stone, 0.1)),
        )
        pen.cut(
            [(left, -tall), (left + tall * 0.85, 0), (left + tall * 0.2, 0.02)],
            (darker(stone, 0.25), darker(stone, 0.4)),
        )


THINGS: dict[str, Callable[[Canvas, float, float, float], None]] = {
    "lighthouse": lighthouse,
    "boat": boat,
    "cottage": cottage,
    "castle": castle,
    "balloon": balloon,
    "rocket": rocket,
    "cactus": cactus,
    "pyramid": pyramid,
    **STILL,
}
