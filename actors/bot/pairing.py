"""What a stranger gets: a code that only somebody on the server's console can use."""

from __future__ import annotations

from aiogram.types import User

from limner.actors.bot import words
from limner.actors.bot.menus.screen import Screen
from limner.runtime.database import Db
from limner.sql import pairings


async def greet(db: Db, person: User) -> Screen | None:
    """Write down that they want in, with a new code in place of the last one; nothing, when that is a moment old."""
    name = f"{person.full_name} (@{person.username})" if person.username else person.full_name
    locale = words.spoken_by(person.language_code)
    code = await pairings.ask(db, person.id, name, locale)
    if code is None:
        return None
    return Screen(words.say(locale, "frame.pairing", code=code, minutes=pairings.CODE_MINUTES))
