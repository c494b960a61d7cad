"""In which language the bot speaks with whom."""

from __future__ import annotations

from dataclasses import replace

from limner.actors.bot.menus.screen import Button, Screen
from limner.actors.bot.menus.visit import EVERYBODY, Menu, Visit
from limner.sql import telegram as books
from limner.sql.accounts import LOCALES


async def press(visit: Visit, args: list[str]) -> Screen:
    """language, language:LOCALE."""
    match args:
        case []:
            return _choice(visit)
        case [locale] if locale in LOCALES:
            await books.set_locale(visit.db, visit.admin.telegram_id, locale)
            spoken = replace(visit, locale=locale)
            return _choice(spoken).with_toast(spoken.label("frame.done"))
    raise visit.stale()


def _choice(visit: Visit) -> Screen:
    rows = [
        [Button(("● " if locale == visit.locale else "") + name, f"language:{locale}")]
        for locale, name in LOCALES.items()
    ]
    return Screen(visit.say("language.title"), [*rows, visit.back()])


MENU = Menu("language", press, looks=EVERYBODY)
