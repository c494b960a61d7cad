"""Reports: what visitors say should not be shown; dismissed, or the picture is taken down."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, fresh, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import reports, takedowns
from limner.sql.reports import Case
from limner.sql.takedowns import Down, Sought

PAGE = 25
STATES = ("open", "settled", "down")
FILTERS = (
    filters.Words("Owner, prompt, words or id"),
    filters.Choice("state", "State", STATES, {"down": "taken down"}, sort=True),  # one of them always holds
    filters.SINCE,
    filters.UNTIL,
)
ACTS = {"dismiss": reports.dismiss, "take_down": takedowns.take_down}


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Case | Down]:
    text, image_id = lists.id_or_words(asked["q"])
    sought, found = Sought(text, image_id, asked.since, asked.until), list[Case | Down]()
    match asked["state"]:
        case "down":
            found.extend(await takedowns.listing(db, sought, before=asked.entry, count=count + 1))
        case "settled":
            found.extend(await reports.settled_cases(db, sought, before=asked.moment, count=count + 1))
        case _:
            found.extend(await reports.open_cases(db, sought, after=asked.moment, count=count + 1))
    return lists.cut(found, count, _place)


def _place(each: Case | Down) -> str:
    """The moment by which its state is ordered, and the id beside it."""
    if isinstance(each, Down):
        return lists.placed(each.taken_at, each.id)
    return lists.placed(each.settled_at or each.first_at, each.image_id)


def _cells(each: Case | Down) -> Sequence[object]:
    if isinstance(each, Down):
        what = (each.image_id, each.email, "down", "", "", "", "", each.prompt, each.reason)
        return *what, "", "", "", each.taken_at
    return (
        each.image_id, each.email, each.outcome or "open", ", ".join(each.kinds), each.people, each.times,
        " / ".join(each.words), each.prompt, each.reason, each.first_at, each.last_at, each.settled_at, "",
    )  # fmt: skip


LIST = lists.List(
    "/admin/reports", FILTERS, _fetch,
    ("picture", "of", "state", "kinds", "visitors", "times", "what they wrote", "prompt", "reason", "first (UTC)", "last (UTC)",
     "settled (UTC)", "taken down (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _list(request)


async def decide(request: web.Request) -> web.StreamResponse:
    """Dismiss the reports on some pictures, or take these down, for one reason. The address says what the list is narrowed to."""
    fresh(request)
    asked, form = await LIST.asked(request), await forms.read(request)
    try:
        changed, chosen = await _decide(request, form)
    except Refused as why:
        return await _list(request, why, forms.kept(form, "reason"))
    return pages.see_other(asked.url(), "saved" if changed == chosen else "some_changed")


async def _decide(request: web.Request, form: forms.Form) -> tuple[int, int]:
    act = forms.text(form, "act", most=10)
    if act not in ACTS:
        raise Refused(f"What to do is {', '.join(ACTS)}, not {act!r}.")
    reason = forms.text(form, "reason", most=takedowns.LONGEST_REASON, needed=True, label="The reason")
    chosen = forms.ids(form, "picture", most=PAGE)
    if not chosen:
        raise Refused("Choose at least one picture.")
    changed = await bulk.as_many_as_can(
        chosen, lambda image_id: ACTS[act](request.app[DB], image_id, reason, **about(request))
    )
    return changed, len(chosen)


async def _list(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    asked = await LIST.asked(request)
    number, oldest = await reports.waiting(request.app[DB])
    return pages.render(
        request,
        "admin/reports.html",
        why,
        list=lists.Shown(asked, await _fetch(request.app[DB], asked, PAGE)),
        state=asked["state"] or STATES[0],
        kinds=reports.KINDS,
        waiting=number,
        oldest=oldest,
        form=form or {},
    )
