"""Which scene a prompt asks for: its words choose a setting, who and what is in it, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops

from limner.actors.providers import portrait
from limner.actors.providers.canvas import Canvas
from limner.actors.providers.creatures import FIGURES
from limner.actors.providers.landscapes import SETTINGS
from limner.actors.providers.palettes import Mood, mood, palette, tokens
from limner.actors.providers.skies import fog
from limner.actors.providers.still import STILL
from limner.actors.providers.things import THINGS

FAMILIES = {
    "sea": (
        "sea ocean beach wave coast shore harbour harbor bay island seaside water surf sail fjord lagoon "
        "underwater tide"
    ),
    "mountains": (
        "mountain alp peak hill summit valley cliff lake highland glacier volcano ridge landscape river "
        "waterfall canyon himalaya"
    ),
    "city": (
        "city town street skyline downtown urban skyscraper building neon tokyo paris london york berlin "
        "metropolis rooftop village cafe traffic cyberpunk bridge"
    ),
    "forest": (
        "forest wood tree jungle birch pine grove woodland oak rainforest path trail mushroom leaf leaves fairy"
    ),
    "desert": "desert dune sand sahara oasis egypt mars canyon mesa arid savanna savannah",
    "meadow": (
        "meadow garden field countryside farm spring flower wildflower grass pasture orchard park sunflower "
        "tulip poppy picnic prairie"
    ),
    "space": (
        "space planet galaxy nebula cosmos universe star orbit saturn jupiter alien cosmic comet asteroid "
        "constellation spaceship"
    ),
    "room": (
        "still-life table vase bowl bouquet kitchen fruit breakfast tea coffee wine interior room window food book"
    ),
    "abstract": (
        "abstract abstraction geometric cubism cubist kandinsky shape pattern circle composition bauhaus "
        "expressionism rhythm music jazz dream idea emotion"
    ),
    "portrait": (
        "portrait face person woman man girl boy lady gentleman king queen prince princess child self- "
        "portrait bust sailor pirate captain wizard witch dancer ballerina grandmother grandfather grandma "
        "grandpa professor scientist knight bride bearded"
    ),
}

SUBJECTS = {
    "fox": "fox vixen",
    "wolf": "wolf wolve husky coyote",
    "cat": "cat kitten kitty kittie tabby",
    "dog": "dog puppy puppie hound corgi retriever",
    "rabbit": "rabbit bunny bunnie hare",
    "bear": "bear grizzly",
    "panda": "panda",
    "lion": "lion lioness",
    "tiger": "tiger leopard",
    "squirrel": "squirrel chipmunk",
    "mouse": "mouse mice hamster",
    "deer": "deer stag reindeer elk moose fawn",
    "owl": "owl",
    "bird": "bird robin sparrow bluebird nightingale finch parrot songbird",
    "penguin": "penguin",
    "whale": "whale orca dolphin",
    "walker": "umbrella pedestrian stroll walker",
    "astronaut": "astronaut cosmonaut spaceman",
    "lighthouse": "lighthouse beacon",
    "boat": "boat sailboat ship sail yacht sailing regatta",
    "cottage": "cottage house cabin hut home farmhouse chalet barn",
    "castle": "castle palace fortress tower fairytale",
    "balloon": "balloon airship",
    "rocket": "rocket spaceship spacecraft",
    "cactus": "cactus cacti cactuse",
    "pyramid": "pyramid egypt",
    "flowers": "vase bouquet rose peony peonie lily tulip sunflower",
    "apple": "apple",
    "orange": "orange mandarin",
    "lemon": "lemon",
    "pear": "pear",
    "bottle": "bottle wine",
    "cup": "cup tea coffee mug teapot",
}

HOMES = {
    "whale": "sea",
    "boat": "sea",
    "lighthouse": "sea",
    "penguin": "sea",
    "castle": "mountains",
    "balloon": "meadow",
    "cottage": "meadow",
    "rocket": "space",
    "astronaut": "space",
    "cactus": "desert",
    "pyramid": "desert",
    "walker": "city",
    "flowers": "room",
    "apple": "room",
    "orange": "room",
    "lemon": "room",
    "pear": "room",
    "bottle": "room",
    "cup": "room",
    "bear": "forest",
    "owl": "forest",
    "deer": "forest",
    "squirrel": "forest",
    "wolf": "mountains",
    "lion": "desert",
    "tiger": "forest",
}

TABLE = tuple(STILL)
ALOFT = ("balloon", "rocket", "astronaut", "owl", "bird")
MOST = 3
RULING = ("still-life", "portrait", "self-portrait", "abstract")
"""Words that name a kind of picture outweigh those that name what is in it."""


@dataclass(frozen=True)
class Plan:
    """What will be painted. ``found``: whether the prompt named a setting or a subject at all."""

    family: str
    subjects: tuple[str, ...]
    mood: Mood
    words: frozenset[str]
    found: bool


def plan(prompt: str, rng: Random) -> Plan:
    """Read a prompt; where it names no scene ``rng`` picks one."""
    words = tokens(prompt)
    known = frozenset(words)
    subjects = tuple(dict.fromkeys(name for word in words for name, said in SUBJECTS.items() if word in said.split()))
    if "orange" in subjects and len(subjects) > 1 and "room" not in (HOMES.get(s) for s in subjects if s != "orange"):
        subjects = tuple(name for name in subjects if name != "orange")  # here it is a colour
    counts = {
        name: sum((4 if word in RULING else 1) for word in known if word in said.split())
        for name, said in FAMILIES.items()
    }
    best = max(counts.values())
    families = [
        name for word in words for name, said in FAMILIES.items() if word in said.split() and counts[name] == best
    ]
    home = HOMES.get(subjects[0], "meadow") if subjects else rng.choice(["sea", "mountains", "meadow", "abstract"])
    family = families[0] if families else home
    if "portrait" in known and subjects and subjects[0] in FIGURES:
        family = "portrait"
    return Plan(family, subjects[:MOST], mood(prompt), known, bool(families or subjects))


def compose(wanted: Plan, width: int, height: int, rng: Random) -> Canvas:
    """The study of a plan, in pixels: setting, subjects from far to near, and what falls over them."""
    c = Canvas(width, height, rng, palette(_lit(wanted), rng), wanted.mood)
    if wanted.family == "portrait":
        _sit(c, wanted)
    else:
        SETTINGS[wanted.family](c)
        (_set_table if wanted.family == "room" else _place)(c, wanted)
    fog(c)
    _break_colour(c)
    return c


def _lit(wanted: Plan) -> Mood:
    """A city without a time is a city at night, and space is always dark."""
    time = wanted.mood.time
    if wanted.family == "space" or (wanted.family == "city" and not time):
        time = "night"
    elif wanted.family in ("portrait", "room", "abstract") and time in ("", "night"):
        time = time or "day"
    return Mood(time, wanted.mood.weathers, wanted.mood.tints, wanted.mood.treatments)


def _sit(c: Canvas, wanted: Plan) -> None:
    portrait.ground(c)
    animals = [name for name in wanted.subjects if name in FIGURES]
    if animals:
        FIGURES[animals[0]](
            c, c.w * 0.5, c.h * 0.97 if animals[0] not in ALOFT else c.h * 0.78, min(c.h * 0.82, c.w * 0.82)
        )
    else:
        portrait.person(c, wanted.words)


def _place(c: Canvas, wanted: Plan) -> None:
    """Far things first, then the nearest creature, large and off the middle."""
    side = c.rng.choice([-1, 1])
    things = [name for name in wanted.subjects if name in THINGS]
    creatures = [name for name in wanted.subjects if name in FIGURES]
    for index, name in enumerate(things):
        x, y, size = _spot(wanted.family, name)
        where = 0.5 + side * (x if index % 2 == 0 else -x)
        THINGS[name](c, c.w * where, c.h * y, c.u * size)
    for index, name in enumerate(creatures):
        x = 0.5 - side * ((0.06 if len(creatures) == 1 and not things else 0.2) if index % 2 == 0 else -0.22)
        y, size = _stand(wanted.family, name)
        c.glow(c.w * x, c.h * y - c.u * size * 0.5, c.u * size * 0.85, c.colours.low, 0.3)
        FIGURES[name](c, c.w * x, c.h * (y + 0.02 * (index % 2)), c.u * size * 0.86**index)


def _spot(family: str, name: str) -> tuple[float, float, float]:
    """Where a thing stands: distance from the middle, foot, size, as shares."""
    if name == "balloon":
        return 0.14, 0.50, 0.40
    if name == "rocket":
        return 0.16, 0.66, 0.46
    if family == "sea":
        return {"lighthouse": (0.24, 0.60, 0.46), "boat": (0.18, 0.66, 0.30)}.get(name, (0.26, 0.98, 0.34))
    if family == "mountains":
        return {"castle": (0.16, 0.62, 0.42), "boat": (0.1, 0.80, 0.22)}.get(name, (0.2, 0.94, 0.3))
    return {"pyramid": (0.12, 0.66, 0.28), "cactus": (0.24, 0.92, 0.42), "castle": (0.14, 0.66, 0.44)}.get(
        name, (0.18, 0.80, 0.30)
    )


def _stand(family: str, name: str) -> tuple[float, float]:
    """Foot and height of a creature, as shares."""
    if name == "whale":
        return 0.74, 0.34
    if name in ALOFT:
        return {"owl": (0.80, 0.52), "bird": (0.78, 0.46), "astronaut": (0.72, 0.50)}.get(name, (0.7, 0.4))
    if family == "space":
        return 0.94, 0.5
    return {"walker": (0.93, 0.40), "mouse": (0.94, 0.34)}.get(name, (0.94, 0.56))


def _set_table(c: Canvas, wanted: Plan) -> None:
    """Arrange what was named, and more until the table looks set."""
    named = [name for name in wanted.subjects if name in TABLE]
    more = [name for name in c.rng.sample(TABLE, len(TABLE)) if name not in named]
    tall = [name for name in [*named, *more] if name in ("flowers", "bottle")][: 1 if c.w < c.h else 2]
    small = [name for name in [*named, *more] if name not in ("flowers", "bottle")][:3]
    sizes: dict[str, float] = {"flowers": 0.62, "bottle": 0.5, "cup": 0.16}
    for index, name in enumerate(tall):
        x = 0.5 + (0.0 if len(tall) == 1 else 0.15 * (1 if index else -1))
        THINGS[name](c, c.w * x, c.h * 0.80, c.u * sizes[name])
    for index, name in enumerate([*small, *small[:1]]):
        x = 0.5 + (-0.26, 0.22, -0.04, -0.16)[index] * c.u / c.w * 1.1
        THINGS[name](c, c.w * x, c.h * (0.86, 0.87, 0.91, 0.885)[index], c.u * sizes.get(name, 0.125))
    for name in wanted.subjects:
        if name in FIGURES:
            FIGURES[name](c, c.w * 0.5 + c.u * 0.3, c.h * 0.90, c.u * 0.5)


def _break_colour(c: Canvas) -> None:
    """Let every surface drift a little in hue and light, as mixed paint does."""
    drift = [c.noise(9, 9, 4).point([round(128 + (v - 128) * 0.24) for v in range(256)]) for _ in range(3)]
    drift = drift[:1] * 3 if "mono" in c.mood.treatments else drift
    shared = c.noise(22, 22, 3).point([round(128 + (v - 128) * 0.22) for v in range(256)])
    c.image = ImageChops.overlay(c.image, Image.merge("RGB", [Image.blend(part, shared, 0.5) for part in drift]))
