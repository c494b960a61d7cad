"""The system: which processes live and what they run, backups, draining a worker."""

from __future__ import annotations

from typing import Any

from limner.actors.bot.menus.asking import sure
from limner.actors.bot.menus.screen import PAGE, Button, Screen, number, page_of, turns
from limner.actors.bot.menus.visit import EVERYBODY, OWNERS, Act, Menu, Visit
from limner.runtime import presence
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import redact
from limner.sql import audit, backups, glance, schema
from limner.sql.backups import Kind
from limner.sql.glance import Process

ROLES = ("web", "worker", "bot", "archivist")


async def press(visit: Visit, args: list[str]) -> Screen:
    """system, system:backup, system:processes:PAGE, and with the id of one: system:see, :drain, :resume."""
    match args:
        case []:
            return await _overview(visit)
        case ["backup"]:
            return await _ask_backup(visit)
        case ["processes", page]:
            return await _processes(visit, number(page))
        case ["see", process_id]:
            return _one(visit, await _find(visit, process_id))
        case [("drain" | "resume") as act, process_id]:
            return await _ask(visit, act, await _find(visit, process_id))
    raise visit.stale()


async def _overview(visit: Visit) -> Screen:
    alive = await glance.processes(visit.db, visit.config.lease)
    copies = visit.say("system.copies", backup=await _last(visit, "backup"), drill=await _last(visit, "drill"))
    known = visit.say("system.schema", schema=await schema.current(visit.db), head=schema.head())
    lines = [visit.say("system.title"), "", *(_role(visit, role, alive) for role in ROLES), "", known, copies]
    open_now = visit.button("system.alerts", "alerts", n=len(await visit.alerts()))
    rows = [[visit.button("system.processes", "system:processes:0"), open_now]]
    may_back_up = visit.may(OWNERS) and any(each.role == "archivist" for each in alive)
    rows += [[visit.button("system.backup", "system:backup")]] if may_back_up else []
    return Screen("\n".join(lines), [*rows, [visit.button("frame.refresh", "system")], visit.back()])


def _role(visit: Visit, role: str, alive: list[Process]) -> str:
    mine = [each for each in alive if each.role == role]
    if not mine:
        return visit.say("system.missing", role=role)
    worst = max(mine, key=lambda each: list(LIGHTS).index(_light(each)))
    return visit.say("system.role", light=_light(worst), role=role, n=len(mine))


LIGHTS = ("🟢", "🟡", "🔴")


def _light(process: Process) -> str:
    return "🔴" if process.ailing else "🟡" if process.paused or process.state != "running" else "🟢"


async def _last(visit: Visit, kind: Kind) -> str:
    """How the last one went, or that one is asked for and has not begun."""
    last, wished = await backups.last(visit.db, kind), await backups.wished(visit.db, kind)
    if wished is not None and (last is None or last.started_at < wished):
        since = (await backups.now(visit.db) - wished).total_seconds()
        return visit.say("system.asked_for", ago=visit.ago(since))
    if last is None or last.state == "done":
        return visit.ago(last.age if last else None)
    if last.state == "running":
        return visit.say("system.running", time=visit.duration(last.age))
    return visit.say("system.failed", ago=visit.ago(last.age), why=redact(last.why)[:200])


async def _processes(visit: Visit, wanted: int) -> Screen:
    alive = await glance.processes(visit.db, visit.config.lease)
    page, pages = page_of(len(alive), wanted)
    shown = alive[page * PAGE : (page + 1) * PAGE]
    rows = [
        [Button(f"{_light(each)} {each.role} · {each.host[:20]} · {visit.duration(each.up)}", f"system:see:{each.id}")]
        for each in shown
    ]
    before = f"system:processes:{page - 1}" if page else None
    after = f"system:processes:{page + 1}" if page < pages - 1 else None
    return Screen(visit.say("system.title"), [*rows, turns(before, after), visit.back("system")])


def _one(visit: Visit, process: Process) -> Screen:
    lines = [
        visit.say(
            "system.process", role=process.role, host=process.host, version=_runs(process),
            up=visit.duration(process.up), silent=visit.ago(process.silent),
        ),
        *([visit.say("system.polled", ago=visit.ago(process.polled_ago))] if process.polled_ago is not None else []),
        *([visit.say("system.ailing", names=", ".join(process.ailing))] if process.ailing else []),
        *([visit.say("system.drained")] if process.paused else []),
    ]  # fmt: skip
    act = "resume" if process.paused else "drain"
    may = process.role == "worker" and visit.may(OWNERS)
    buttons = [visit.button(f"system.{act}", f"system:{act}:{process.id}")] if may else []
    refresh = visit.button("frame.refresh", f"system:see:{process.id}")
    return Screen("\n".join(lines), [buttons, [refresh], visit.back("system:processes:0")])


def _runs(process: Process) -> str:
    """As it says itself; a release from before says nothing."""
    about = process.about
    memory = [f"{about['memory']} MB"] if about.get("memory") else []
    return " · ".join([f"{about.get('version', '?')} / {about.get('schema', '?')}", *memory])


async def _find(visit: Visit, process_id: str) -> Process:
    for process in await glance.processes(visit.db, visit.config.lease):
        if process.id == process_id:
            return process
    raise NotFound(visit.label("system.gone"))


async def _ask_backup(visit: Visit) -> Screen:
    visit.insist(OWNERS)
    await _must_have_archivist(visit)
    text, yes = visit.say("system.sure_backup"), visit.label("system.yes_backup")
    return await sure(visit, "system.backup", {}, text, back="system", yes=yes)


async def _backup(visit: Visit, _: dict[str, Any]) -> Screen:
    await _must_have_archivist(visit)
    await backups.wish(visit.db, "backup", actor=visit.actor)
    return (await _overview(visit)).with_toast(visit.label("frame.done"))


async def _must_have_archivist(visit: Visit) -> None:
    if not any(each.role == "archivist" for each in await glance.processes(visit.db, visit.config.lease)):
        raise Refused(visit.label("system.no_archivist"))


async def _ask(visit: Visit, act: str, process: Process) -> Screen:
    visit.insist(OWNERS)
    if process.role != "worker":
        raise visit.stale()
    text, yes = visit.say(f"system.sure_{act}", host=process.host), visit.label(f"system.yes_{act}")
    return await sure(visit, f"system.{act}", {"id": process.id}, text, back=f"system:see:{process.id}", yes=yes)


async def _drain(visit: Visit, what: dict[str, Any]) -> Screen:
    return await _pause(visit, what["id"], paused=True)


async def _resume(visit: Visit, what: dict[str, Any]) -> Screen:
    return await _pause(visit, what["id"], paused=False)


async def _pause(visit: Visit, process_id: str, *, paused: bool) -> Screen:
    """The worker hears of it with its next heartbeat."""
    process = await _find(visit, process_id)
    await presence.pause(visit.db, process.id, paused=paused)
    subject = f"{process.role} {process.id} on {process.host}"
    before, after = {"paused": process.paused}, {"paused": paused}
    await audit.record(visit.db, visit.actor, "worker.pause", subject, before, after)
    return _one(visit, await _find(visit, process_id)).with_toast(visit.label("frame.done"))


MENU = Menu(
    "system", press, looks=EVERYBODY,
    acts={
        "backup": Act(_backup, by=OWNERS),
        "drain": Act(_drain, by=OWNERS),
        "resume": Act(_resume, by=OWNERS),
    },
)  # fmt: skip
