"""The menu of codes: typed in one line, shown before it is made, stopped after a yes."""

from __future__ import annotations

import pytest

from limner.actors.bot.menus.codes import read
from limner.sql import codes
from tests.bot.phone import acts, paired


@pytest.fixture
async def owner(db, config):
    return await paired(db, config)


async def test_a_code_is_made_after_it_was_shown(owner, cast, db):
    await owner.press("codes")
    assert "There are no codes." in owner.shown.text
    await owner.tap("Make one")
    await owner.say("Summer 20% x100")
    assert "Make the code <b>Summer</b>?" in owner.shown.text and "percent: 20, 100 times in all" in owner.shown.text
    assert await codes.listing(db) == []
    await owner.yes()
    [code] = await codes.listing(db)
    assert (code.word, code.gives, code.quantity, code.most_uses, code.made_by) == (
        "Summer",
        "percent",
        20,
        100,
        "bot 7",
    )
    assert "20 % off" in owner.shown.text and "Used 0/100" in owner.shown.text
    await owner.press("codes:make")
    await owner.say("SUMMER 5 days")
    await owner.yes()
    assert "reads like this one already" in owner.shown.toast and await acts(db) == [("bot 7", "code.made")]


async def test_a_code_is_stopped_after_a_yes(owner, cast, db):
    code = await codes.create(db, codes.Promo("AUTUMN", "days", 3), actor="test")
    await owner.press(f"codes:see:{code.id}")
    await owner.tap("Stop")
    await owner.yes()
    assert "stopped" in owner.shown.text and "⛔ Stop" not in owner.words
    await owner.press(f"codes:stop:{code.id}")
    await owner.yes()
    assert "stopped already" in owner.shown.toast and await acts(db) == [("bot 7", "code.stopped")]


@pytest.mark.parametrize(
    ("typed", "about"),
    [
        ("SUMMER 20%", ("SUMMER", "percent", 20, None)),
        ("summer  5 % x3", ("summer", "percent", 5, 3)),
        ("GO 4.99 USD", ("GO", "amount", 499, None)), ("GO 5usd", ("GO", "amount", 500, None)),
        ("GO 4,5 USD", ("GO", "amount", 450, None)),
        ("GO 1 day", ("GO", "days", 1, None)), ("GO 50 credits x100", ("GO", "credits", 50, 100)),
    ],
)  # fmt: skip
def test_a_line_is_read_as_it_was_meant(typed, about):
    assert tuple((read(typed) or {}).values()) == about


@pytest.mark.parametrize(
    "typed", ["", "SUMMER", "20%", "SUMMER 20", "SUMMER 4.5 days", "SUMMER -5%", "A B 20%", "SUMMER 20% 100", "S ٢%"]
)
async def test_what_says_nothing_is_refused(owner, cast, typed):
    assert read(typed) is None
    await owner.press("codes:make")
    await owner.say(typed or "?")
    assert "is not a code with what it gives" in owner.shown.text


@pytest.mark.parametrize(
    ("typed", "why"), [("AB 20%", "from 3 to 40"), ("SUMMER 101%", "from 1 to 100"), ("SUMMER 0 days", "from 1 to 366")]
)
async def test_what_cannot_be_is_refused_before_the_yes(owner, cast, typed, why):
    await owner.press("codes:make")
    await owner.say(typed)
    assert why in owner.shown.text and "Make the code" not in owner.shown.text


async def test_a_viewer_makes_and_stops_none(db, config, cast):
    viewer = await paired(db, config, "viewer")
    code = await codes.create(db, codes.Promo("AUTUMN", "days", 3), actor="test")
    for data in ("codes:make", f"codes:stop:{code.id}"):
        await viewer.press(data)
        assert viewer.shown.toast == "You may look, not change."
    await viewer.press(f"codes:see:{code.id}")
    assert viewer.data == ["codes"]
