"""Birds, whales, walkers and an astronaut; with the sitting animals they are all who live in the pictures."""

from __future__ import annotations

from collections.abc import Callable

from limner.actors.providers.animals import COATS, sitter
from limner.actors.providers.canvas import Canvas, path
from limner.actors.providers.palettes import darker, lighter, mix
from limner.actors.providers.pen import INK, Pen, native, shadow


def owl(c: Canvas, x: float, y: float, size: float) -> None:
    """An owl on its branch."""
    pen = Pen(c, x, y, size)
    down, pale = native(c, (134, 98, 66)), native(c, (240, 220, 186))
    branch(pen)
    pen.blob(
        path(
            "-0.2,-0.06 -0.27,-0.4 -0.25,-0.78 -0.27,-0.98 -0.12,-0.9 0,-0.92 0.12,-0.9 "
            "0.27,-0.98 0.25,-0.78 0.27,-0.4 0.2,-0.06 0,0"
        ),
        (lighter(down, 0.1), darker(down, 0.25)),
    )
    pen.dot(0, -0.3, 0.17, 0.26, pale)
    for row in range(4):
        for column in range(-1, 2):
            px, py = column * 0.085 + (0.04 if row % 2 else 0), -0.44 + row * 0.09
            pen.cut([(px - 0.03, py), (px + 0.03, py), (px, py + 0.045)], mix(down, pale, 0.2))
    pen.twins(path("0.19,-0.62 0.29,-0.4 0.23,-0.1 0.14,-0.3"), (darker(down, 0.12), darker(down, 0.4)), smooth=True)
    pen.pair(0.115, -0.71, 0.125, 0.125, pale)
    pen.pair(0.115, -0.71, 0.075, 0.075, native(c, (240, 176, 50)))
    pen.pair(0.115, -0.71, 0.043, 0.043, INK)
    pen.pair(0.102, -0.728, 0.014, 0.014, (255, 253, 246))
    pen.cut(path("-0.035,-0.67 0.035,-0.67 0,-0.585"), native(c, (222, 140, 50)))
    pen.pair(0.08, 0.0, 0.05, 0.03, native(c, (222, 150, 60)))


def bird(c: Canvas, x: float, y: float, size: float) -> None:
    """A small bird on a twig with leaves."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    back, breast = (
        native(c, mix(c.colours.water, c.colours.top, 0.4)),
        native(c, mix(c.colours.accent, (240, 130, 60), 0.4)),
    )
    branch(pen)
    pen.stroke([(0.0, -0.02), (0.02, -0.2)], 0.03, INK)
    pen.cut(path("-0.22,-0.26 -0.62,-0.02 -0.54,0.06 -0.14,-0.16"), (back, darker(back, 0.4)))
    pen.blob(
        path(
            "-0.26,-0.24 -0.16,-0.46 0.06,-0.66 0.14,-0.82 0.28,-0.88 0.4,-0.8 0.41,-0.66 "
            "0.36,-0.4 0.2,-0.16 -0.04,-0.1"
        ),
        (lighter(back, 0.12), back),
    )
    pen.blob(
        path("0.36,-0.7 0.405,-0.56 0.34,-0.32 0.18,-0.15 0,-0.12 0.12,-0.34 0.22,-0.6"),
        (breast, lighter(breast, 0.35)),
    )
    pen.blob(path("-0.34,-0.16 -0.16,-0.44 0.06,-0.5 0.1,-0.36 -0.04,-0.22"), (darker(back, 0.12), darker(back, 0.5)))
    pen.cut(path("0.4,-0.78 0.53,-0.735 0.405,-0.7"), native(c, (222, 160, 60)))
    pen.dot(0.31, -0.775, 0.028, 0.03, INK)
    pen.dot(0.302, -0.786, 0.01, 0.01, (255, 253, 246))


def branch(pen: Pen) -> None:
    """What birds sit on."""
    bark, leaf = native(pen.c, (84, 62, 52)), native(pen.c, pen.c.colours.ground)
    pen.stroke(path("-1.1,0.12 -0.4,0.03 0.2,0.03 0.8,-0.06 1.2,-0.2"), 0.085, (lighter(bark, 0.12), darker(bark, 0.3)))
    for x, y, turn in (
        (-0.7, 0.0, -0.6),
        (-0.5, 0.14, 0.7),
        (0.6, 0.07, 0.5),
        (0.75, -0.16, -0.7),
        (0.95, -0.02, 0.3),
        (-0.85, 0.16, 0.4),
    ):
        pen.dot(x, y, 0.1, 0.04, (lighter(leaf, 0.25), darker(leaf, 0.2)), turn)


def penguin(c: Canvas, x: float, y: float, size: float) -> None:
    """A penguin with a scarf."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    coat, shirt = native(c, (42, 46, 60)), native(c, (250, 248, 242))
    shadow(pen, 0.3)
    pen.pair(0.09, -0.01, 0.08, 0.03, native(c, (232, 150, 50)))
    pen.twins(path("0.2,-0.58 0.33,-0.34 0.3,-0.24 0.2,-0.34"), darker(coat, 0.2), smooth=True)
    pen.blob(
        path("-0.16,0 -0.25,-0.28 -0.2,-0.6 -0.16,-0.84 0,-0.98 0.16,-0.84 0.2,-0.6 0.25,-0.28 0.16,0"),
        (lighter(coat, 0.1), coat),
    )
    pen.blob(
        path("-0.12,-0.02 -0.18,-0.28 -0.13,-0.56 0,-0.62 0.13,-0.56 0.18,-0.28 0.12,-0.02"),
        (shirt, darker(shirt, 0.14)),
    )
    pen.pair(0.068, -0.8, 0.07, 0.08, shirt)
    pen.pair(0.06, -0.81, 0.022, 0.028, INK)
    pen.cut(path("-0.05,-0.76 0.05,-0.76 0,-0.68"), native(c, (238, 150, 46)))
    scarf = native(c, c.colours.accent)
    pen.blob(path("-0.17,-0.67 0,-0.62 0.17,-0.67 0.18,-0.59 0,-0.54 -0.18,-0.59"), scarf)
    pen.blob(path("0.05,-0.59 0.14,-0.59 0.15,-0.34 0.07,-0.34"), darker(scarf, 0.15))


