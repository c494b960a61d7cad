"""Broadcasts: write to many people, look at it, send it, stop it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, admin, fresh, path_id, staff
from limner.runtime import prose
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import broadcasts, plans, segments, spreading
from limner.sql.accounts import LOCALES
from limner.sql.broadcasts import Broadcast, Draft, Words
from limner.sql.spreading import Ways

TYPED = (
    "segment", "plan", "per_minute", "by_telegram",
    *(f"{part}_{language}" for language in LOCALES for part in ("subject", "body")),
)  # fmt: skip


FILTERS = (filters.Words("Subject"), filters.Choice("state", "State", broadcasts.STATES))


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Broadcast]:
    found = await broadcasts.listing(db, text=asked["q"], state=asked["state"], before=asked.moment, count=count + 1)
    return lists.cut(found, count, lists.by_time)


def _cells(each: Broadcast) -> Sequence[object]:
    return (
        each.id, each.subject, each.state, each.to_whom, each.people if each.started_at else None, each.per_minute,
        each.by_telegram, each.created_by, each.created_at, each.started_at, each.ended_at,
    )  # fmt: skip


LIST = lists.List(
    "/admin/broadcasts", FILTERS, _fetch,
    ("id", "subject", "state", "to whom", "people", "a minute", "by Telegram", "by", "written (UTC)", "begun (UTC)",
     "ended (UTC)"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _list(request)


async def write(request: web.Request) -> web.StreamResponse:
    admin(request)
    form = await forms.read(request)
    try:
        broadcast_id = await broadcasts.write(
            request.app[DB], await _draft(request, form), actor=about(request)["actor"]
        )
    except Refused as why:
        return await _list(request, why, forms.kept(form, *TYPED))
    return pages.see_other(f"/admin/broadcasts/{broadcast_id}", "saved")


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, path_id(request))


async def rewrite(request: web.Request) -> web.StreamResponse:
    admin(request)
    broadcast_id, form = path_id(request), await forms.read(request)
    try:
        await broadcasts.rewrite(request.app[DB], broadcast_id, await _draft(request, form))
    except Refused as why:
        return await _page(request, broadcast_id, why, forms.kept(form, *TYPED))
    return pages.see_other(f"/admin/broadcasts/{broadcast_id}", "saved")


async def throw_away(request: web.Request) -> web.StreamResponse:
    admin(request)
    broadcast_id, _ = path_id(request), await forms.read(request)
    try:
        await broadcasts.throw_away(request.app[DB], broadcast_id)
    except Refused as why:
        return await _page(request, broadcast_id, why)
    return pages.see_other("/admin/broadcasts", "saved")


async def try_out(request: web.Request) -> web.StreamResponse:
    """One mail of it to oneself."""
    viewer, broadcast_id, _ = admin(request), path_id(request), await forms.read(request)
    await broadcasts.try_out(request.app[DB], broadcast_id, viewer)
    return pages.see_other(f"/admin/broadcasts/{broadcast_id}", "on_its_way")


async def ask_begin(request: web.Request) -> web.Response:
    """The first of two steps: to how many it would go, and what they would read."""
    admin(request)
    return await _ask(request, path_id(request))


async def begin(request: web.Request) -> web.StreamResponse:
    """The second one."""
    fresh(request)
    broadcast_id, form = path_id(request), await forms.read(request)
    try:
        people = forms.whole(form, "people", least=0, most=10**9)
        reason = forms.text(form, "reason", most=200, needed=True)
        as_seen, ways = forms.text(form, "as_seen", most=64), Ways.of(request.app[CONFIG])
        await spreading.begin(
            request.app[DB], broadcast_id, ways, reason, people=people, as_seen=as_seen, **about(request)
        )
    except Refused as why:
        return await _ask(request, broadcast_id, why)
    return pages.see_other(f"/admin/broadcasts/{broadcast_id}", "asked")


async def stop(request: web.Request) -> web.StreamResponse:
    fresh(request)
    broadcast_id, form = path_id(request), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True)
        await spreading.stop(request.app[DB], broadcast_id, reason, **about(request))
    except Refused as why:
        return await _page(request, broadcast_id, why)
    return pages.see_other(f"/admin/broadcasts/{broadcast_id}", "saved")


async def go_on(request: web.Request) -> web.StreamResponse:
    fresh(request)
    broadcast_id, form = path_id(request), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True)
        await spreading.go_on(request.app[DB], broadcast_id, Ways.of(request.app[CONFIG]), reason, **about(request))
    except Refused as why:
        return await _page(request, broadcast_id, why)
    return pages.see_other(f"/admin/broadcasts/{broadcast_id}", "saved")


async def _draft(request: web.Request, form: forms.Form) -> Draft:
    """What the form says. Raises Refused. A language without a word is left out; English never is."""
    words = {}
    for language, name in LOCALES.items():
        subject = forms.text(form, f"subject_{language}", most=500, label=f"The subject in {name}")
        body = forms.text(form, f"body_{language}", most=20_000, label=f"The text in {name}")
        if subject or body or language == "en":
            words[language] = Words(subject, body)
    segment = forms.text(form, "segment", most=20, needed=True)
    return Draft(
        words=words,
        segment=segment,
        plan_id=await _plan(request, form) if segment == "plan" else None,
        by_telegram=bool(forms.text(form, "by_telegram", most=5)),
        per_minute=forms.whole(
            form, "per_minute", least=1, most=broadcasts.MOST_PER_MINUTE, default=broadcasts.PER_MINUTE
        ),
    )


async def _plan(request: web.Request, form: forms.Form) -> int:
    wanted = forms.text(form, "plan", most=40)
    found = next((plan["id"] for plan in await plans.listing(request.app[DB]) if plan["code"] == wanted), None)
    if found is None:
        raise Refused(f"There is no plan {wanted!r}.", field="plan")
    return int(found)


async def _list(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    return pages.render(
        request, "admin/broadcasts.html", why, list=await LIST.show(request), form=form or {}, **await _choices(request)
    )


async def _page(
    request: web.Request, broadcast_id: UUID, why: Refused | None = None, typed: dict[str, str] | None = None
) -> web.Response:
    db = request.app[DB]
    found = await broadcasts.get(db, broadcast_id)
    people, by_telegram = await segments.count(db, found.segment, found.plan_id) if found.state == "draft" else (0, 0)
    return pages.render(
        request, "admin/broadcast.html", why, broadcast=found, people=people, by_telegram=by_telegram,
        progress=await spreading.progress(db, found.id), troubles=await spreading.troubles(db, found.id),
        previews=_previews(found), form=typed or await _typed(request, found), **await _choices(request),
    )  # fmt: skip


async def _ask(request: web.Request, broadcast_id: UUID, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    found = await broadcasts.get(db, broadcast_id)
    people, by_telegram = await segments.count(db, found.segment, found.plan_id)
    return pages.render(
        request, "admin/broadcast_begin.html", why, broadcast=found, people=people, by_telegram=by_telegram,
        previews=_previews(found), ways=Ways.of(request.app[CONFIG]),
    )  # fmt: skip


async def _choices(request: web.Request) -> dict[str, Any]:
    return {
        "segments": segments.NAMES,
        "plans": await plans.listing(request.app[DB]),
        "locales": LOCALES,
        "ways": Ways.of(request.app[CONFIG]),
        "longest": (broadcasts.LONGEST_SUBJECT, broadcasts.LONGEST_BODY, broadcasts.MOST_PER_MINUTE),
    }


def _previews(found: Broadcast) -> list[dict[str, Any]]:
    return [
        {"language": language, "name": name, "subject": words.subject, "html": prose.rendered(prose.read(words.body))}
        for language, name in LOCALES.items()
        if (words := found.words.get(language))
    ]


async def _typed(request: web.Request, found: Broadcast) -> dict[str, str]:
    """What stands in the form of a draft."""
    plan = next((each["code"] for each in await plans.listing(request.app[DB]) if each["id"] == found.plan_id), "")
    words = {
        f"{part}_{language}": getattr(each, part)
        for language, each in found.words.items()
        for part in ("subject", "body")
    }
    pace = {"per_minute": str(found.per_minute), "by_telegram": "yes" if found.by_telegram else ""}
    return {"segment": found.segment, "plan": plan} | pace | words
