"""Portraits: one sitter before a quiet ground, long-necked and calm, with what the words put on."""

from __future__ import annotations

from limner.actors.providers.canvas import Canvas, Point, path, threshold
from limner.actors.providers.palettes import RGB, darker, lighter, mix
from limner.actors.providers.pen import INK, Pen, native

SKINS = ((243, 208, 178), (226, 178, 140), (188, 132, 96), (132, 88, 64), (96, 62, 48))
HAIRS = ((38, 28, 30), (84, 52, 36), (150, 72, 36), (206, 158, 88), (196, 194, 192))


def ground(c: Canvas) -> None:
    """A wall with broad, worn colour behind a sitter."""
    p = c.colours
    wall = mix(mix(p.water, p.far, 0.4), p.second, 0.12)
    c.sky([darker(wall, 0.12), wall, lighter(wall, 0.1)])
    c.veil(threshold(c.noise(3, 4, 4), 0.35, 1.0), mix(wall, p.accent, 0.3), 0.5)
    c.veil(threshold(c.noise(4, 3, 4), 0.5, 1.0), lighter(wall, 0.35), 0.5)
    c.glow(c.w * 0.3, c.h * 0.25, c.u * 0.75, lighter(p.low, 0.2), 0.5)
    c.swirl = 0.9


def person(c: Canvas, words: frozenset[str]) -> None:
    """A half-length portrait: age, hat, beard, glasses and crown by the prompt's words."""
    size = min(c.h * 0.86, c.w * 1.15)
    pen = Pen(c, c.w * 0.5, c.h * 1.02, size, c.rng.choice([-1, 1]))
    skin, hair = native(c, c.rng.choice(SKINS)), native(c, c.rng.choice(HAIRS[:-1]))
    if words & {"old", "grandmother", "grandfather", "grandma", "grandpa", "wizard", "elderly"}:
        hair = native(c, HAIRS[-1])
    man = _is_man(c, words)
    if not man:
        _long_hair(pen, hair)
    _coat(pen, man)
    _neck_and_face(pen, skin)
    _hair(pen, hair, man)
    _eyes_and_mouth(pen, skin, hair)
    if words & {"beard", "bearded", "wizard", "sailor", "pirate", "captain"}:
        _beard(pen, hair)
    if words & {"glasses", "spectacles", "scientist", "professor"}:
        _glasses(pen)
    if words & {"king", "queen", "prince", "princess", "crown", "royal"}:
        _crown(pen)
    elif words & {"hat", "sailor", "pirate", "captain", "gentleman", "detective", "wizard", "witch"} or (
        man and c.rng.random() < 0.4
    ):
        _hat(pen, pointed=bool(words & {"wizard", "witch"}))
    elif not man:
        _earrings(pen)


def _is_man(c: Canvas, words: frozenset[str]) -> bool:
    if words & {
        "woman",
        "girl",
        "lady",
        "queen",
        "princess",
        "mother",
        "grandmother",
        "grandma",
        "ballerina",
        "witch",
        "bride",
        "dancer",
    }:
        return False
    if words & {
        "man",
        "boy",
        "king",
        "prince",
        "father",
        "grandfather",
        "grandpa",
        "gentleman",
        "sailor",
        "pirate",
        "captain",
        "wizard",
        "beard",
        "bearded",
        "knight",
    }:
        return True
    return c.rng.random() < 0.4


