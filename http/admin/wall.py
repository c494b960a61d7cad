"""The public wall: let in what was offered, refuse it, or take it off again; one by one or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.shares import as_keyset, keyset
from limner.http.sharing import must_have_wall
from limner.http.state import DB, about, fresh, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import walls
from limner.sql.walls import Judged

PAGE = 24
ACTS = {"approve": "shown", "refuse": "refused", "take_off": "taken_off"}


WAITING = walls.STATES[0]
FILTERS = (
    filters.Words("Owner, name, words or prompt"),
    filters.Choice("state", "State", walls.STATES, {"taken_off": "taken off"}, sort=True),  # one of them always holds
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Judged]:
    sought = walls.Sought(asked["q"], asked.since, asked.until)
    found = await walls.listing(db, asked["state"] or WAITING, sought, before=keyset(asked.place), count=count + 1)
    return lists.cut(found, count, lambda each: as_keyset(each.offered_at, each.id))


def _cells(each: Judged) -> Sequence[object]:
    return (
        each.id, each.image_id, each.email, each.state, each.caption, each.prompt, each.shows_prompt, each.display_name,
        each.reason, each.offered_at, each.decided_at,
    )  # fmt: skip


LIST = lists.List(
    "/admin/wall", FILTERS, _fetch,
    ("offer", "picture", "of", "state", "words under it", "prompt", "prompt is shown", "name", "reason", "offered (UTC)",
     "decided (UTC)"),
    _cells,
)  # fmt: skip


async def send_csv(request: web.Request) -> web.StreamResponse:
    """The offers in one state."""
    must_have_wall(request)
    return await LIST.send(request)


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    must_have_wall(request)
    return await _list(request)


async def decide(request: web.Request) -> web.StreamResponse:
    """Each in a transaction of its own: what somebody decided or took back meanwhile is left as it is."""
    fresh(request)
    must_have_wall(request)
    form = await forms.read(request)
    try:
        changed, chosen = await _decide(request, form)
    except Refused as why:
        return await _list(request, why, forms.kept(form, "reason"), forms.text(form, "state", most=10))
    state = forms.text(form, "state", most=10)
    address = f"/admin/wall?state={state}" if state in walls.STATES else "/admin/wall"
    return pages.see_other(address, "saved" if changed == chosen else "some_changed")


async def _decide(request: web.Request, form: forms.Form) -> tuple[int, int]:
    """How many changed, of how many."""
    act = forms.text(form, "act", most=10)
    if act not in ACTS:
        raise Refused(f"What to do is {', '.join(ACTS)}, not {act!r}.")
    reason = forms.text(form, "reason", most=500, needed=act != "approve", label="The reason")
    chosen = _chosen(form)

    async def decide(one: tuple[int, str]) -> None:
        saw = one[1] if act == "approve" else None
        await walls.decide(request.app[DB], one[0], ACTS[act], reason, saw=saw, **about(request))

    return await bulk.as_many_as_can(chosen, decide), len(chosen)


def _chosen(form: forms.Form) -> list[tuple[int, str]]:
    """The offers that are ticked, and what stood beside each of them on the page. Raises Refused."""
    found = [str(value).partition("~") for value in form.getall("offer", []) if value]
    if not 1 <= len(found) <= PAGE:
        raise Refused(f"Choose at least one picture, and at most {PAGE}.")
    return [(bulk.as_number(offer_id), saw) for offer_id, _, saw in found]


async def _list(
    request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None, state: str = ""
) -> web.Response:
    asked = await LIST.asked(request)
    if state in walls.STATES:
        asked = replace(asked, values={**asked.values, "state": state})
    shown = lists.Shown(asked, await _fetch(request.app[DB], asked, PAGE))
    return pages.render(
        request,
        "admin/wall.html",
        why,
        list=shown,
        offers=shown.rows,
        state=asked["state"] or WAITING,
        form=form or {},
    )
