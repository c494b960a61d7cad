"""A pen that draws in units of a figure, and the figure's own colours in the light of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from limner.actors.providers.canvas import Canvas, Fill, Point, curve, oval
from limner.actors.providers.palettes import RGB, luminance, mix, toned

INK = (26, 22, 28)
CRISP, FINE, SMALL = 0.3, 0.9, 0.04
"""How crisp bodies and small features stay after the brush, and the width that parts them."""


@dataclass(frozen=True)
class Pen:
    """Draws in units of a figure: x from its middle, y upwards negative from its feet, 1 = its height."""

    c: Canvas
    x: float
    y: float
    size: float
    flip: int = 1

    def at(self, x: float, y: float) -> Point:
        return self.x + x * self.size * self.flip, self.y + y * self.size

    def blob(self, points: list[Point], fill: Fill, alpha: float = 1) -> None:
        """A smooth closed outline."""
        self.c.shape(curve([self.at(*p) for p in points]), fill, alpha=alpha, detail=CRISP * alpha)

    def cut(self, points: list[Point], fill: Fill, alpha: float = 1) -> None:
        """An outline with corners."""
        self.c.shape([self.at(*p) for p in points], fill, alpha=alpha, detail=CRISP * alpha)

    def dot(self, x: float, y: float, rx: float, ry: float, fill: Fill, turn: float = 0, alpha: float = 1) -> None:
        cx, cy = self.at(x, y)
        crisp = CRISP if rx > SMALL else FINE
        self.c.shape(
            oval(cx, cy, rx * self.size, ry * self.size, turn * self.flip), fill, alpha=alpha, detail=crisp * alpha
        )

    def stroke(self, points: list[Point], width: float, fill: Fill, alpha: float = 1) -> None:
        line = curve([self.at(*p) for p in points], closed=False)
        self.c.line(
            line, max(1.2, width * self.size), fill, alpha=alpha, detail=(CRISP if width > SMALL else FINE) * alpha
        )

    def pair(self, x: float, y: float, rx: float, ry: float, fill: Fill, turn: float = 0, alpha: float = 1) -> None:
        """The same ellipse on both sides."""
        self.dot(-x, y, rx, ry, fill, -turn, alpha)
        self.dot(x, y, rx, ry, fill, turn, alpha)

    def twins(self, points: list[Point], fill: Fill, smooth: bool = False, alpha: float = 1) -> None:
        """The same outline on both sides."""
        draw = self.blob if smooth else self.cut
        draw([(-x, y) for x, y in points], fill, alpha)
        draw(points, fill, alpha)


def native(c: Canvas, colour: RGB) -> RGB:
    """A thing's own colour in the light of this picture."""
    if "mono" in c.mood.treatments:
        grey = round(luminance(colour))
        return grey, grey, round(grey * 0.97)
    if c.mood.tints:
        colour = mix(colour, toned(c.mood.tints[-1], luminance(colour)), 0.3)
    if luminance(c.colours.top) < 45:
        colour = mix(colour, c.colours.far, 0.22)
    return mix(colour, c.colours.low, 0.08)


def shadow(pen: Pen, half: float) -> None:
    cx, cy = pen.at(0.04, 0)
    ground = mix(pen.c.colours.dark, pen.c.colours.top, 0.25)
    pen.c.ellipse(cx, cy, half * pen.size, pen.size * 0.055, ground, blur=pen.size * 0.03, alpha=0.5)