def _coat(pen: Pen, man: bool) -> None:
    p = pen.c.colours
    cloth = native(pen.c, mix(p.top, p.dark, 0.3) if man else p.accent)
    pen.blob(
        path("-0.5,0.1 -0.46,-0.14 -0.38,-0.27 -0.14,-0.345 0,-0.33 0.14,-0.345 0.38,-0.27 0.46,-0.14 0.5,0.1"),
        (lighter(cloth, 0.12), darker(cloth, 0.35)),
    )
    for x, lean in ((-0.25, 0.05), (0.28, -0.06), (0.1, 0.02)):
        pen.stroke([(x, -0.24), (x + lean, -0.1), (x + lean * 1.5, 0.05)], 0.05, darker(cloth, 0.3), alpha=0.5)
    if man:
        shirt = native(pen.c, (240, 236, 228))
        pen.cut(path("-0.11,-0.36 0.11,-0.36 0.035,-0.05 -0.035,-0.05"), (shirt, darker(shirt, 0.2)))
        pen.twins(path("0,-0.3 0.12,-0.37 0.19,-0.3 0.05,-0"), (darker(cloth, 0.15), darker(cloth, 0.35)))
        pen.cut(path("-0.03,-0.29 0.03,-0.29 0.045,-0.06 0,0 -0.045,-0.06"), native(pen.c, p.accent))


def _neck_and_face(pen: Pen, skin: RGB) -> None:
    shade = mix(skin, (120, 60, 60), 0.3)
    pen.blob(path("-0.085,-0.48 -0.075,-0.36 -0.13,-0.3 0,-0.235 0.13,-0.3 0.075,-0.36 0.085,-0.48"), (shade, skin))
    face: list[Point] = path(
        "0,-0.885 0.1,-0.86 0.15,-0.76 0.145,-0.64 0.11,-0.53 0.045,-0.445 0,-0.435 "
        "-0.045,-0.445 -0.11,-0.53 -0.145,-0.64 -0.15,-0.76 -0.1,-0.86"
    )
    pen.blob(face, (lighter(skin, 0.2), skin))
    pen.dot(-0.06, -0.79, 0.06, 0.045, lighter(skin, 0.45), -0.4, 0.3)
    pen.dot(-0.075, -0.60, 0.045, 0.03, lighter(skin, 0.4), -0.3, 0.25)
    pen.blob(
        path("0.05,-0.86 0.13,-0.82 0.15,-0.72 0.14,-0.62 0.1,-0.52 0.04,-0.45 0.075,-0.56 0.09,-0.7"),
        shade,
        alpha=0.42,
    )
    pen.pair(0.085, -0.575, 0.038, 0.026, mix(skin, (214, 92, 80), 0.3), alpha=0.4)


def _eyes_and_mouth(pen: Pen, skin: RGB, hair: RGB) -> None:
    shade = mix(skin, (96, 48, 52), 0.5)
    for side in (-1, 1):
        x = side * 0.062
        pen.blob([(x - 0.04, -0.672), (x, -0.694), (x + 0.04, -0.672), (x, -0.656)], lighter(skin, 0.75))
        pen.dot(
            x,
            -0.675,
            0.018,
            0.018,
            native(pen.c, mix(pen.c.colours.water if sum(skin) > 520 else (110, 66, 36), INK, 0.35)),
        )
        pen.dot(x, -0.675, 0.009, 0.009, INK)
        pen.dot(x - 0.006, -0.681, 0.005, 0.005, (255, 255, 250))
        pen.stroke([(x - side * 0.04, -0.672), (x, -0.697), (x + side * 0.044, -0.668)], 0.013, darker(hair, 0.4))
        pen.stroke(
            [(x - side * 0.034, -0.729), (x + side * 0.008, -0.742), (x + side * 0.05, -0.72)],
            0.013,
            darker(hair, 0.1),
            alpha=0.85,
        )
    pen.stroke(path("-0.022,-0.715 -0.012,-0.64 -0.026,-0.575 0.002,-0.562 0.02,-0.572"), 0.014, shade, alpha=0.75)
    pen.blob(
        path("-0.052,-0.516 -0.016,-0.523 0,-0.517 0.016,-0.523 0.052,-0.516 0.025,-0.494 -0.025,-0.494"),
        native(pen.c, (188, 76, 74)),
    )
    pen.stroke(path("-0.056,-0.519 -0.03,-0.508 0,-0.505 0.03,-0.508 0.056,-0.52"), 0.008, native(pen.c, (110, 40, 46)))


