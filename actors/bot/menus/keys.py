"""The pool: how each key does, and what may be done with it."""

from __future__ import annotations

from typing import Any

from limner.actors.bot.menus.asking import listen, sure
from limner.actors.bot.menus.screen import PAGE, Button, Screen, number, page_of, pairs, turns
from limner.actors.bot.menus.visit import BOOKKEEPERS, EVERYBODY, OWNERS, STAFF, Act, Hearing, Menu, Visit
from limner.runtime.amounts import cents, rounded_micros, said
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import redact
from limner.sql import funds, keys
from limner.sql.funds import Fund

LIGHTS = {"active": "🟢", "cooldown": "🟡", "out_of_funds": "🔴", "manual_review": "🔴", "disabled": "⚪"}
HOURS = (1, 6, 24)
"""For so long a key can be put to rest."""
Key = dict[str, Any]
"""A row of ``keys.listing``."""


async def press(visit: Visit, args: list[str]) -> Screen:
    """keys, keys:page:N, and with the id of a key: keys:see:7, :wake, :disable, :test, :rest, :rest:7:HOURS, :balance."""
    match args:
        case []:
            return await _list(visit, 0)
        case ["page", page]:
            return await _list(visit, number(page))
        case ["see", key_id]:
            return await _one(visit, await _find(visit, key_id))
        case [("wake" | "disable" | "test") as act, key_id]:
            return await _ask(visit, act, await _find(visit, key_id))
        case ["rest", key_id]:
            return _how_long(visit, await _find(visit, key_id))
        case ["rest", key_id, hours] if number(hours) in HOURS:
            return await _ask(visit, "rest", await _find(visit, key_id), hours=number(hours))
        case ["balance", key_id]:
            return await _ask_balance(visit, await _find(visit, key_id))
    raise visit.stale()


async def _list(visit: Visit, wanted: int) -> Screen:
    pool = await keys.listing(visit.db)
    page, pages = page_of(len(pool), wanted)
    rows = [[Button(_line(visit, key), f"keys:see:{key['id']}")] for key in pool[page * PAGE : (page + 1) * PAGE]]
    around = turns(f"keys:page:{page - 1}" if page else None, f"keys:page:{page + 1}" if page < pages - 1 else None)
    text = visit.say("keys.title", ready=sum(key["state"] == "active" for key in pool), all=len(pool))
    if pages > 1:
        text = visit.say("frame.page", text=text, page=page + 1, pages=pages)
    return Screen(text, [*rows, around, visit.back()])


def _line(visit: Visit, key: Key) -> str:
    return f"{_light(key)} {key['label'][:24]} {key['last4']} · {_state(visit, key)}"


def _light(key: Key) -> str:
    return "🟡" if key["state"] == "active" and key["rests"] else LIGHTS[key["state"]]


def _state(visit: Visit, key: Key) -> str:
    return visit.label(f"keys.state_{key['state']}")


async def _one(visit: Visit, key: Key) -> Screen:
    known = (await funds.of_key(visit.db, key["id"]))[2] if visit.may(BOOKKEEPERS) else None
    name = visit.say("keys.name", light=_light(key), **_named(key))
    lines: list[str] = [
        name,
        visit.say("keys.state", state=_state(visit, key), n=key["in_use"], slots=key["concurrency"]),
    ]
    lines += [*_reasons(visit, key), *([_left(visit, known)] if known else [])]
    buttons = [visit.button(f"keys.{each}", f"keys:{each}:{key['id']}") for each in _choices(visit, key, known)]
    refresh = visit.button("frame.refresh", f"keys:see:{key['id']}")
    return Screen("\n".join(lines), [*pairs(buttons), [refresh], visit.back("keys")])


def _named(key: Key) -> dict[str, str]:
    return {"label": key["label"], "last_four": key["last4"], "provider": key["provider"]}


def _reasons(visit: Visit, key: Key) -> list[str]:
    """Why it is as it is."""
    lines: list[str] = []
    if key["why"] and key["state"] != "active":
        lines.append(visit.say("keys.why", why=redact(visit.told(key["why"]))[:300]))
    if key["rests"]:
        lines.append(visit.say("keys.rests", why=redact(visit.told(key["rests"]))[:300]))
    if key["rests_until"]:
        lines.append(visit.say("keys.rests_until", at=visit.moment(key["rests_until"])))
    if key["tried_at"]:
        said = visit.told(key["tried_words"]) or visit.label("keys.takes_it")
        lines.append(visit.say("keys.tried", at=visit.moment(key["tried_at"]), words=said[:300]))
    return lines


