"""The processes that are alive, and what they are at."""

from __future__ import annotations

from limner.actors.bot.menus.screen import Screen
from limner.actors.bot.menus.visit import EVERYBODY, Menu, Visit
from limner.sql import overview


async def press(visit: Visit, args: list[str]) -> Screen:
    """system."""
    if args:
        raise visit.stale()
    alive = [each for each in await overview.workers(visit.db, visit.config.lease) if each.is_alive]
    lines = [visit.say("system.process", role=each.role, host=each.host, state=each.state) for each in alive]
    text = "\n".join([visit.say("system.title"), "", *lines])
    return Screen(text, [[visit.button("home.refresh", "system")], visit.back()])


MENU = Menu("system", press, looks=EVERYBODY)
