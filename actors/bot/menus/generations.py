"""Orders of pictures: find one, why it failed, paint it again on the house, take a picture down."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from limner.actors.bot.menus.asking import listen, sure
from limner.actors.bot.menus.order_pages import order_page, order_turn
from limner.actors.bot.menus.paging import HEAD, Turn, long, short
from limner.actors.bot.menus.screen import Button, Screen, identity, pairs
from limner.actors.bot.menus.visit import EVERYBODY, STAFF, Act, Hearing, Menu, Visit
from limner.runtime.errors import NotFound
from limner.runtime.log import redact
from limner.sql import accounts, explain, retries, studio, takedowns
from limner.sql.orders import Order, Sought
from limner.sql.studio import ShownGeneration, ShownJob
from limner.sql.takedowns import Hung

MOST_WORDS = 3500
"""Characters of an explanation: a message takes 4096."""


async def press(visit: Visit, args: list[str]) -> Screen:
    """generations, generations:all, generations:find, generations:(failed|all|of:ACCOUNT):WAY:ROW,
    generations:(see|why|retry|pictures):ID, generations:(down|back):IMAGE.
    """
    match args:
        case []:
            return await _list(visit, "failed")
        case ["all"]:
            return await _list(visit, "")
        case [("failed" | "all") as name, way, row]:
            return await _list(visit, "failed" if name == "failed" else "", await order_turn(visit, way, row))
        case ["of", account, way, row]:
            found = await visit.find(str(long(account)), accounts.get, "generations.gone")
            return await _of(visit, found.id, found.email, await order_turn(visit, way, row))
        case ["find"]:
            return await listen(visit, "generations.find", {}, visit.say("generations.ask_find"), back="generations")
        case ["see", found]:
            return await _one(visit, await _find(visit, found))
        case ["why", found]:
            return await _why(visit, await _find(visit, found))
        case ["retry", found]:
            return await _ask_retry(visit, await _find(visit, found))
        case ["pictures", found]:
            return await _pictures(visit, await _find(visit, found))
        case [("down" | "back") as act, image]:
            return await _ask_reason(visit, act, await _picture(visit, image))
    raise visit.stale()


async def _list(visit: Visit, state: str, at: Turn = HEAD) -> Screen:
    found = await order_page(visit, Sought(state=state), at)
    other = (
        visit.button("generations.all", "generations:all")
        if state
        else visit.button("generations.failed", "generations")
    )
    buttons = [other, visit.button("generations.find", "generations:find")]
    title = "generations.title_failed" if state else "generations.title_all"
    rows = [*_rows(visit, found.rows), found.arrows(f"generations:{state or 'all'}"), buttons, visit.back()]
    return Screen(visit.say(title if found.rows or found.older else "generations.none"), rows)


def _rows(visit: Visit, found: list[Order]) -> list[list[Button]]:
    return [
        [Button(f"{visit.light(each.state)} {each.created_at:%d.%m. %H:%M} · {each.email[:24]}", f"generations:see:{each.id}")]
        for each in found
    ]  # fmt: skip


async def _found(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    """The id of an order, or an address, whole or its only match."""
    typed = text.strip()[:254]
    if identity(typed) is not None:
        return await _one(visit, await _find(visit, typed))
    people = await accounts.listing(visit.db, search=typed, count=2)
    exact = await accounts.find(visit.db, typed)
    if exact is None and len(people) != 1:
        raise NotFound(visit.label("generations.whose" if people else "generations.nobody", typed=typed[:60]))
    account_id: UUID = exact.id if exact else people[0]["id"]
    return await _of(visit, account_id, exact.email if exact else people[0]["email"])


async def _of(visit: Visit, account_id: UUID, email: str, at: Turn = HEAD) -> Screen:
    found = await order_page(visit, Sought(account=account_id), at)
    title = visit.say("generations.title_of" if found.rows else "generations.none_of", email=email)
    around = found.arrows(f"generations:of:{short(account_id)}")
    return Screen(title, [*_rows(visit, found.rows), around, visit.back("generations")])


async def _one(visit: Visit, order: ShownGeneration) -> Screen:
    account = await accounts.get(visit.db, order.account_id)
    lines = [
        visit.say("generations.name", light=visit.light(order.state), email=account.email, at=visit.stamp(order.created_at)),
        visit.say("generations.prompt", prompt=order.prompt[:500]),
        visit.say(
            "generations.what", model=order.model_name, size=f"{order.width}×{order.height}", n=order.count,
            state=visit.told(order.state),
        ),
        *(
            visit.say("generations.job", n=job.position, state=visit.told(job.state), why=_why_so(visit, job))
            for job in order.jobs
        ),
    ]  # fmt: skip
    pictures = [job for job in order.jobs if job.state == "delivered"]
    buttons = [visit.button("generations.why", f"generations:why:{order.id}")]
    if visit.may(STAFF) and await retries.is_offered(visit.db, order.id):
        buttons.append(visit.button("generations.retry", f"generations:retry:{order.id}"))
    if pictures and visit.may(STAFF):
        buttons.append(visit.button("generations.pictures", f"generations:pictures:{order.id}"))
    return Screen("\n".join(lines), [*pairs(buttons), visit.back("generations")])


def _why_so(visit: Visit, job: ShownJob) -> str:
    return redact(visit.told(job.reason or job.line))[:200]


async def _why(visit: Visit, order: ShownGeneration) -> Screen:
    lines: list[str] = [visit.say("generations.why_title", at=visit.stamp(order.created_at))]
    for job in (await explain.generation(visit.db, order.id))["jobs"]:
        lines += _explained(visit, job)
    kept, length = list[str](), 0
    for line in lines:
        length += len(line) + 1
        if length > MOST_WORDS:
            kept.append("…")
            break
        kept.append(line)
    return Screen("\n".join(kept), [visit.back(f"generations:see:{order.id}")])


def _explained(visit: Visit, job: dict[str, Any]) -> list[str]:
    lines: list[str] = ["", visit.say("generations.why_job", n=job["position"], state=visit.told(job["state"]))]
    for each in job["decisions"]:
        chosen = each["chosen"]
        key = f"{chosen['label']} {chosen['last_four']}" if chosen else "?"
        detail = redact(each["detail"] or "")[:160]
        lines.append(
            visit.say(
                "generations.why_try", n=each["attempt"], name=key, outcome=visit.told(each["outcome"]), detail=detail
            )
        )
        lines += _passed(visit, each["passed_over"])
    if not job["decisions"]:
        lines.append(visit.say("generations.why_never"))
    if job["waited"]:
        lines.append(visit.say("generations.why_waited", n=job["waited"]["times"]))
        lines += _passed(visit, job["waited"]["passed_over"])
    return lines


def _passed(visit: Visit, passed: list[dict[str, Any]]) -> list[str]:
    return [
        visit.say("generations.why_passed", name=f"{each['label']} {each['last_four']}", why=visit.told(each["why"]))
        for each in passed[:4]
    ]


async def _ask_retry(visit: Visit, order: ShownGeneration) -> Screen:
    visit.insist(STAFF)
    failed = sum(job.state == "failed" for job in order.jobs)
    account = await accounts.get(visit.db, order.account_id)
    text = visit.say("generations.sure_retry", n=failed, email=account.email, prompt=order.prompt[:200])
    yes = visit.label("generations.yes_retry")
    return await sure(
        visit, "generations.retry", {"order": str(order.id)}, text, back=f"generations:see:{order.id}", yes=yes
    )


async def _retry(visit: Visit, what: dict[str, Any]) -> Screen:
    new = await retries.retry(visit.db, UUID(what["order"]), visit.config, visit.reason, actor=visit.actor)
    return (await _one(visit, await studio.generation(visit.db, new))).with_toast(visit.label("generations.retried"))


async def _pictures(visit: Visit, order: ShownGeneration) -> Screen:
    visit.insist(STAFF)
    rows = []
    for each in await takedowns.of_generation(visit.db, order.id):
        if each.state != "deleted":
            act = "back" if each.state == "taken_down" else "down"
            rows.append([visit.button(f"generations.{act}", f"generations:{act}:{each.id}", n=each.position)])
    return Screen(
        visit.say("generations.pictures_title" if rows else "generations.no_pictures"),
        [*rows, visit.back(f"generations:see:{order.id}")],
    )


async def _ask_reason(visit: Visit, act: str, picture: Hung) -> Screen:
    visit.insist(STAFF)
    text = visit.say(f"generations.ask_{act}", n=picture.position)
    return await listen(
        visit,
        f"generations.{act}",
        {"image": str(picture.id)},
        text,
        back=f"generations:pictures:{picture.generation_id}",
    )


async def _down_why(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    return await _ask(visit, "down", text, what)


async def _back_why(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    return await _ask(visit, "back", text, what)


async def _ask(visit: Visit, act: str, text: str, what: dict[str, Any]) -> Screen:
    reason = takedowns.checked(text)
    picture = await _picture(visit, what["image"])
    said = visit.say(f"generations.sure_{act}", n=picture.position, why=reason)
    back, yes = f"generations:pictures:{picture.generation_id}", visit.label(f"generations.yes_{act}")
    return await sure(visit, f"generations.{act}", {"image": what["image"], "reason": reason}, said, back=back, yes=yes)


async def _down(visit: Visit, what: dict[str, Any]) -> Screen:
    await takedowns.take_down(visit.db, UUID(what["image"]), what["reason"], actor=visit.actor)
    return await _after(visit, what)


async def _back(visit: Visit, what: dict[str, Any]) -> Screen:
    await takedowns.restore(visit.db, UUID(what["image"]), what["reason"], actor=visit.actor)
    return await _after(visit, what)


async def _after(visit: Visit, what: dict[str, Any]) -> Screen:
    picture = await takedowns.get(visit.db, UUID(what["image"]))
    order = await studio.generation(visit.db, picture.generation_id)
    return (await _pictures(visit, order)).with_toast(visit.label("frame.done"))


async def _find(visit: Visit, order_id: str) -> ShownGeneration:
    return await visit.find(order_id, studio.generation, "generations.gone")


async def _picture(visit: Visit, image_id: str) -> Hung:
    return await visit.find(image_id, takedowns.get, "generations.no_picture")


MENU = Menu(
    "generations",
    press,
    looks=EVERYBODY,
    acts={"retry": Act(_retry, by=STAFF), "down": Act(_down, by=STAFF), "back": Act(_back, by=STAFF)},
    hears={
        "find": Hearing(_found, by=EVERYBODY),
        "down": Hearing(_down_why, by=STAFF),
        "back": Hearing(_back_why, by=STAFF),
    },
)
