"""How a screen becomes a message, or takes the place of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiogram.methods import (
    AnswerCallbackQuery,
    DeleteMessage,
    EditMessageCaption,
    EditMessageMedia,
    EditMessageText,
    SendMessage,
    SendPhoto,
    TelegramMethod,
)
from aiogram.types import BufferedInputFile, CallbackQuery, InputMediaPhoto, LinkPreviewOptions, Message

from limner.actors.bot.menus.screen import MOST_CAPTION, Screen, length

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True)
class Answer:
    """What goes to a chat. ``otherwise``: what goes there when Telegram refuses it; ``tries``: how often, when it is busy."""

    chat_id: int
    method: TelegramMethod[Any]
    otherwise: TelegramMethod[Any] | None = None
    tries: int = 3


def message(chat_id: int, screen: Screen) -> TelegramMethod[Any]:
    """A new message."""
    if screen.picture is not None and _fits_below(screen):
        return SendPhoto(
            chat_id=chat_id, photo=_file(screen.picture), caption=screen.text, reply_markup=screen.keyboard,
            parse_mode="HTML",
        )  # fmt: skip
    return SendMessage(
        chat_id=chat_id, text=screen.text, reply_markup=screen.keyboard, parse_mode="HTML",
        link_preview_options=NO_PREVIEW,
    )  # fmt: skip


def beside(query: CallbackQuery, screen: Screen) -> list[Answer]:
    """A message of its own, after the one whose button was pressed."""
    assert query.message is not None  # who() let it pass
    chat_id = query.message.chat.id
    return [_answered(query, screen), Answer(chat_id, message(chat_id, screen))]


def change(query: CallbackQuery, screen: Screen) -> list[Answer]:
    """The message changes in its place; the toast, or just the end of the button's waiting, goes with it.

    Telegram lets nobody change a message that is too old for it, nor one that somebody deleted: then it is sent anew.
    """
    assert query.message is not None  # who() let it pass
    if not isinstance(query.message, Message):  # an InaccessibleMessage
        return beside(query, screen)
    return [_answered(query, screen), *_in_place(query.message, screen)]


def _answered(query: CallbackQuery, screen: Screen) -> Answer:
    return Answer(query.from_user.id, AnswerCallbackQuery(callback_query_id=query.id, text=screen.toast or None))


def _in_place(shown: Message, screen: Screen) -> list[Answer]:
    """A picture stays above words that fit below it, since Telegram takes none away; else the message is sent anew."""
    chat_id, anew = shown.chat.id, message(shown.chat.id, screen)
    if shown.photo and not _fits_below(screen):
        return [Answer(chat_id, anew), Answer(chat_id, DeleteMessage(chat_id=chat_id, message_id=shown.message_id))]
    return [Answer(chat_id, _edit(shown, screen), otherwise=anew)]


def _edit(shown: Message, screen: Screen) -> TelegramMethod[Any]:
    where: dict[str, Any] = {
        "chat_id": shown.chat.id, "message_id": shown.message_id, "reply_markup": screen.keyboard,
    }  # fmt: skip
    if screen.picture is not None and _fits_below(screen):
        media = InputMediaPhoto(media=_file(screen.picture), caption=screen.text, parse_mode="HTML")
        return EditMessageMedia(media=media, **where)
    if shown.photo:
        return EditMessageCaption(caption=screen.text, parse_mode="HTML", **where)
    return EditMessageText(text=screen.text, parse_mode="HTML", link_preview_options=NO_PREVIEW, **where)


def _fits_below(screen: Screen) -> bool:
    return length(screen.text) <= MOST_CAPTION


def _file(picture: bytes) -> BufferedInputFile:
    return BufferedInputFile(picture, filename="limner.png")
