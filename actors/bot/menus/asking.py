"""How a menu asks: whether somebody is sure, and for a word."""

from __future__ import annotations

from typing import Any

from limner.actors.bot.menus.screen import Button, Screen
from limner.actors.bot.menus.visit import Visit
from limner.sql import dialogue
from limner.sql.dialogue import Confirmation, Prompt


async def sure(
    visit: Visit, act: str, what: dict[str, Any], text: str, *, back: str, yes: str = "", picture: bytes | None = None
) -> Screen:
    """ "Sure?": ``act`` ("users.ban") is done with ``what`` after a yes. ``yes``: what that button says."""
    menu, _, name = act.partition(".")
    token = await dialogue.ask(visit.db, visit.admin.telegram_id, Confirmation(menu, name, what, back))
    said = yes or visit.label("frame.yes")
    return Screen(text, [[Button(f"✅ {said}", f"yes:{token}")], [visit.button("frame.no", back)]], picture=picture)


async def listen(visit: Visit, question: str, what: dict[str, Any], text: str, *, back: str) -> Screen:
    """Ask for a message: it goes to ``question`` ("users.find") with ``what``, unless they press something first."""
    menu, _, name = question.partition(".")
    await dialogue.listen(visit.db, visit.admin.telegram_id, Prompt(menu, name, what, back))
    return Screen(text, [[visit.button("frame.cancel", back)]])
