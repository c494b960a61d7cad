"""Who is asking, and what they get: admins a dashboard, strangers a pairing code, groups silence."""

from __future__ import annotations

from typing import Any

from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendMessage, TelegramMethod
from aiogram.types import CallbackQuery, Chat, LinkPreviewOptions, Update, User
from aiogram.types.update import UpdateTypeLookupError

from limner.actors.bot import menus, pairing
from limner.actors.bot.menus import Screen
from limner.runtime.database import Db
from limner.sql import telegram as books

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


async def answer(db: Db, update: Update, *, lease: float) -> list[TelegramMethod[Any]]:
    """Do, in the caller's transaction, what the update asks for; returns what to send after its commit.

    Every type of update passes here. The person decides, in a private chat, by the books as they are now.
    """
    person = who(update)
    if person is None:
        return []
    admin = await books.admin(db, person.id)
    if admin is None:
        return [_message(person, await pairing.greet(db, person))] if update.message else []
    if update.callback_query is not None:
        pressed = await menus.press(db, admin, update.callback_query.data or "", lease=lease)
        return _after_press(update.callback_query, pressed)
    return [_message(person, await menus.home(db, lease=lease))] if update.message else []


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


def _message(person: User, screen: Screen) -> SendMessage:
    return SendMessage(
        chat_id=person.id, text=screen.text, reply_markup=screen.keyboard, parse_mode="HTML",
        link_preview_options=NO_PREVIEW,
    )  # fmt: skip


def _after_press(query: CallbackQuery, screen: Screen) -> list[TelegramMethod[Any]]:
    """The message changes in its place; the toast, or just the end of the button's waiting, goes with it."""
    assert query.message is not None  # who() let it pass
    return [
        AnswerCallbackQuery(callback_query_id=query.id, text=screen.toast or None),
        EditMessageText(
            chat_id=query.message.chat.id, message_id=query.message.message_id, text=screen.text,
            reply_markup=screen.keyboard, parse_mode="HTML", link_preview_options=NO_PREVIEW,
        ),
    ]  # fmt: skip