def _long_hair(pen: Pen, hair: RGB) -> None:
    pen.blob(
        path(
            "0,-0.95 -0.16,-0.91 -0.21,-0.72 -0.22,-0.5 -0.25,-0.3 -0.16,-0.2 0.16,-0.2 0.25,-0.3 "
            "0.22,-0.5 0.21,-0.72 0.16,-0.91"
        ),
        (hair, darker(hair, 0.3)),
    )


def _hair(pen: Pen, hair: RGB, man: bool) -> None:
    low = -0.70 if man else -0.62
    half: list[Point] = [
        (0.0, -0.855),
        (0.075, -0.82),
        (0.125, -0.75),
        (0.14, low),
        (0.178, low - 0.02),
        (0.178, -0.82),
        (0.11, -0.925),
        (0.0, -0.95),
    ]
    pen.twins(half, (lighter(hair, 0.12), hair), smooth=True)
    for x in (-0.09, -0.03, 0.05, 0.11):
        pen.stroke([(x * 0.3, -0.94), (x * 1.1, -0.885), (x * 1.35, -0.82)], 0.02, lighter(hair, 0.25), alpha=0.3)


def _beard(pen: Pen, hair: RGB) -> None:
    pen.blob(
        path(
            "-0.145,-0.62 -0.1,-0.545 0,-0.545 0.1,-0.545 0.145,-0.62 0.135,-0.46 0.05,-0.34 "
            "0,-0.32 -0.05,-0.34 -0.135,-0.46"
        ),
        (hair, darker(hair, 0.25)),
    )
    pen.blob(path("-0.04,-0.502 0,-0.51 0.04,-0.502 0,-0.486"), native(pen.c, (178, 84, 78)))


def _glasses(pen: Pen) -> None:
    for side in (-1, 1):
        pen.dot(side * 0.064, -0.675, 0.05, 0.045, (230, 240, 245), alpha=0.35)
        ring = [(side * 0.064 + 0.05 * a, -0.675 + 0.045 * b) for a, b in ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, 0))]
        pen.stroke(ring, 0.014, INK)
    pen.stroke([(-0.016, -0.68), (0.016, -0.68)], 0.012, INK)


def _crown(pen: Pen) -> None:
    gold = native(pen.c, (226, 176, 62))
    pen.cut(
        path("-0.17,-0.87 -0.2,-1.03 -0.11,-0.96 -0.06,-1.07 0,-0.97 0.06,-1.07 0.11,-0.96 0.2,-1.03 0.17,-0.87"),
        (lighter(gold, 0.3), darker(gold, 0.2)),
    )
    for x, ink in ((-0.1, pen.c.colours.accent), (0.0, pen.c.colours.water), (0.1, pen.c.colours.accent)):
        pen.dot(x, -0.905, 0.017, 0.017, ink)


def _hat(pen: Pen, pointed: bool) -> None:
    felt = native(pen.c, mix(pen.c.colours.dark, pen.c.colours.second, 0.22))
    ribbon = native(pen.c, pen.c.colours.accent)
    if pointed:
        pen.blob(path("-0.16,-0.86 -0.08,-1 0.03,-1.16 0.06,-1.02 0.16,-0.86"), (lighter(felt, 0.2), felt))
    else:
        pen.blob(
            path("-0.155,-0.85 -0.15,-0.98 -0.06,-1.035 0.06,-1.035 0.15,-0.98 0.155,-0.85"), (lighter(felt, 0.2), felt)
        )
        pen.cut(path("-0.16,-0.86 -0.158,-0.91 0.158,-0.91 0.16,-0.86"), ribbon)
    pen.dot(0, -0.85, 0.285, 0.042, (lighter(felt, 0.1), darker(felt, 0.2)))


def _earrings(pen: Pen) -> None:
    pen.pair(0.155, -0.585, 0.019, 0.025, native(pen.c, (238, 226, 200)))
    for step in range(9):
        x = -0.105 + step * 0.02625
        pen.dot(x, -0.272 + 0.045 * (1 - (x / 0.105) ** 2), 0.013, 0.013, native(pen.c, (246, 238, 222)))
