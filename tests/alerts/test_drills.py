"""Fault drills: a real trouble is told once, in the right words, and so is its end."""

from __future__ import annotations

import pytest

from limner.actors.watch.telling import DOORS
from limner.sql.alert_rules import KINDS
from tests.alerts.drills import DRILLS

WITHOUT_A_MENU = {"model_retiring", "mails_wait", "mails_refused"}
"""What the bot has no menu for."""


def test_every_rule_has_its_drill():
    assert {drill.rule for drill in DRILLS.values()} == set(KINDS) and len(DRILLS) >= 20


@pytest.mark.parametrize("name", DRILLS)
async def test_a_trouble_is_told_once_and_so_is_its_end(watched, name):
    drill = DRILLS[name]
    assert await watched.look() == []
    async with drill.trouble(watched):
        if drill.after:
            assert await watched.look() == [], "it has to last"
            await watched.later(drill.after)
        for _ in range(3):
            (alert,) = await watched.look()
        assert alert.rule == drill.rule and drill.words in alert.words
        assert alert.place.startswith("/admin/"), "where it is mended, not the overview"
        assert alert.button.partition(":")[0] in DOORS or drill.rule in WITHOUT_A_MENU
        (told,) = await watched.texts()
        assert told == f"⚠️ {alert.words}"
        await watched.later(14 * 60)
    if drill.calm:
        assert len(await watched.look()) == 1, "it may come back"
        await watched.later(drill.calm)
    for _ in range(3):
        assert await watched.look() == []
    (_, over) = await watched.texts()
    assert over.startswith("✅ Fine again after ") and drill.words in over
    assert " min. It was: " in over or " h " in over