def _left(visit: Visit, known: Fund) -> str:
    left = visit.say("keys.left", left=rounded_micros(known.left))
    return left if known.days_left is None else visit.say("keys.left_days", text=left, days=round(known.days_left))


def _choices(visit: Visit, key: Key, known: Fund | None) -> list[str]:
    """Waking ends rests, too; disabling one that the system gave up says that somebody knows."""
    found = []
    if visit.may(STAFF):
        found += ["wake"] if key["state"] != "active" or key["rests"] else []
        found += ["rest"] if key["state"] in ("active", "cooldown") else []
        found += ["disable"] if key["state"] != "disabled" or not key["by_hand"] else []
        found += ["test"]
    return found + (["balance"] if visit.may(OWNERS) and not (known and known.source == "told") else [])


def _how_long(visit: Visit, key: Key) -> Screen:
    visit.insist(STAFF)
    choice = [visit.button("keys.hours", f"keys:rest:{key['id']}:{hours}", n=hours) for hours in HOURS]
    return Screen(visit.say("keys.how_long", **_named(key)), [choice, visit.back(f"keys:see:{key['id']}")])


async def _ask(visit: Visit, act: str, key: Key, **more: int) -> Screen:
    visit.insist(STAFF)
    text = visit.say(f"keys.sure_{act}", **_named(key), now=_state(visit, key), **more)
    back, what = f"keys:see:{key['id']}", {"key": key["id"], **more}
    return await sure(visit, f"keys.{act}", what, text, back=back, yes=visit.label(f"keys.yes_{act}"))


async def _wake(visit: Visit, what: dict[str, Any]) -> Screen:
    await keys.set_state(visit.db, what["key"], "active", visit.reason, actor=visit.actor)
    return await _done(visit, what)


async def _disable(visit: Visit, what: dict[str, Any]) -> Screen:
    await keys.set_state(visit.db, what["key"], "disabled", visit.reason, actor=visit.actor)
    return await _done(visit, what)


async def _rest(visit: Visit, what: dict[str, Any]) -> Screen:
    await keys.rest_by_hand(visit.db, what["key"], what["hours"] * 60, visit.reason, actor=visit.actor)
    return await _done(visit, what)


async def _test(visit: Visit, what: dict[str, Any]) -> Screen:
    await keys.try_out(visit.db, what["key"], actor=visit.actor)
    return (await _done(visit, what)).with_toast(visit.label("keys.on_trial"))


async def _done(visit: Visit, what: dict[str, Any]) -> Screen:
    return (await _one(visit, await _find(visit, str(what["key"])))).with_toast(visit.label("frame.done"))


async def _ask_balance(visit: Visit, key: Key) -> Screen:
    visit.insist(OWNERS)
    account = (await funds.of_key(visit.db, key["id"]))[1]
    text = visit.say("keys.how_much", **_named(key), account=account)
    return await listen(visit, "keys.amount", {"key": key["id"]}, text, back=f"keys:see:{key['id']}")


async def _amount(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    """Dollars, as people write them: 12, 12.50, $12,50."""
    try:
        left = cents(text.strip().removeprefix("$"), field="amount")
    except Refused:
        raise Refused(visit.label("keys.no_amount", typed=text[:40])) from None
    account = (await funds.of_key(visit.db, what["key"]))[1]
    question = visit.say("keys.sure_balance", account=account, amount=said(left, "USD"))
    asked = {"key": what["key"], "micros": left * 10_000}
    return await sure(visit, "keys.balance", asked, question, back=f"keys:see:{what['key']}")


async def _balance(visit: Visit, what: dict[str, Any]) -> Screen:
    await funds.set_left(visit.db, what["key"], what["micros"], visit.reason, actor=visit.actor)
    return await _done(visit, what)


async def _find(visit: Visit, key_id: str) -> Key:
    for key in await keys.listing(visit.db):
        if key["id"] == number(key_id):
            return key
    raise NotFound(visit.label("keys.gone"))


MENU = Menu(
    "keys", press, looks=EVERYBODY,
    acts={
        "wake": Act(_wake, by=STAFF),
        "disable": Act(_disable, by=STAFF),
        "rest": Act(_rest, by=STAFF),
        "test": Act(_test, by=STAFF),
        "balance": Act(_balance, by=OWNERS),
    },
    hears={"amount": Hearing(_amount, by=OWNERS)},
)  # fmt: skip
