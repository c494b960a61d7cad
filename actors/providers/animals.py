"""Animals that sit and look at you: one drawing, told apart by their coats."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from limner.actors.providers.canvas import Canvas, Point, path
from limner.actors.providers.palettes import RGB, darker, lighter, mix, rgb
from limner.actors.providers.pen import INK, Pen, native, shadow


@dataclass(frozen=True)
class Coat:
    """What tells one sitting animal from another."""

    fur: str
    chest: str
    ears: str = "pointy"
    face: str = "round"
    tail: str = "thin"
    extra: str = ""


COATS = {
    "fox": Coat("d9682b", "fbf3e6", "pointy", "fox", "bush"),
    "wolf": Coat("7c838c", "e4e4e2", "pointy", "fox", "bush"),
    "cat": Coat("5b5560", "e9e1dc", "pointy", "round", "thin", "whiskers"),
    "tiger": Coat("e08a2e", "fdf4e4", "round", "round", "thin", "stripes whiskers"),
    "lion": Coat("d9a155", "f3dfb8", "round", "round", "thin", "mane whiskers"),
    "dog": Coat("b5814f", "f3e7d3", "floppy", "muzzle", "thin", "tongue"),
    "rabbit": Coat("b9a493", "f6efe8", "long", "round", "puff", "whiskers"),
    "bear": Coat("7a5137", "c79f78", "round", "muzzle", "none"),
    "panda": Coat("f4f2ee", "ffffff", "round", "muzzle", "none", "patches"),
    "squirrel": Coat("b2602f", "f6e6cf", "pointy", "round", "plume"),
    "mouse": Coat("9a9196", "e9dfe0", "dish", "round", "thin", "whiskers"),
    "deer": Coat("b0763f", "f2dfc2", "wide", "deer", "puff", "antlers"),
}


def sitter(kind: str) -> Callable[[Canvas, float, float, float], None]:
    """A painter of this animal: canvas, x and y of its feet in pixels, height in pixels."""
    coat = COATS[kind]

    def paint(c: Canvas, x: float, y: float, size: float) -> None:
        pen = Pen(c, x, y, size, c.rng.choice([-1, 1]))
        fur, chest = native(c, rgb(coat.fur)), native(c, rgb(coat.chest))
        shadow(pen, 0.42)
        _tail(pen, coat, fur, chest)
        _torso(pen, coat, fur, chest)
        _ears(pen, coat, fur)
        _head(pen, coat, fur, chest)
        _features(pen, coat, fur)

    return paint


def _tail(pen: Pen, coat: Coat, fur: RGB, chest: RGB) -> None:
    if coat.tail == "bush":
        pen.blob(
            path("0.12,-0.01 0.32,0 0.47,-0.12 0.5,-0.34 0.41,-0.52 0.35,-0.36 0.3,-0.2 0.16,-0.14"),
            (lighter(fur, 0.1), darker(fur, 0.18)),
        )
        pen.blob(path("0.495,-0.3 0.41,-0.525 0.36,-0.4 0.42,-0.34"), chest)
    elif coat.tail == "plume":
        pen.blob(
            path("0.12,0 0.34,-0.04 0.4,-0.34 0.52,-0.62 0.4,-0.84 0.24,-0.78 0.3,-0.62 0.22,-0.4 0.14,-0.2"),
            (lighter(fur, 0.2), darker(fur, 0.2)),
        )
    elif coat.tail == "thin":
        pen.stroke(path("0.16,-0.04 0.36,-0.03 0.44,-0.16 0.37,-0.3 0.43,-0.42"), 0.075, darker(fur, 0.12))
    elif coat.tail == "puff":
        pen.dot(0.23, -0.07, 0.07, 0.065, chest)


def _torso(pen: Pen, coat: Coat, fur: RGB, chest: RGB) -> None:
    pen.blob(
        path("-0.2,0 -0.26,-0.16 -0.18,-0.4 -0.1,-0.58 0.1,-0.58 0.18,-0.4 0.26,-0.16 0.2,0 0,0.015"),
        (lighter(fur, 0.06), darker(fur, 0.22)),
    )
    if "patches" in coat.extra:
        pen.blob(path("-0.19,-0.36 -0.1,-0.58 0.1,-0.58 0.19,-0.36 0,-0.4"), native(pen.c, INK))
    pen.pair(0.185, -0.1, 0.1, 0.105, (fur, darker(fur, 0.3)), 0.3)
    pen.blob(path("0,-0.56 0.11,-0.46 0.085,-0.26 0,-0.12 -0.085,-0.26 -0.11,-0.46"), (chest, darker(chest, 0.16)))
    leg = native(pen.c, INK) if coat.face == "fox" or "patches" in coat.extra else darker(fur, 0.14)
    pen.pair(0.072, -0.14, 0.045, 0.15, (fur, leg))
    pen.pair(0.078, -0.015, 0.062, 0.03, leg if coat.face == "fox" else lighter(chest, 0.1))
    if "stripes" in coat.extra:
        for side in (-1, 1):
            for step in range(4):
                y = -0.16 - 0.09 * step
                pen.cut(
                    [
                        (side * (0.25 - 0.028 * step), y),
                        (side * (0.11 - 0.005 * step), y + 0.02),
                        (side * (0.235 - 0.028 * step), y + 0.035),
                    ],
                    native(pen.c, INK),
                )


def _ears(pen: Pen, coat: Coat, fur: RGB) -> None:
    inner = mix(native(pen.c, (224, 150, 140)), fur, 0.25)
    dark = native(pen.c, INK)
    if coat.ears == "pointy":
        tip = 1.0 if coat.face == "fox" else 0.965
        pen.twins(
            [(0.05, -0.82), (0.175, -tip), (0.225, -0.74)], (dark if coat.face == "fox" else darker(fur, 0.2), fur)
        )
        pen.twins([(0.105, -0.83), (0.168, -tip + 0.055), (0.195, -0.78)], inner)
    elif coat.ears == "round":
        pen.pair(0.155, -0.845, 0.07, 0.07, dark if "patches" in coat.extra else darker(fur, 0.08))
        pen.pair(0.155, -0.84, 0.04, 0.04, dark if "patches" in coat.extra else inner)
    elif coat.ears == "dish":
        pen.pair(0.175, -0.86, 0.11, 0.11, darker(fur, 0.05))
        pen.pair(0.175, -0.855, 0.075, 0.075, inner)
    elif coat.ears == "long":
        pen.pair(0.075, -0.98, 0.047, 0.185, fur, 0.16)
        pen.pair(0.077, -0.97, 0.024, 0.14, inner, 0.16)
    elif coat.ears == "wide":
        pen.pair(0.2, -0.80, 0.11, 0.045, fur, -0.42)
        pen.pair(0.2, -0.80, 0.075, 0.024, inner, -0.42)


def _head(pen: Pen, coat: Coat, fur: RGB, chest: RGB) -> None:
    shaded = (lighter(fur, 0.14), darker(fur, 0.06))
    if "mane" in coat.extra:
        for ring, colour in ((0.30, darker(fur, 0.5)), (0.25, darker(fur, 0.36))):
            wild = [
                (math.cos(a) * r, -0.70 + math.sin(a) * r)
                for i in range(28)
                for a, r in [(math.tau * i / 28, ring * (1 if i % 2 else 0.86))]
            ]
            pen.blob(wild, mix(colour, native(pen.c, (150, 70, 30)), 0.45))
    if coat.face == "fox":
        half: list[Point] = path("0,-0.875 0.13,-0.845 0.205,-0.74 0.275,-0.635 0.14,-0.585 0.05,-0.535 0,-0.52")
        pen.blob(half + [(-x, y) for x, y in half[-2:0:-1]], shaded)
        pen.twins(path("0,-0.6 0.07,-0.67 0.15,-0.665 0.262,-0.636 0.14,-0.59 0.05,-0.54 0,-0.525"), chest, smooth=True)
    elif coat.face == "deer":
        pen.blob(
            path(
                "0,-0.89 0.12,-0.83 0.125,-0.72 0.075,-0.6 0.06,-0.53 0,-0.505 -0.06,-0.53 "
                "-0.075,-0.6 -0.125,-0.72 -0.12,-0.83"
            ),
            shaded,
        )
        pen.dot(0, -0.555, 0.062, 0.05, chest)
    else:
        pen.dot(0, -0.70, 0.205, 0.165, shaded)
        if coat.face == "muzzle":
            pen.dot(0, -0.635, 0.1, 0.078, lighter(chest, 0.05))
        else:
            pen.pair(0.045, -0.635, 0.062, 0.05, chest)
    if coat.ears == "floppy":
        pen.twins(
            path("0.12,-0.85 0.22,-0.8 0.275,-0.62 0.235,-0.54 0.175,-0.62 0.165,-0.75"),
            (darker(fur, 0.22), darker(fur, 0.4)),
            smooth=True,
        )


def _features(pen: Pen, coat: Coat, fur: RGB) -> None:
    dark = native(pen.c, INK)
    spread, eyes = (0.088, -0.705) if coat.face == "fox" else (0.07, -0.73) if coat.face == "deer" else (0.088, -0.72)
    nose = {"fox": -0.548, "deer": -0.535, "muzzle": -0.672}.get(coat.face, -0.66)
    if "patches" in coat.extra:
        pen.pair(spread, eyes, 0.05, 0.058, dark, 0.5)
    if coat.extra.startswith("whiskers"):
        pen.pair(spread, eyes, 0.036, 0.036, native(pen.c, (214, 190, 84)) if coat.ears == "pointy" else dark)
    pen.pair(spread, eyes, 0.022, 0.03, dark)
    pen.pair(spread - 0.006, eyes - 0.010, 0.008, 0.009, (255, 253, 246))
    pen.dot(0, nose, 0.03, 0.021, native(pen.c, (205, 120, 120)) if "whiskers" in coat.extra else dark)
    if coat.face in ("round", "muzzle"):
        pen.stroke([(0, nose + 0.015), (0, nose + 0.035), (0.03, nose + 0.05)], 0.011, dark)
        pen.stroke([(0, nose + 0.035), (-0.03, nose + 0.05)], 0.011, dark)
    if "tongue" in coat.extra:
        pen.dot(0.0, nose + 0.073, 0.024, 0.034, native(pen.c, (224, 110, 116)))
    if "whiskers" in coat.extra:
        for side in (-1, 1):
            for lift in (-0.02, 0.008, 0.036):
                pen.stroke(
                    [(side * 0.07, nose + 0.012 + lift * 0.4), (side * 0.25, nose + lift)],
                    0.008,
                    lighter(fur, 0.6),
                    alpha=0.85,
                )
    if "antlers" in coat.extra:
        _antlers(pen)
    if "stripes" in coat.extra:
        for x in (-0.045, 0.0, 0.045):
            pen.cut([(x - 0.012, -0.862), (x + 0.012, -0.862), (x * 0.7, -0.79)], dark)
        for side in (-1, 1):
            for y in (-0.70, -0.655):
                pen.cut([(side * 0.205, y - 0.012), (side * 0.13, y), (side * 0.2, y + 0.014)], dark)


def _antlers(pen: Pen) -> None:
    horn = native(pen.c, (110, 82, 58))
    for side in (-1, 1):
        pen.stroke([(side * 0.06, -0.86), (side * 0.13, -1.0), (side * 0.12, -1.14), (side * 0.18, -1.25)], 0.03, horn)
        for y, x, up in ((-0.98, 0.12, -1.07), (-1.08, 0.125, -1.18)):
            pen.stroke([(side * x, y), (side * (x + 0.1), (y + up) / 2), (side * (x + 0.12), up)], 0.02, horn)
