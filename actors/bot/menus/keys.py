"""The pool: how each key does, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from limner.actors.bot.menus.asking import sure
from limner.actors.bot.menus.screen import PAGE, Button, Screen, number, page_of, turns
from limner.actors.bot.menus.visit import EVERYBODY, STAFF, Act, Menu, Visit
from limner.runtime.errors import NotFound
from limner.runtime.log import redact
from limner.sql import keys

LIGHTS = {"active": "🟢", "cooldown": "🟡", "out_of_funds": "🔴", "manual_review": "🔴", "disabled": "⚪"}
SWITCHES = {"wake": "active", "disable": "disabled"}


@dataclass(frozen=True)
class Key:
    """A key as the bot shows it."""

    id: int
    provider: str
    label: str
    last_four: str
    state: str
    why: str
    rests: str
    rests_until: datetime | None
    in_use: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """From a row of ``keys.listing``."""
        return cls(
            id=row["id"], provider=row["provider"], label=row["label"], last_four=row["last4"], state=row["state"],
            why=redact(row["why"]), rests=redact(row["rests"] or ""), rests_until=row["rests_until"],
            in_use=row["in_use"],
        )  # fmt: skip

    @property
    def light(self) -> str:
        return "🟡" if self.state == "active" and self.rests else LIGHTS[self.state]


async def press(visit: Visit, args: list[str]) -> Screen:
    """keys, keys:page:N, keys:see:ID, keys:wake:ID, keys:disable:ID."""
    match args:
        case []:
            return await _list(visit, 0)
        case ["page", page]:
            return await _list(visit, number(page))
        case ["see", key_id]:
            return _one(visit, await _find(visit, number(key_id)))
        case [("wake" | "disable") as switch, key_id]:
            return await _ask(visit, await _find(visit, number(key_id)), switch)
    raise visit.stale()


async def _list(visit: Visit, wanted: int) -> Screen:
    pool = await _pool(visit)
    page, pages = page_of(len(pool), wanted)
    shown = pool[page * PAGE : (page + 1) * PAGE]
    rows = [[Button(_line(visit, key), f"keys:see:{key.id}")] for key in shown]
    around = turns(f"keys:page:{page - 1}" if page else None, f"keys:page:{page + 1}" if page < pages - 1 else None)
    ready = sum(key.state == "active" for key in pool)
    text = visit.say("keys.title", ready=ready, all=len(pool))
    if pages > 1:
        text = visit.say("frame.page", text=text, page=page + 1, pages=pages)
    return Screen(text, [*rows, around, visit.back()])


def _line(visit: Visit, key: Key) -> str:
    return f"{key.light} {key.label[:24]} {key.last_four} · {visit.label(f'keys.state_{key.state}')}"


def _one(visit: Visit, key: Key) -> Screen:
    lines = [
        visit.say("keys.name", light=key.light, label=key.label, last_four=key.last_four, provider=key.provider),
        visit.say("keys.state", state=visit.label(f"keys.state_{key.state}"), n=key.in_use),
        *([visit.say("keys.why", why=key.why[:500])] if key.why else []),
        *([visit.say("keys.rests", why=key.rests[:500])] if key.rests else []),
        *([visit.say("keys.rests_until", at=f"{key.rests_until:%d.%m. %H:%M} UTC")] if key.rests_until else []),
    ]
    switches = (
        [visit.button(f"keys.{each}", f"keys:{each}:{key.id}") for each in _choices(key)] if visit.may(STAFF) else []
    )
    return Screen("\n".join(lines), [switches, visit.back("keys")])


def _choices(key: Key) -> list[str]:
    """Waking ends rests, too; disabling one that the system gave up says that somebody knows."""
    wake = ["wake"] if key.state != "active" or key.rests else []
    return wake + (["disable"] if key.state != "disabled" else [])


async def _ask(visit: Visit, key: Key, switch: str) -> Screen:
    visit.insist(STAFF)
    now = visit.label(f"keys.state_{key.state}")
    text = visit.say(f"keys.sure_{switch}", label=key.label, last_four=key.last_four, provider=key.provider, now=now)
    yes = visit.label(f"keys.yes_{switch}")
    return await sure(visit, f"keys.{switch}", {"key": key.id}, text, back=f"keys:see:{key.id}", yes=yes)


async def _wake(visit: Visit, what: dict[str, Any]) -> Screen:
    return await _set_state(visit, what["key"], "active")


async def _disable(visit: Visit, what: dict[str, Any]) -> Screen:
    return await _set_state(visit, what["key"], "disabled")


async def _set_state(visit: Visit, key_id: int, state: str) -> Screen:
    await keys.set_state(visit.db, key_id, state, f"{visit.admin.name} said so by Telegram", actor=visit.actor)
    return _one(visit, await _find(visit, key_id)).with_toast(visit.label("frame.done"))


async def _pool(visit: Visit) -> list[Key]:
    return [Key.of(row) for row in await keys.listing(visit.db)]


async def _find(visit: Visit, key_id: int) -> Key:
    for key in await _pool(visit):
        if key.id == key_id:
            return key
    raise NotFound(visit.label("keys.gone"))


MENU = Menu(
    "keys", press, looks=EVERYBODY, acts={"wake": Act(_wake, by=STAFF), "disable": Act(_disable, by=STAFF)}
)  # fmt: skip
