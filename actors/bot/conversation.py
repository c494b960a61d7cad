"""Who is asking, and what they get: admins a dashboard, strangers a pairing code, groups silence."""

from __future__ import annotations

from aiogram.types import CallbackQuery, Chat, Update, User
from aiogram.types.update import UpdateTypeLookupError

from limner.actors.bot import pairing, sending, words
from limner.actors.bot.menus import switchboard
from limner.actors.bot.menus.visit import Visit
from limner.actors.bot.sending import Answer
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.sql import notices
from limner.sql import telegram as books


async def answer(db: Db, update: Update, config: Config) -> list[Answer]:
    """Do, in the caller's transaction, what the update asks for; returns what to send after its commit.

    Every type of update passes here. The person decides, in a private chat, by the books as they are now.
    """
    person = who(update)
    if person is None:
        return []
    admin = await books.admin(db, person.id)
    if admin is None:
        return await _greeting(db, person) if update.message else []
    visit = Visit(db, admin, config, admin.locale or await _spoken(db, admin, person))
    if update.callback_query is not None:
        return await _pressed(visit, update.callback_query)
    if update.message is not None:
        return [
            Answer(person.id, sending.message(person.id, await switchboard.heard(visit, update.message.text or "")))
        ]
    return []


async def _spoken(db: Db, admin: books.Admin, person: User) -> str:
    """In which language their Telegram is, remembered for the alerts."""
    if not person.language_code:
        return admin.language
    spoken = words.spoken_by(person.language_code)
    if spoken != admin.spoken:
        await books.set_spoken(db, admin.telegram_id, spoken)
    return spoken


async def _greeting(db: Db, person: User) -> list[Answer]:
    """Sent once: no stranger keeps the admins waiting."""
    screen = await pairing.greet(db, person)
    return [Answer(person.id, sending.message(person.id, screen), tries=1)] if screen else []


async def _pressed(visit: Visit, query: CallbackQuery) -> list[Answer]:
    """A button of a menu changes it; one below an alert leaves that to be read."""
    data = query.data or ""
    screen = await switchboard.pressed(visit, data.removeprefix(notices.APART))
    return sending.beside(query, screen) if data.startswith(notices.APART) else sending.change(query, screen)


def who(update: Update) -> User | None:
    """The person behind an update from a private chat; None for all that came from elsewhere."""
    try:
        event = update.event
    except UpdateTypeLookupError:  # a type that is newer than this aiogram
        return None
    person = getattr(event, "from_user", None)
    chat = event.message.chat if isinstance(event, CallbackQuery) and event.message else getattr(event, "chat", None)
    if not isinstance(person, User) or not isinstance(chat, Chat) or person.is_bot:
        return None
    return person if chat.type == "private" and chat.id == person.id else None
