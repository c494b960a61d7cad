"""Broadcasts: write to many people, see it as they will, send it, stop it, see how far it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from limner.actors.bot.menus.asking import listen, sure
from limner.actors.bot.menus.paging import HEAD, Turn, page, turn, whole
from limner.actors.bot.menus.screen import MOST_TEXT, SPARE, Button, Screen, length, number, pairs, parts, turns
from limner.actors.bot.menus.visit import BOOKKEEPERS, OWNERS, Act, Hearing, Menu, Visit
from limner.runtime import prose
from limner.runtime.errors import Refused
from limner.sql import broadcasts, plans, segments, spreading
from limner.sql.accounts import LOCALES
from limner.sql.broadcasts import Broadcast, Draft, Words
from limner.sql.spreading import Ways


async def press(visit: Visit, args: list[str]) -> Screen:
    """broadcasts, broadcasts:all:WAY:ROW, broadcasts:new, broadcasts:to:SEGMENT, broadcasts:plan:ID,
    broadcasts:read:LANGUAGE:PART:ID, broadcasts:(see|send|away|way|pace|stop|on):ID.
    """
    match args:
        case []:
            return await _list(visit)
        case ["all", way, row]:
            return await _list(visit, await turn(visit, way, row, broadcasts.get, "broadcasts.gone"))
        case ["new"]:
            return _choose(visit)
        case ["to", "plan"]:
            return await _choose_plan(visit)
        case ["to", segment] if segment in segments.NAMES:
            return await _ask_words(visit, segment, None)
        case ["plan", plan]:
            return await _ask_words(visit, "plan", await _plan(visit, plan))
        case ["see", found]:
            return await _one(visit, await _find(visit, found))
        case ["read", language, part, found]:
            return _read(visit, await _find(visit, found), language, number(part))
        case ["way", found]:
            return await _other_way(visit, await _find(visit, found))
        case ["pace", found]:
            return await _ask_pace(visit, await _find(visit, found))
        case ["send", found]:
            return await _ask_to_send(visit, await _find(visit, found))
        case [("away" | "stop" | "on") as act, found]:
            return await _ask(visit, await _find(visit, found), act)
    raise visit.stale()


async def _list(visit: Visit, at: Turn = HEAD) -> Screen:
    found = await page(
        at,
        lambda place, count: whole(broadcasts.listing(visit.db, before=place, count=count)),
        lambda place, count: whole(broadcasts.newer(visit.db, place, count)),
    )
    rows = [
        [Button(f"{visit.light(each.state)} {each.created_at:%d.%m.} · {each.subject[:36]}", f"broadcasts:see:{each.id}")]
        for each in found.rows
    ]  # fmt: skip
    new = [visit.button("broadcasts.new", "broadcasts:new")] if visit.may(OWNERS) else []
    title = visit.say("broadcasts.title" if found.rows else "broadcasts.none")
    return Screen(title, [*rows, found.arrows("broadcasts:all"), new, visit.back()])


def _choose(visit: Visit) -> Screen:
    visit.insist(OWNERS)
    buttons = [visit.button(f"broadcasts.to_{segment}", f"broadcasts:to:{segment}") for segment in segments.NAMES]
    return Screen(visit.say("broadcasts.to_whom"), [*([each] for each in buttons), visit.back("broadcasts")])


async def _choose_plan(visit: Visit) -> Screen:
    visit.insist(OWNERS)
    rows = [[Button(str(plan["name"]), f"broadcasts:plan:{plan['id']}")] for plan in await plans.listing(visit.db)]
    return Screen(visit.say("broadcasts.which_plan"), [*rows, visit.back("broadcasts:new")])


async def _plan(visit: Visit, text: str) -> int:
    wanted = [int(plan["id"]) for plan in await plans.listing(visit.db) if str(plan["id"]) == text]
    if not wanted:
        raise visit.stale()
    return wanted[0]


async def _ask_words(visit: Visit, segment: str, plan_id: int | None) -> Screen:
    visit.insist(OWNERS)
    people, _ = await segments.count(visit.db, segment, plan_id)
    text = visit.say("broadcasts.ask_words", n=people, most=broadcasts.LONGEST_BODY)
    about = {"segment": segment, "plan_id": plan_id}
    return await listen(visit, "broadcasts.words", about, text, back="broadcasts:new")


async def _words(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    """The first line is the subject."""
    subject, _, body = text.strip().partition("\n")
    if not body.strip():
        raise Refused(visit.label("broadcasts.no_body"))
    draft = Draft(
        {"en": Words(subject.strip(), body.strip())}, segment=what["segment"], plan_id=what["plan_id"],
        by_telegram=visit.config.bot_token is not None,
    )  # fmt: skip
    made = await broadcasts.write(visit.db, draft, actor=visit.actor)
    return await _one(visit, await broadcasts.get(visit.db, made))


async def _one(visit: Visit, found: Broadcast) -> Screen:
    """As its readers see it, and what became of it."""
    lines = [
        visit.say("broadcasts.name", light=visit.light(found.state), state=visit.label(f"broadcasts.is_{found.state}")),
        visit.say("broadcasts.about", to=await _to_whom(visit, found), pace=found.per_minute),
        visit.say("broadcasts.by_telegram" if found.by_telegram else "broadcasts.by_mail"),
        *await _progress(visit, found),
        "",
        "",
    ]
    text, more = _preview(visit, found, "\n".join(lines))
    return Screen(text, [more, *_switches(visit, found), visit.back("broadcasts")])


def _preview(visit: Visit, found: Broadcast, above: str) -> tuple[str, list[Button]]:
    """Below other words, in plain text and one language; and buttons to all that does not stand there."""
    words = found.in_language(visit.locale)
    room = MOST_TEXT - SPARE - length(above) - length(visit.say("broadcasts.preview", subject=words.subject, text="…"))
    first, *others = parts(_plain(words), room)
    shown = visit.say("broadcasts.preview", subject=words.subject, text=first + ("…" if others else ""))
    languages = [each for each in LOCALES if each in found.words]
    if len(languages) == 1 and not others:
        return above + shown, []
    return above + shown, [Button(f"📖 {LOCALES[each]}", f"broadcasts:read:{each}:0:{found.id}") for each in languages]


def _plain(words: Words) -> str:
    return prose.plain(prose.read(words.body))


def _read(visit: Visit, found: Broadcast, language: str, part: int) -> Screen:
    """All of it, in one of its languages."""
    if language not in found.words:
        raise visit.stale()
    words = found.words[language]
    pieces = parts(_plain(words), MOST_TEXT - length(visit.say("broadcasts.preview", subject=words.subject, text="")))
    part = min(part, len(pieces) - 1)
    here = f"broadcasts:read:{language}"
    around = turns(
        f"{here}:{part - 1}:{found.id}" if part else None,
        f"{here}:{part + 1}:{found.id}" if part + 1 < len(pieces) else None,
    )
    text = visit.say("broadcasts.preview", subject=words.subject, text=pieces[part])
    return Screen(text, [around, visit.back(f"broadcasts:see:{found.id}")])


async def _to_whom(visit: Visit, found: Broadcast) -> str:
    if found.plan:
        return visit.label("broadcasts.with_plan", plan=found.plan)
    return visit.label(f"broadcasts.to_{found.segment}")


async def _progress(visit: Visit, found: Broadcast) -> list[str]:
    if found.state == "draft":
        people, by_telegram = await segments.count(visit.db, found.segment, found.plan_id)
        told = by_telegram if found.by_telegram else 0
        return [visit.say("broadcasts.people", n=people, told=told)]
    p = await spreading.progress(visit.db, found.id)
    return [visit.say(
        "broadcasts.progress", all=found.people, sent=p.sent, under_way=p.under_way, waiting=p.waiting, failed=p.failed,
        skipped=p.skipped,
    )]  # fmt: skip


ACTS = {"draft": ("send", "pace", "away"), "sending": ("stop",), "stopped": ("on",), "done": ()}


def _switches(visit: Visit, found: Broadcast) -> list[list[Button]]:
    again = [] if found.state == "draft" else [visit.button("frame.refresh", f"broadcasts:see:{found.id}")]
    if not visit.may(OWNERS):
        return [again]
    acts = list(ACTS[found.state])
    buttons = [visit.button(f"broadcasts.{act}", f"broadcasts:{act}:{found.id}") for act in acts]
    if found.state == "draft" and visit.config.bot_token is not None:
        other = "broadcasts.way_mail" if found.by_telegram else "broadcasts.way_telegram"
        buttons.insert(1, visit.button(other, f"broadcasts:way:{found.id}"))
    return pairs([*again, *buttons])


async def _other_way(visit: Visit, found: Broadcast) -> Screen:
    visit.insist(OWNERS)
    draft = replace(_draft(found), by_telegram=not found.by_telegram)
    await broadcasts.rewrite(visit.db, found.id, draft)
    return await _one(visit, await broadcasts.get(visit.db, found.id))


async def _ask_pace(visit: Visit, found: Broadcast) -> Screen:
    visit.insist(OWNERS)
    text = visit.say("broadcasts.ask_pace", now=found.per_minute, most=broadcasts.MOST_PER_MINUTE)
    return await listen(visit, "broadcasts.pace", {"id": str(found.id)}, text, back=f"broadcasts:see:{found.id}")


async def _pace(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    typed, found = text.strip(), await _find(visit, what["id"])
    pace = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 6 else 0
    await broadcasts.rewrite(visit.db, found.id, replace(_draft(found), per_minute=pace))
    return await _one(visit, await broadcasts.get(visit.db, found.id))


def _draft(found: Broadcast) -> Draft:
    return Draft(found.words, found.segment, found.plan_id, found.by_telegram, found.per_minute)


async def _ask_to_send(visit: Visit, found: Broadcast) -> Screen:
    visit.insist(OWNERS)
    people, _ = await segments.count(visit.db, found.segment, found.plan_id)
    question = visit.say(
        "broadcasts.sure_send", subject=found.subject, n=people, to=await _to_whom(visit, found),
        minutes=-(-people // found.per_minute),
    )  # fmt: skip
    about = {"id": str(found.id), "people": people, "as_seen": found.as_it_is}
    yes, back = visit.label("broadcasts.yes_send", n=people), f"broadcasts:see:{found.id}"
    text, more = _preview(visit, found, f"{question}\n\n")
    asked = await sure(visit, "broadcasts.send", about, text, back=back, yes=yes)
    return replace(asked, rows=[more, *asked.rows])


async def _ask(visit: Visit, found: Broadcast, act: str) -> Screen:
    visit.insist(OWNERS)
    text, yes = visit.say(f"broadcasts.sure_{act}", subject=found.subject), visit.label(f"broadcasts.yes_{act}")
    back = f"broadcasts:see:{found.id}"
    return await sure(visit, f"broadcasts.{act}", {"id": str(found.id)}, text, back=back, yes=yes)


async def _send(visit: Visit, what: dict[str, Any]) -> Screen:
    ways, agreed = Ways.of(visit.config), {"people": what["people"], "as_seen": what.get("as_seen", "")}
    await spreading.begin(visit.db, UUID(what["id"]), ways, visit.reason, actor=visit.actor, **agreed)
    return await _done(visit, what)


async def _away(visit: Visit, what: dict[str, Any]) -> Screen:
    await broadcasts.throw_away(visit.db, UUID(what["id"]))
    return (await _list(visit)).with_toast(visit.label("frame.done"))


async def _stop(visit: Visit, what: dict[str, Any]) -> Screen:
    await spreading.stop(visit.db, UUID(what["id"]), visit.reason, actor=visit.actor)
    return await _done(visit, what)


async def _go_on(visit: Visit, what: dict[str, Any]) -> Screen:
    await spreading.go_on(visit.db, UUID(what["id"]), Ways.of(visit.config), visit.reason, actor=visit.actor)
    return await _done(visit, what)


async def _done(visit: Visit, what: dict[str, Any]) -> Screen:
    found = await broadcasts.get(visit.db, UUID(what["id"]))
    return (await _one(visit, found)).with_toast(visit.label("frame.done"))


async def _find(visit: Visit, broadcast_id: str) -> Broadcast:
    return await visit.find(broadcast_id, broadcasts.get, "broadcasts.gone")


MENU = Menu(
    "broadcasts",
    press,
    looks=BOOKKEEPERS,
    acts={
        "send": Act(_send, by=OWNERS),
        "away": Act(_away, by=OWNERS),
        "stop": Act(_stop, by=OWNERS),
        "on": Act(_go_on, by=OWNERS),
    },
    hears={"words": Hearing(_words, by=OWNERS), "pace": Hearing(_pace, by=OWNERS)},
)
