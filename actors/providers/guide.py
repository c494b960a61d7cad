"""Image to image: a study that takes its colours and its coarse composition from reference pictures."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageFilter, ImageOps

from limner.actors.providers.canvas import Canvas
from limner.actors.providers.palettes import RGB, mix

TONES = 32
COARSE = 14


def follow(study: Canvas, references: list[Image.Image], *, found: bool) -> None:
    """Change ``study`` by the references (RGB): the first gives the composition, all of them the colours.

    When the prompt named a scene (``found``) that scene is painted in their colours and light; when it did not,
    the first reference itself is painted anew, in the mood of the prompt.
    """
    size = (study.w, study.h)
    first = ImageOps.fit(references[0], size, Image.Resampling.BICUBIC)
    if not found:
        study.image = _in_mood(study, first)
        study.detail = scaled_edges(first)
        return
    tones = ramp(references)
    recoloured = Image.blend(study.image, recolour(study.image, tones), 0.8)
    coarse = first.resize((COARSE, max(2, round(COARSE * study.h / study.w))), Image.Resampling.BOX)
    blended = Image.blend(recoloured, coarse.resize(size, Image.Resampling.BICUBIC), 0.26)
    study.image = ImageOps.autocontrast(blended, cutoff=0.5, preserve_tone=True)


def ramp(references: list[Image.Image]) -> list[RGB]:
    """The references' colours from dark to light: TONES of them, each the mean of an equal share of the pixels."""
    pixels: list[RGB] = []
    for reference in references:
        small = reference.resize((48, 48), Image.Resampling.BOX).tobytes()
        pixels += [(small[i], small[i + 1], small[i + 2]) for i in range(0, len(small), 3)]
    pixels.sort(key=lambda p: 299 * p[0] + 587 * p[1] + 114 * p[2])
    share = len(pixels) // TONES
    return [_mean(pixels[i * share : (i + 1) * share]) for i in range(TONES)]


def recolour(image: Image.Image, tones: list[RGB]) -> Image.Image:
    """The image with every lightness replaced by the tone of the same rank."""
    grey = ImageOps.equalize(image.convert("L").filter(ImageFilter.GaussianBlur(1)))
    places = [v * (len(tones) - 1) / 255 for v in range(256)]
    colours = [mix(tones[int(p)], tones[min(int(p) + 1, len(tones) - 1)], p % 1) for p in places]
    return Image.merge("RGB", [grey.point([colour[channel] for colour in colours]) for channel in range(3)])


def scaled_edges(image: Image.Image) -> Image.Image:
    """Where a reference has fine edges, as a mask of what the brush should keep crisp."""
    edges = image.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.GaussianBlur(2))
    edges.paste(0, (0, 0, edges.width, 3))
    return edges.point([min(150, v * 3) for v in range(256)])


def _in_mood(study: Canvas, first: Image.Image) -> Image.Image:
    """The reference, leaning to the palette if the prompt asked for a light or a colour."""
    wanted, p = study.mood, study.colours
    if "mono" in wanted.treatments:
        return ImageOps.grayscale(first).convert("RGB")
    if not (wanted.time or wanted.tints or wanted.treatments or wanted.weathers):
        return first
    tinted = recolour(first, [p.dark, p.near, p.far, p.mid, p.low, p.light])
    return Image.blend(first, ImageChops.soft_light(tinted, first), 0.55)


def _mean(pixels: list[RGB]) -> RGB:
    count = max(len(pixels), 1)
    return (
        sum(p[0] for p in pixels) // count,
        sum(p[1] for p in pixels) // count,
        sum(p[2] for p in pixels) // count,
    )
