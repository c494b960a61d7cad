"""Colours from words: the time of day sets a palette, the weather and the named colours bend it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from random import Random

RGB = tuple[int, int, int]


def rgb(code: str) -> RGB:
    """The colour of six hexadecimal digits."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


@dataclass(frozen=True)
class Palette:
    """The colours of one picture, named by what they paint."""

    top: RGB
    mid: RGB
    low: RGB
    sun: RGB
    cloud: RGB
    haze: RGB
    far: RGB
    near: RGB
    ground: RGB
    water: RGB
    dark: RGB
    light: RGB
    accent: RGB
    second: RGB


TIMES = {
    #              top    mid    low    sun    cloud  haze   far    near   ground water  dark   light  accent second
    "day": "3d7ab5 86b7d3 f4e6c6 fff4d6 fffaf0 c7d9de 7c9fb5 416f5c 86a552 2c7c90 20302e fff7e6 e0552f dba53f",
    "dawn": "5f7db4 e0a7a8 fde0ae fff1c9 fbd3c0 e6c5c0 9a94b4 5b6b72 9aa06a 5c86a0 2a2c40 fff1df e4614a e7b65a",
    "dusk": "2b2c5f b0527c f8a95b ffe09a f0907a d08a86 6f4f7d 3b3454 6b5a4c 4a4a80 191730 ffe9cf f0643a f2b04a",
    "night": "0a1230 182b5e 41649a f6f0d2 3c5488 35538a 22386c 14244a 2a4a63 16305c 070b1c e9efff e8603c f3b765",
}
WEATHERS = {
    "storm": ("2a343f", 0.55, ("top", "mid", "cloud", "far", "water", "near")),
    "rain": ("6c7f8c", 0.45, ("top", "mid", "low", "haze", "far", "cloud")),
    "fog": ("d3d6d2", 0.55, ("top", "mid", "low", "haze", "far", "near", "ground")),
    "snow": ("eef3f8", 0.78, ("ground", "haze")),
    "autumn": ("d9702a", 0.74, ("near", "ground", "second")),
    "spring": ("c9dd8a", 0.40, ("ground", "near")),
}
TIME_WORDS = {
    "day": "day daylight noon midday sunny afternoon morning bright summer",
    "dawn": "dawn sunrise daybreak aurora",
    "dusk": "dusk sunset evening twilight golden sundown",
    "night": "night midnight moon moonlit moonlight star starry nocturne dark neon",
}
WEATHER_WORDS = {
    "storm": "storm stormy thunder thunderstorm lightning tempest hurricane",
    "rain": "rain rainy raining drizzle wet umbrella",
    "fog": "fog foggy mist misty haze hazy",
    "snow": "snow snowy snowing winter wintry ice icy frozen frost blizzard christmas arctic",
    "autumn": "autumn autumnal fall october november",
    "spring": "spring april may blossom cherry",
}
COLOURS = {
    "red": "c8372d",
    "crimson": "a3182f",
    "scarlet": "d63a24",
    "vermilion": "e4572e",
    "orange": "e8822c",
    "amber": "e5a12e",
    "gold": "d9a441",
    "golden": "d9a441",
    "yellow": "ecc63f",
    "ochre": "c58f3a",
    "lime": "a5c63b",
    "green": "4d8f4f",
    "emerald": "1f8a62",
    "olive": "7c7f3c",
    "mint": "8fd0b2",
    "teal": "1f7f80",
    "turquoise": "35aeb0",
    "cyan": "3bb3cf",
    "blue": "3467b5",
    "azure": "4a94d8",
    "navy": "1d2f63",
    "indigo": "3d3787",
    "violet": "7549a8",
    "purple": "703c94",
    "lavender": "a795cf",
    "lilac": "b79ad0",
    "magenta": "b9337f",
    "pink": "e391aa",
    "rose": "d8738a",
    "coral": "ee7f66",
    "peach": "f2ad85",
    "brown": "7d5436",
    "sepia": "8f6b43",
    "copper": "b3683f",
    "bronze": "96703a",
    "silver": "aab3bb",
    "grey": "8b8f94",
    "gray": "8b8f94",
}
TREATMENTS = {
    "mono": "monochrome monochromatic black-and-white noir charcoal greyscale grayscale ink",
    "pastel": "pastel soft gentle pale watercolor watercolour dreamy",
    "vivid": "vivid vibrant bold colorful colourful fauvist pop psychedelic rainbow",
}


