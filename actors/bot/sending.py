"""How a screen becomes a message, or takes the place of one."""

from __future__ import annotations

import re
from html import unescape
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
from aiogram.types import BufferedInputFile, CallbackQuery, InputMediaPhoto, LinkPreviewOptions

from limner.actors.bot.menus.screen import Screen

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
MOST_CAPTION = 1024
"""Bot API: the UTF-16 characters below a picture, tags apart."""
TAGS = re.compile(r"<[^>]*>")


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


def beside(query: CallbackQuery, screen: Screen) -> list[TelegramMethod[Any]]:
    """A message of its own, after the one whose button was pressed."""
    assert query.message is not None  # who() let it pass
    return [_answered(query, screen), message(query.message.chat.id, screen)]


def change(query: CallbackQuery, screen: Screen) -> list[TelegramMethod[Any]]:
    """The message changes in its place; the toast, or just the end of the button's waiting, goes with it."""
    assert query.message is not None  # who() let it pass
    chat_id, message_id = query.message.chat.id, query.message.message_id
    has_picture = bool(getattr(query.message, "photo", None))
    return [_answered(query, screen), *_in_place(chat_id, message_id, screen, has_picture=has_picture)]


def _answered(query: CallbackQuery, screen: Screen) -> TelegramMethod[Any]:
    return AnswerCallbackQuery(callback_query_id=query.id, text=screen.toast or None)


def _in_place(chat_id: int, message_id: int, screen: Screen, *, has_picture: bool) -> list[TelegramMethod[Any]]:
    """A picture stays above words that fit below it, since Telegram takes none away; else the message is sent anew."""
    where: dict[str, Any] = {"chat_id": chat_id, "message_id": message_id, "reply_markup": screen.keyboard}
    if screen.picture is not None and _fits_below(screen):
        media = InputMediaPhoto(media=_file(screen.picture), caption=screen.text, parse_mode="HTML")
        return [EditMessageMedia(media=media, **where)]
    if not has_picture:
        return [EditMessageText(text=screen.text, parse_mode="HTML", link_preview_options=NO_PREVIEW, **where)]
    if _fits_below(screen):
        return [EditMessageCaption(caption=screen.text, parse_mode="HTML", **where)]
    return [message(chat_id, screen), DeleteMessage(chat_id=chat_id, message_id=message_id)]


def _fits_below(screen: Screen) -> bool:
    return len(unescape(TAGS.sub("", screen.text)).encode("utf-16-le")) // 2 <= MOST_CAPTION


def _file(picture: bytes) -> BufferedInputFile:
    return BufferedInputFile(picture, filename="limner.png")
