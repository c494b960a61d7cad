"""What stands on a table: flowers in a vase, fruit, a bottle, a cup."""

from __future__ import annotations

import math
from collections.abc import Callable

from limner.actors.providers.canvas import Canvas, path
from limner.actors.providers.palettes import RGB, darker, lighter, mix
from limner.actors.providers.pen import Pen, native


def flowers(c: Canvas, x: float, y: float, size: float) -> None:
    """A bunch in a vase."""
    pen = Pen(c, x, y, size)
    glaze, leaf = native(c, c.colours.water), native(c, c.colours.near)
    inks = [
        native(c, ink)
        for ink in (
            c.colours.accent,
            lighter(c.colours.accent, 0.45),
            c.colours.second,
            lighter(c.colours.light, 0.3),
            mix(c.colours.accent, c.colours.top, 0.5),
        )
    ]
    heads = [(c.rng.triangular(-0.3, 0.3), -0.78 + c.rng.triangular(-0.2, 0.2)) for _ in range(13)]
    for fx, fy in heads:
        pen.stroke([(0.02, -0.42), (fx * 0.5, (fy - 0.42) / 2), (fx, fy)], 0.014, darker(leaf, 0.1))
    for _ in range(14):
        pen.dot(
            c.rng.gauss(0, 0.19),
            -0.62 + c.rng.gauss(0, 0.09),
            0.085,
            0.03,
            mix(leaf, c.colours.ground, c.rng.random()),
            c.rng.uniform(-1.5, 1.5),
        )
    _cast(pen, 0.2)
    pen.blob(
        path("-0.1,0 -0.19,-0.16 -0.13,-0.34 -0.07,-0.42 -0.1,-0.47 0.1,-0.47 0.07,-0.42 0.13,-0.34 0.19,-0.16 0.1,0"),
        (lighter(glaze, 0.25), darker(glaze, 0.35)),
    )
    pen.dot(-0.09, -0.22, 0.022, 0.08, lighter(glaze, 0.75), 0.15, 0.7)
    for fx, fy in heads:
        _bloom(pen, fx, fy, c.rng.uniform(0.055, 0.095), c.rng.choice(inks))


def _bloom(pen: Pen, x: float, y: float, r: float, ink: RGB) -> None:
    for step in range(6):
        angle = math.tau * step / 6 + r * 40
        pen.dot(
            x + math.cos(angle) * r * 0.6,
            y + math.sin(angle) * r * 0.6,
            r * 0.55,
            r * 0.38,
            (lighter(ink, 0.25), darker(ink, 0.08)),
            angle,
        )
    pen.dot(x, y, r * 0.32, r * 0.32, mix(pen.c.colours.second, (250, 210, 90), 0.4))


def fruit(kind: str) -> Callable[[Canvas, float, float, float], None]:
    """A painter of one fruit: apple, orange, lemon, pear."""
    hue = {"apple": (196, 48, 40), "orange": (233, 134, 40), "lemon": (240, 208, 70), "pear": (176, 178, 70)}[kind]

    def paint(c: Canvas, x: float, y: float, size: float) -> None:
        pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
        skin = native(c, hue)
        _cast(pen, 0.5)
        if kind == "pear":
            pen.blob(
                path("-0.3,0 -0.46,-0.3 -0.25,-0.65 -0.13,-0.98 0.13,-0.98 0.25,-0.65 0.46,-0.3 0.3,0"),
                (lighter(skin, 0.2), darker(skin, 0.3)),
            )
        else:
            pen.dot(
                0,
                -0.43,
                0.52 if kind == "lemon" else 0.48,
                0.4 if kind == "lemon" else 0.44,
                (lighter(skin, 0.15), darker(skin, 0.35)),
            )
        pen.dot(0.18, -0.24, 0.26, 0.2, darker(skin, 0.4), alpha=0.3)
        pen.dot(-0.18, -0.56, 0.1, 0.13, lighter(skin, 0.65), 0.5, 0.75)
        top = -0.96 if kind == "pear" else -0.84
        if kind in ("pear", "apple"):
            pen.stroke([(0, top + 0.04), (0.03, top - 0.12), (0.09, top - 0.2)], 0.055, native(c, (84, 58, 40)))
            pen.dot(0.2, top - 0.1, 0.16, 0.06, native(c, c.colours.ground), -0.4)

    return paint


def bottle(c: Canvas, x: float, y: float, size: float) -> None:
    """A green bottle."""
    pen = Pen(c, x, y, size)
    glass = native(c, mix((34, 74, 58), c.colours.near, 0.3))
    _cast(pen, 0.16)
    pen.blob(
        path(
            "-0.13,0 -0.14,-0.3 -0.14,-0.52 -0.055,-0.68 -0.05,-0.96 0.05,-0.96 0.055,-0.68 0.14,-0.52 0.14,-0.3 0.13,0"
        ),
        (lighter(glass, 0.12), darker(glass, 0.3)),
    )
    pen.cut(path("-0.125,-0.16 -0.125,-0.4 0.125,-0.4 0.125,-0.16"), native(c, (236, 222, 190)))
    pen.dot(-0.08, -0.5, 0.016, 0.13, lighter(glass, 0.8), 0.05, 0.7)
    pen.cut(path("-0.05,-0.9 -0.05,-1 0.05,-1 0.05,-0.9"), c.colours.accent)


def cup(c: Canvas, x: float, y: float, size: float) -> None:
    """A cup of something hot."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    china, tea = native(c, lighter(c.colours.light, 0.3)), native(c, (96, 56, 34))
    _cast(pen, 0.5)
    pen.dot(0, -0.04, 0.55, 0.1, darker(china, 0.12))
    pen.stroke(path("0.36,-0.5 0.6,-0.5 0.56,-0.24 0.3,-0.2"), 0.08, darker(china, 0.16))
    pen.blob(path("-0.4,-0.6 -0.36,-0.26 -0.2,-0.06 0.2,-0.06 0.36,-0.26 0.4,-0.6"), (china, darker(china, 0.22)))
    pen.dot(0, -0.6, 0.4, 0.1, lighter(china, 0.3))
    pen.dot(0, -0.59, 0.34, 0.075, tea)
    for side in (-0.1, 0.1):
        pen.stroke(
            [(side, -0.7), (side + 0.06, -0.86), (side - 0.05, -1.02), (side + 0.04, -1.2)],
            0.05,
            (250, 248, 244),
            alpha=0.45,
        )


def _cast(pen: Pen, half: float) -> None:
    cx, cy = pen.at(half * 0.5, 0.0)
    pen.c.ellipse(
        cx,
        cy,
        half * 1.5 * pen.size,
        half * 0.24 * pen.size,
        darker(pen.c.colours.dark, 0.2),
        blur=pen.size * 0.03,
        alpha=0.38,
    )


STILL: dict[str, Callable[[Canvas, float, float, float], None]] = {
    "flowers": flowers,
    "bottle": bottle,
    "cup": cup,
    **{kind: fruit(kind) for kind in ("apple", "orange", "lemon", "pear")},
}