@dataclass(frozen=True)
class Mood:
    """What the words say about light and colour: a time of day, weathers, tints in the order named, treatments."""

    time: str = ""
    weathers: frozenset[str] = frozenset()
    tints: tuple[RGB, ...] = ()
    treatments: frozenset[str] = frozenset()


def tokens(prompt: str) -> list[str]:
    """The words in lower case, each plural followed by its singular."""
    words = []
    text = re.sub(r"\b(still|black and|self)[ -](life|white|portrait)", r"\1-\2", prompt.lower()).replace(
        " and-", "-and-"
    )
    for word in re.findall(r"[a-z]+(?:-[a-z]+)*", text):
        words += [word] + ([word[:-1]] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else [])
    return words


def mood(prompt: str) -> Mood:
    """The mood that the prompt's words ask for; empty where they say nothing."""
    words = tokens(prompt)
    times = [name for word in words for name, known in TIME_WORDS.items() if word in known.split()]
    return Mood(
        time=times[0] if times else "",
        weathers=frozenset(name for name, known in WEATHER_WORDS.items() if set(known.split()) & set(words)),
        tints=tuple(dict.fromkeys(rgb(COLOURS[word]) for word in words if word in COLOURS)),
        treatments=frozenset(name for name, known in TREATMENTS.items() if set(known.split()) & set(words)),
    )


def palette(wanted: Mood, rng: Random) -> Palette:
    """The palette of a mood; what the words left open is drawn from ``rng``."""
    time = wanted.time or rng.choice(["day", "day", "dawn", "dusk"])
    colours = Palette(*(rgb(code) for code in TIMES[time].split()))
    for weather in sorted(wanted.weathers):
        code, strength, names = WEATHERS[weather]
        strength *= 0.45 if time == "night" and weather in ("snow", "fog", "rain") else 1.0
        colours = replace(colours, **{name: mix(getattr(colours, name), rgb(code), strength) for name in names})
    if wanted.tints:
        colours = _tinted(colours, wanted.tints)
    for treatment in sorted(wanted.treatments):
        colours = _each(colours, treatment)
    return colours


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """``one`` with ``share`` (0..1) of ``other``."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, other, strict=True))
    return r, g, b


def lighter(colour: RGB, share: float) -> RGB:
    return mix(colour, (255, 250, 240), share)


def darker(colour: RGB, share: float) -> RGB:
    return mix(colour, (12, 12, 24), share)


def luminance(colour: RGB) -> float:
    """Perceived lightness, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def toned(tint: RGB, light: float) -> RGB:
    """The tint at another lightness (0..255)."""
    own = luminance(tint)
    if light <= own:
        return mix((0, 0, 0), tint, light / max(own, 1))
    return mix(tint, (255, 255, 255), (light - own) / max(255 - own, 1))


def _tinted(colours: Palette, tints: tuple[RGB, ...]) -> Palette:
    """Every colour keeps its lightness and leans to a tint: the first rules the large areas, the second the rest."""
    changed = {}
    for place in fields(colours):
        own: RGB = getattr(colours, place.name)
        tint = tints[1 % len(tints)] if place.name in ("low", "sun", "light", "second", "ground") else tints[0]
        changed[place.name] = mix(own, toned(tint, luminance(own)), 0.62)
    return replace(colours, **changed | {"accent": tints[-1]})


def _each(colours: Palette, treatment: str) -> Palette:
    return replace(
        colours, **{place.name: _treated(getattr(colours, place.name), treatment) for place in fields(colours)}
    )


def _treated(colour: RGB, treatment: str) -> RGB:
    grey = round(luminance(colour))
    if treatment == "mono":
        return mix((grey, grey, grey), (grey, round(grey * 0.97), round(grey * 0.92)), 0.6)
    if treatment == "pastel":
        return mix(colour, (250, 240, 236), 0.42)
    r, g, b = (min(255, max(0, round(grey + (part - grey) * 1.45))) for part in colour)
    return r, g, b
