"""From what a button carries, or what somebody writes, to the menu that it is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from limner.actors.bot.menus import home
from limner.actors.bot.menus.registry import MENUS
from limner.actors.bot.menus.screen import MOST_TOAST, Screen, length, parts
from limner.actors.bot.menus.visit import Visit
from limner.runtime.errors import Refused
from limner.sql import dialogue
from limner.sql.dialogue import Confirmation, Prompt


async def pressed(visit: Visit, data: str) -> Screen:
    """What a button leads to. Where it does not, the dashboard, with the reason."""
    await dialogue.forget(visit.db, visit.admin.telegram_id)
    name, *args = data.split(":")
    if name == "yes":
        return await _confirmed(visit, args)
    return await _tried(visit, lambda: _open(visit, name, args))


async def heard(visit: Visit, text: str) -> Screen:
    """The answer to a message: of the menu that asked for one, or the dashboard."""
    prompt = await dialogue.hear(visit.db, visit.admin.telegram_id)
    if prompt is None or not text or text.startswith("/"):
        return await _home(visit)
    try:
        return await _saved(visit, lambda: _hear(visit, prompt, text))
    except Refused as why:
        await dialogue.listen(visit.db, visit.admin.telegram_id, prompt)
        return Screen(visit.say("frame.again", why=visit.told(str(why))), [[visit.button("frame.cancel", prompt.back)]])


async def _open(visit: Visit, name: str, args: list[str]) -> Screen:
    if name == "home":
        return await _home(visit)
    menu = MENUS.get(name)
    if menu is None:
        raise visit.stale()
    visit.insist(menu.looks)
    return await menu.press(visit, args)


async def _home(visit: Visit, refusal: str = "") -> Screen:
    """The dashboard, with a button for each menu that this person may open."""
    open_to = [menu.name for menu in MENUS.values() if menu.on_dashboard and visit.may(menu.looks)]
    doors = [visit.button(f"{name}.menu", name) for name in open_to]
    shown = await home.screen(visit, doors, spare=length(_first_line(visit, visit.told(refusal))) + 2)
    return _told(visit, shown, refusal) if refusal else shown


async def _hear(visit: Visit, prompt: Prompt, text: str) -> Screen:
    hearing = MENUS[prompt.menu].hears[prompt.question]
    visit.insist(hearing.by)
    return await hearing.hear(visit, text, prompt.what)


async def _confirmed(visit: Visit, args: list[str]) -> Screen:
    """The yes is used up whatever comes of it."""
    asked = await dialogue.take(visit.db, visit.admin.telegram_id, args[0]) if len(args) == 1 else None
    if asked is None:
        return await _home(visit, visit.label("frame.stale"))
    return await _tried(visit, lambda: _do(visit, asked), otherwise=asked.back)


async def _do(visit: Visit, asked: Confirmation) -> Screen:
    act = MENUS[asked.menu].acts[asked.act]
    visit.insist(act.by)
    return await act.do(visit, asked.what)


async def _tried(visit: Visit, work: Callable[[], Awaitable[Screen]], otherwise: str = "") -> Screen:
    """The screen, or after a refusal where the button ``otherwise`` leads, with the reason."""
    try:
        return await _saved(visit, work)
    except Refused as why:
        if not otherwise:
            return await _home(visit, str(why))
        name, *args = otherwise.split(":")
        return _told(visit, await _tried(visit, lambda: _open(visit, name, args)), str(why))


def _told(visit: Visit, screen: Screen, refusal: str) -> Screen:
    """The reason comes up for a moment, and stays above the screen: after an old press Telegram brings nothing up."""
    said = visit.told(refusal)
    return screen.headed(_first_line(visit, said)).with_toast(said)


def _first_line(visit: Visit, said: str) -> str:
    return visit.say("frame.refused", why=parts(said, MOST_TOAST)[0])


async def _saved(visit: Visit, work: Callable[[], Awaitable[Screen]]) -> Screen:
    """A refusal takes back what was done before it, and nothing else."""
    async with visit.db.transaction():
        return await work()
