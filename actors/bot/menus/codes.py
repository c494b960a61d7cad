"""Codes: which there are, find one, make a simple one, stop one."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from limner.actors.bot.menus.asking import listen, sure
from limner.actors.bot.menus.paging import HEAD, Turn, page, turn, whole
from limner.actors.bot.menus.screen import PAGE, Button, Screen, pairs
from limner.actors.bot.menus.visit import BOOKKEEPERS, OWNERS, Act, Hearing, Menu, Visit
from limner.runtime.amounts import cents, said
from limner.runtime.errors import Refused
from limner.sql import codes
from limner.sql.codes import Code, Promo, Sought

TYPED = re.compile(
    r"(?P<word>\S{1,80})\s+(?P<much>\d{1,6})(?P<part>[.,]\d{1,2})?\s*(?P<unit>%|usd|days?|credits?)(?:\s+[x×](?P<uses>\d{1,9}))?",
    re.IGNORECASE | re.ASCII,
)
"""SUMMER 20%, SUMMER 4.99 USD, SUMMER 10 days, SUMMER 50 credits; x100 behind it: a hundred times in all."""


async def press(visit: Visit, args: list[str]) -> Screen:
    """codes, codes:all:WAY:ROW, codes:find, codes:hits:WAY:ROW:SEARCH, codes:make, codes:see:ID, codes:stop:ID."""
    match args:
        case []:
            return await _list(visit)
        case ["all", way, row]:
            return await _list(visit, await _turn(visit, way, row))
        case ["hits", way, row, *search]:
            return await _list(visit, await _turn(visit, way, row), ":".join(search))
        case ["find"]:
            return await listen(visit, "codes.find", {}, visit.say("codes.ask_find"), back="codes")
        case ["make"]:
            visit.insist(OWNERS)
            return await listen(visit, "codes.typed", {}, visit.say("codes.ask"), back="codes")
        case ["see", code_id]:
            return _one(visit, await _find(visit, code_id))
        case ["stop", code_id]:
            return await _ask_stop(visit, await _find(visit, code_id))
    raise visit.stale()


async def _turn(visit: Visit, way: str, row: str) -> Turn:
    return await turn(visit, way, row, codes.get, "codes.gone")


async def _list(visit: Visit, at: Turn = HEAD, search: str = "") -> Screen:
    sought, here = Sought(text=search), "codes:hits" if search else "codes:all"
    found = await page(
        at,
        lambda place, count: whole(codes.look_through(visit.db, sought, place, count)),
        lambda place, count: whole(codes.newer(visit.db, sought, place, count)),
    )
    rows = [
        [Button(f"{visit.light(each.state)} {each.shown[:24]} · {visit.told(each.promise)}", f"codes:see:{each.id}")]
        for each in found.rows
    ]
    buttons = [visit.button("codes.find", "codes:find")] if found.rows or search else []
    buttons += [visit.button("codes.make", "codes:make")] if visit.may(OWNERS) else []
    text = visit.say("codes.title" if found.rows else "codes.none")
    if search:
        text = visit.say("codes.found" if found.rows else "codes.not_found", search=search)
        text = visit.say("frame.narrower", text=text, n=PAGE) if found.is_cut(here, search) else text
    leads = visit.back("codes" if search else "home")
    return Screen(text, [*rows, found.arrows(here, search), pairs(buttons)[0] if buttons else [], leads])


async def _found(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    return await _list(visit, HEAD, " ".join(text.split())[:80])


def _one(visit: Visit, code: Code) -> Screen:
    most = f"/{code.most_uses}" if code.most_uses else ""
    until = f"{code.ends_at:%d.%m.%Y}" if code.ends_at else "–"
    lines = [
        visit.say("codes.name", light=visit.light(code.state), word=code.shown, state=visit.told(code.state)),
        visit.say("codes.gives", promise=visit.told(code.promise), kind=visit.told(code.kind)),
        visit.say("codes.uses", n=f"{code.uses}{most}", until=until),
        *([visit.say("codes.note", note=code.note)] if code.note else []),
    ]
    stop = visit.may(OWNERS) and code.stopped_at is None
    return Screen(
        "\n".join(lines), [[visit.button("codes.stop", f"codes:stop:{code.id}")] if stop else [], visit.back("codes")]
    )


async def _typed(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    """What it would be is shown before it is made."""
    about = read(text)
    if about is None:
        raise Refused(visit.label("codes.unclear", typed=text[:60]))
    promo = Promo(**about)
    promo.check()
    gives = (
        f"{visit.told(promo.gives)}: {said(promo.quantity, promo.currency)}"
        if promo.gives == "amount"
        else f"{visit.told(promo.gives)}: {promo.quantity}"
    )
    uses = visit.label("codes.times", n=promo.most_uses) if promo.most_uses else visit.label("codes.any_times")
    question = visit.say("codes.sure_make", word=promo.word, gives=gives, uses=uses)
    return await sure(visit, "codes.make", about, question, back="codes", yes=visit.label("codes.yes_make"))


def read(text: str) -> dict[str, Any] | None:
    """The terms of a code as somebody types it; None when that says nothing."""
    found = TYPED.fullmatch(" ".join(text.split()))
    if found is None or (found["part"] and found["unit"].lower() != "usd"):
        return None
    unit = found["unit"].lower()
    gives = {"%": "percent", "u": "amount", "d": "days", "c": "credits"}[unit[0]]
    much = found["much"] + (found["part"] or "")
    quantity = cents(much, field="quantity") if gives == "amount" else int(much)
    most = int(found["uses"]) if found["uses"] else None
    return {"word": found["word"], "gives": gives, "quantity": quantity, "most_uses": most}


async def _make(visit: Visit, what: dict[str, Any]) -> Screen:
    code = await codes.create(visit.db, Promo(**what, note=visit.reason[:200]), actor=visit.actor)
    return _one(visit, code).with_toast(visit.label("frame.done"))


async def _ask_stop(visit: Visit, code: Code) -> Screen:
    visit.insist(OWNERS)
    text = visit.say("codes.sure_stop", word=code.shown, promise=visit.told(code.promise))
    return await sure(
        visit,
        "codes.stop",
        {"code": str(code.id)},
        text,
        back=f"codes:see:{code.id}",
        yes=visit.label("codes.yes_stop"),
    )


async def _stop(visit: Visit, what: dict[str, Any]) -> Screen:
    code = await codes.get(visit.db, UUID(what["code"]))
    await codes.stop(visit.db, code, visit.reason, actor=visit.actor)
    return _one(visit, await codes.get(visit.db, code.id)).with_toast(visit.label("frame.done"))


async def _find(visit: Visit, code_id: str) -> Code:
    return await visit.find(code_id, codes.get, "codes.gone")


MENU = Menu(
    "codes",
    press,
    looks=BOOKKEEPERS,
    acts={"make": Act(_make, by=OWNERS), "stop": Act(_stop, by=OWNERS)},
    hears={"typed": Hearing(_typed, by=OWNERS), "find": Hearing(_found, by=BOOKKEEPERS)},
)
