"""Reports: what visitors say should not be shown; dismissed, or the picture is taken down."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.gallery import as_keyset, keyset
from limner.http.shares import as_keyset as as_number_keyset
from limner.http.shares import keyset as number_keyset
from limner.http.state import DB, about, fresh, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import reports, takedowns
from limner.sql.reports import Case

PAGE = 25
STATES = ("open", "settled", "down")
ACTS = {"dismiss": reports.dismiss, "take_down": takedowns.take_down}


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Case]:
    place = keyset(asked.place)
    if asked["state"] == "settled":
        settled = await reports.settled_cases(db, before=place, count=count + 1)
        return lists.cut(settled, count, lambda each: as_keyset(each.settled_at or each.last_at, each.image_id))
    waiting = await reports.open_cases(db, after=place, count=count + 1)
    return lists.cut(waiting, count, lambda each: as_keyset(each.first_at, each.image_id))


def _cells(case: Case) -> Sequence[object]:
    return (
        case.image_id, case.email, case.outcome or "open", ", ".join(case.kinds), case.people, case.times,
        " / ".join(case.words), case.prompt, case.reason, case.first_at, case.last_at, case.settled_at,
    )  # fmt: skip


LIST = lists.List(
    "/admin/reports", (filters.Choice("state", "State", ("open", "settled")),), _fetch,
    ("picture", "of", "state", "kinds", "visitors", "times", "what they wrote", "prompt", "reason", "first (UTC)", "last (UTC)",
     "settled (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _list(request)


async def decide(request: web.Request) -> web.StreamResponse:
    """Dismiss the reports on some pictures, or take these down, for one reason."""
    fresh(request)
    form = await forms.read(request)
    try:
        changed, chosen = await _decide(request, form)
    except Refused as why:
        return await _list(request, why, forms.kept(form, "reason"))
    return pages.see_other("/admin/reports", "saved" if changed == chosen else "some_changed")


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
    state = request.query.get("state", "")
    state = state if state in STATES else "open"
    read = {"open": _open, "settled": _settled, "down": _down}[state]
    found, after = await read(request)
    older = "/admin/reports?" + urlencode({"state": state, "before": after}) if after else None
    number, oldest = await reports.waiting(request.app[DB])
    return pages.render(
        request,
        "admin/reports.html",
        why,
        found=found,
        state=state,
        states=STATES,
        older_url=older,
        kinds=reports.KINDS,
        waiting=number,
        oldest=oldest,
        form=form or {},
    )


async def _open(request: web.Request) -> tuple[list[Case], str | None]:
    after = keyset(request.query.get("before", ""))
    found = await reports.open_cases(request.app[DB], after=after, count=PAGE + 1)
    last = found[PAGE - 1] if len(found) > PAGE else None
    return found[:PAGE], as_keyset(last.first_at, last.image_id) if last else None


async def _settled(request: web.Request) -> tuple[list[Case], str | None]:
    before = keyset(request.query.get("before", ""))
    found = await reports.settled_cases(request.app[DB], before=before, count=PAGE + 1)
    last = found[PAGE - 1] if len(found) > PAGE else None
    return found[:PAGE], as_keyset(last.settled_at, last.image_id) if last and last.settled_at else None


async def _down(request: web.Request) -> tuple[list[takedowns.Down], str | None]:
    before = number_keyset(request.query.get("before", ""))
    found = await takedowns.listing(request.app[DB], before=before, count=PAGE + 1)
    last = found[PAGE - 1] if len(found) > PAGE else None
    return found[:PAGE], as_number_keyset(last.taken_at, last.id) if last else None