def whale(c: Canvas, x: float, y: float, size: float) -> None:
    """A whale at the surface, blowing."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    back, belly = native(c, mix((52, 78, 110), c.colours.water, 0.3)), native(c, (214, 224, 228))
    pen.blob(
        path(
            "-1,-0.02 -0.96,-0.3 -0.7,-0.52 -0.3,-0.57 0.2,-0.46 0.6,-0.24 0.82,-0.3 0.9,-0.16 0.7,0 0.2,0.08 -0.6,0.1"
        ),
        (lighter(back, 0.15), darker(back, 0.3)),
    )
    pen.blob(path("-0.99,-0.06 -0.6,-0.12 -0.1,-0.02 0.1,0.1 -0.5,0.12 -0.9,0.06"), belly)
    pen.blob(
        path("0.78,-0.2 0.86,-0.5 1.1,-0.68 1.02,-0.46 1.26,-0.44 1.06,-0.28 0.88,-0.12"), (back, darker(back, 0.2))
    )
    pen.dot(-0.66, -0.17, 0.035, 0.035, INK)
    pen.dot(-0.67, -0.18, 0.011, 0.011, (255, 253, 246))
    mist = (250, 252, 253)
    for bend in (-0.22, -0.08, 0.08, 0.22):
        pen.stroke(
            [(-0.52, -0.55), (-0.52 + bend * 0.4, -0.86), (-0.52 + bend * 1.5, -0.98), (-0.52 + bend * 2.1, -0.82)],
            0.055,
            mist,
            alpha=0.85,
        )
    for step in range(9):
        pen.dot(-1.05 + step * 0.26, 0.09 + 0.02 * (step % 2), 0.17, 0.045, mist, alpha=0.75)


def walker(c: Canvas, x: float, y: float, size: float) -> None:
    """Somebody under an umbrella, seen from behind."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    coat, dark = mix(c.colours.dark, c.colours.far, 0.2), darker(c.colours.dark, 0.2)
    shadow(pen, 0.22)
    pen.stroke([(-0.05, -0.4), (-0.06, 0)], 0.07, dark)
    pen.stroke([(0.05, -0.4), (0.09, -0.01)], 0.07, dark)
    pen.blob(
        path("-0.15,-0.22 -0.12,-0.6 -0.05,-0.68 0.05,-0.68 0.12,-0.6 0.16,-0.22 0,-0.2"), (lighter(coat, 0.12), coat)
    )
    pen.dot(0, -0.735, 0.065, 0.075, dark)
    pen.stroke([(0.10, -0.5), (0.09, -1.0)], 0.02, dark)
    silk = native(c, c.colours.accent)
    pen.blob(
        path("-0.34,-0.76 -0.28,-0.95 0.06,-1.08 0.4,-0.95 0.46,-0.76 0.26,-0.81 0.06,-0.78 -0.14,-0.81"),
        (lighter(silk, 0.2), darker(silk, 0.1)),
    )
    pen.stroke([(0.06, -1.07), (-0.14, -0.82)], 0.012, darker(silk, 0.35))
    pen.stroke([(0.06, -1.07), (0.26, -0.82)], 0.012, darker(silk, 0.35))


def astronaut(c: Canvas, x: float, y: float, size: float) -> None:
    """An astronaut, afloat, with the sky in the visor."""
    pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
    suit, shade = (238, 238, 234), (150, 158, 178)
    pen.blob(path("-0.3,-0.62 -0.32,-0.26 0.32,-0.26 0.3,-0.62"), darker(shade, 0.2))
    for points in (
        path("-0.18,-0.56 -0.38,-0.44 -0.5,-0.6 -0.44,-0.68 -0.34,-0.6"),
        path("0.18,-0.58 0.4,-0.66 0.54,-0.52 0.48,-0.44 0.36,-0.52"),
        path("-0.16,-0.3 -0.24,-0.02 -0.1,0.02 -0.02,-0.26"),
        path("0.02,-0.28 0.16,0.04 0.3,-0.04 0.2,-0.3"),
    ):
        pen.blob(points, (suit, shade))
    pen.blob(path("-0.2,-0.6 -0.22,-0.28 0,-0.2 0.22,-0.28 0.2,-0.6"), (suit, shade))
    pen.cut(path("-0.1,-0.46 0.1,-0.46 0.1,-0.36 -0.1,-0.36"), shade)
    pen.dot(-0.05, -0.41, 0.02, 0.02, c.colours.accent)
    pen.dot(0.04, -0.41, 0.02, 0.02, c.colours.second)
    pen.dot(0, -0.77, 0.23, 0.22, (suit, shade))
    pen.dot(0.02, -0.76, 0.165, 0.14, (lighter(c.colours.mid, 0.2), darker(c.colours.top, 0.3)))
    pen.dot(-0.05, -0.82, 0.045, 0.02, (255, 255, 255), -0.5, 0.85)


FIGURES: dict[str, Callable[[Canvas, float, float, float], None]] = {
    **{kind: sitter(kind) for kind in COATS},
    "owl": owl, "bird": bird, "penguin": penguin, "whale": whale, "walker": walker, "astronaut": astronaut,
}  # fmt: skip
