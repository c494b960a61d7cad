"""The screens of the bot and the buttons between them. What a button carries says what is wanted, never who may."""

from __future__ import annotations

from dataclasses import dataclass

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from limner.actors.bot import texts
from limner.actors.bot.texts import Key
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import alerts, keys, overview
from limner.sql.telegram import Admin

PAGE = 8
"""Keys on one screen."""
SWITCHES = {"active": "Wake", "disabled": "Disable"}


@dataclass(frozen=True)
class Screen:
    """What a message shows: HTML, buttons, and a line that appears for a moment."""

    text: str
    keyboard: InlineKeyboardMarkup | None = None
    toast: str = ""


async def home(db: Db, *, lease: float) -> Screen:
    """The dashboard."""
    numbers = await overview.numbers(db)
    text = texts.dashboard(numbers, await overview.workers(db, lease), await alerts.still_open(db))
    return Screen(text, _buttons([("🔄 Refresh", "home"), ("🔑 Keys", "keys:0")]))


async def press(db: Db, admin: Admin, data: str, *, lease: float) -> Screen:
    """What a button leads to: home, keys:PAGE, key:ID, ask:ID:STATE, do:ID:STATE."""
    try:
        match data.split(":"):
            case ["home"]:
                return await home(db, lease=lease)
            case ["keys", page]:
                return await key_list(db, _number(page))
            case ["key", key_id]:
                return _key(await _find(db, key_id), admin)
            case ["ask", key_id, state] if state in SWITCHES:
                return _ask(await _find(db, key_id), state, admin)
            case ["do", key_id, state] if state in SWITCHES:
                return await _do(db, key_id, state, admin)
    except Refused as why:
        return _with_toast(await home(db, lease=lease), str(why))
    return _with_toast(await home(db, lease=lease), "That button is out of date.")


async def key_list(db: Db, page: int) -> Screen:
    """One page of the pool, a button for each key."""
    pool = await _pool(db)
    pages = max(1, -(-len(pool) // PAGE))
    page = min(page, pages - 1)
    shown = pool[page * PAGE : (page + 1) * PAGE]
    turns = [("◀", f"keys:{page - 1}")] * (page > 0) + [("▶", f"keys:{page + 1}")] * (page < pages - 1)
    rows = [[(texts.key_line(key), f"key:{key.id}")] for key in shown]
    return Screen(texts.keys(pool, page + 1, pages), _buttons(*rows, turns, [("⬅ Back", "home")]))


def _key(key: Key, admin: Admin, toast: str = "") -> Screen:
    switches = [(SWITCHES[state], f"ask:{key.id}:{state}") for state in _choices(key)] if admin.may_act else []
    return Screen(texts.key(key), _buttons(switches, [("⬅ Keys", "keys:0")]), toast)


def _choices(key: Key) -> list[str]:
    """Waking ends rests, too; disabling one that the system gave up says that somebody knows."""
    wake = ["active"] if key.state != "active" or key.rests else []
    return wake + (["disabled"] if key.state != "disabled" else [])


def _ask(key: Key, state: str, admin: Admin) -> Screen:
    _insist(admin)
    sure = (f"✅ Yes, {SWITCHES[state].lower()} it", f"do:{key.id}:{state}")
    return Screen(texts.sure(key, SWITCHES[state]), _buttons([sure], [("No", f"key:{key.id}")]))


async def _do(db: Db, key_id: str, state: str, admin: Admin) -> Screen:
    _insist(admin)
    found = await _find(db, key_id)
    reason = f"{admin.name} said so by Telegram"
    await keys.set_state(db, found.id, state, reason, actor=f"bot {admin.telegram_id}")
    return _key(await _find(db, key_id), admin, toast="Done.")


def _insist(admin: Admin) -> None:
    if not admin.may_act:
        raise Refused("You may look, not change.")


async def _pool(db: Db) -> list[Key]:
    return [Key.of(row) for row in await keys.listing(db)]


async def _find(db: Db, key_id: str) -> Key:
    for key in await _pool(db):
        if key.id == _number(key_id):
            return key
    raise NotFound("There is no such key any more.")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _with_toast(screen: Screen, toast: str) -> Screen:
    return Screen(screen.text, screen.keyboard, toast[:200])  # Bot API: answerCallbackQuery takes 200 characters


def _buttons(*rows: list[tuple[str, str]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=text, callback_data=data) for text, data in row] for row in rows if row
        ]
    )
