"""Words choose the scene: its setting, who is in it, and its colours."""

from __future__ import annotations

from random import Random

import pytest
from PIL import ImageStat

from limner.actors.providers import scenes
from limner.actors.providers.canvas import Canvas
from limner.actors.providers.creatures import FIGURES
from limner.actors.providers.palettes import luminance, mood, palette
from limner.actors.providers.things import THINGS

ASKED = [
    ("a lighthouse by the ocean", "sea", ("lighthouse",)),
    ("sailing boats in the harbour at dawn", "sea", ("boat",)),
    ("a humpback whale", "sea", ("whale",)),
    ("snowy mountains above a lake", "mountains", ()),
    ("Tokyo skyline at night, neon", "city", ()),
    ("rain in the city, a woman with an umbrella", "city", ("walker",)),
    ("a path through the birch forest", "forest", ()),
    ("an owl", "forest", ("owl",)),
    ("dunes in the desert with a cactus", "desert", ("cactus",)),
    ("pyramids of Egypt", "desert", ("pyramid",)),
    ("a flower garden", "meadow", ()),
    ("a fox in the snow", "meadow", ("fox",)),
    ("hot air balloons", "meadow", ("balloon",)),
    ("a galaxy with planets", "space", ()),
    ("an astronaut", "space", ("astronaut",)),
    ("still life with flowers and apples", "room", ("apple",)),
    ("a bowl of lemons and pears on a table", "room", ("lemon", "pear")),
    ("abstract composition in blue", "abstract", ()),
    ("portrait of an old woman", "portrait", ()),
    ("the queen with her crown", "portrait", ()),
    ("portrait of a cat", "portrait", ("cat",)),
    ("a cat on the beach", "sea", ("cat",)),
    ("an orange fox in the forest", "forest", ("fox",)),
]


@pytest.mark.parametrize(("prompt", "family", "subjects"), ASKED)
def test_the_words_choose_the_scene(prompt: str, family: str, subjects: tuple[str, ...]) -> None:
    wanted = scenes.plan(prompt, Random(1))
    assert (wanted.family, wanted.subjects, wanted.found) == (family, subjects, True)


def test_every_family_is_asked_for() -> None:
    assert {family for _, family, _ in ASKED} == set(scenes.FAMILIES)


def test_words_that_name_nothing_still_give_a_scene() -> None:
    wanted = scenes.plan("¿qué? 画一只 42", Random(1))
    assert wanted.family in scenes.FAMILIES
    assert not wanted.found


def test_everything_that_can_be_named_can_be_painted() -> None:
    assert set(scenes.SUBJECTS) <= set(FIGURES) | set(THINGS)
    assert set(scenes.HOMES) <= set(scenes.SUBJECTS)
    assert set(scenes.HOMES.values()) <= set(scenes.FAMILIES)


@pytest.mark.parametrize("family", scenes.FAMILIES)
def test_every_family_paints_in_every_shape(family: str) -> None:
    word = scenes.FAMILIES[family].split()[0]
    for width, height in ((128, 128), (256, 96), (96, 256)):
        study = scenes.compose(scenes.plan(word, Random(2)), width, height, Random(2))
        assert study.image.size == (width, height)
        assert max(ImageStat.Stat(study.image).stddev) > 8


@pytest.mark.parametrize("name", scenes.SUBJECTS)
def test_every_subject_is_found_by_its_word_and_leaves_its_mark(name: str) -> None:
    wanted = scenes.plan(scenes.SUBJECTS[name].split()[0], Random(3))
    assert name in wanted.subjects
    blank = Canvas(160, 160, Random(3), palette(wanted.mood, Random(3)), wanted.mood)
    (FIGURES | THINGS)[name](blank, 80, 140, 100)
    left, top, right, bottom = blank.detail.getbbox() or (0, 0, 0, 0)
    assert right - left > 20
    assert bottom - top > 60


def test_night_is_dark_and_noon_is_bright() -> None:
    night, noon = (palette(mood(f"the sea at {time}"), Random(1)) for time in ("night", "noon"))
    assert luminance(night.top) < 40 < 100 < luminance(noon.top)


def test_snow_whitens_the_ground_and_autumn_reddens_the_leaves() -> None:
    plain, snow, autumn = (palette(mood(f"day {word}"), Random(1)) for word in ("", "snow", "autumn"))
    assert luminance(snow.ground) > luminance(plain.ground) + 30
    assert autumn.near[0] > autumn.near[2] + 60 > plain.near[0] - plain.near[2]


@pytest.mark.parametrize(("word", "channel"), [("red", 0), ("crimson", 0), ("green", 1), ("blue", 2), ("navy", 2)])
def test_a_colour_word_rules_the_sky(word: str, channel: int) -> None:
    colours = palette(mood(f"{word} day"), Random(1))
    assert max(range(3), key=lambda part: colours.mid[part]) == channel


def test_monochrome_is_grey_and_pastel_is_pale() -> None:
    grey = palette(mood("monochrome day"), Random(1))
    assert max(grey.accent) - min(grey.accent) < 20
    assert luminance(palette(mood("pastel day"), Random(1)).dark) > luminance(palette(mood("day"), Random(1)).dark) + 40
