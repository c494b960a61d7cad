"""Bulk: one act on many, chosen in a list; asked twice, written down one by one, and which of them failed is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import about
from limner.runtime.errors import Refused
from limner.sql.takedowns import NotAsBelieved

T = TypeVar("T")

MOST = 50
"""A page of a list."""


@dataclass(frozen=True)
class Act:
    """``verb`` stands on the button, ``effect`` says what comes of it. ``do``: request, chosen, reason, actor, ip."""

    verb: str
    effect: str
    do: Callable[[web.Request, str, str, str, str], Awaitable[None]]
    grave: bool = True


@dataclass(frozen=True)
class Outcome:
    """Why it was not done; "": it was."""

    chosen: str
    why: str


Names = Callable[[web.Request, list[str]], Awaitable[Mapping[str, str]]]


async def do(request: web.Request, acts: Mapping[str, Act], back: str, names: Names) -> web.StreamResponse:
    """Asks whether it is meant; then does it, each on its own. ``names``: what the list calls those that were chosen.

    Raises Refused for a form that no page of ours sends.
    """
    form = await forms.read(request)
    name = forms.text(form, "act", most=20, needed=True)
    if name not in acts:
        raise Refused(f"An act is one of {', '.join(acts)}, not {name!r}.", field="act")
    chosen = _chosen(form)
    shown: dict[str, Any] = {"act": acts[name], "name": name, "chosen": chosen, "back": back}
    shown["names"] = await names(request, chosen)
    if not forms.text(form, "sure", most=5):
        return pages.render(request, "admin/bulk.html", form={"reason": ""}, **shown)
    try:
        reason = forms.text(form, "reason", most=200, needed=True, label="The reason")
    except Refused as why:
        return pages.render(request, "admin/bulk.html", why, form=forms.kept(form, "reason"), **shown)
    outcomes = [Outcome(each, await _one(request, acts[name], each, reason)) for each in chosen]
    if any(each.why for each in outcomes):
        page = pages.render(request, "admin/bulk.html", outcomes=outcomes, form={"reason": reason}, **shown)
        page.set_status(200 if any(not each.why for each in outcomes) else 409)
        return page
    return pages.see_other(back, "saved")


async def _one(request: web.Request, act: Act, chosen: str, reason: str) -> str:
    """Why it was not done."""
    who = about(request)
    try:
        await act.do(request, chosen, reason, who["actor"], who["ip"])
    except Refused as why:
        return str(why)
    return ""


async def as_many_as_can(chosen: Sequence[T], do: Callable[[T], Awaitable[object]]) -> int:
    """Do it to each of them; returns to how many. Raises NotAsBelieved when somebody was faster with all of them."""
    changed, refusal = 0, None
    for each in chosen:
        try:
            await do(each)
            changed += 1
        except NotAsBelieved as why:
            refusal = why
    if refusal is not None and not changed:
        raise refusal
    return changed


def as_id(chosen: str) -> UUID:
    """Raises Refused."""
    try:
        return UUID(chosen)
    except ValueError:
        raise Refused(f"{chosen!r} is no id.", field="chosen") from None


def as_number(chosen: str) -> int:
    """Raises Refused."""
    if not (chosen.isascii() and chosen.isdigit() and len(chosen) < 18):
        raise Refused(f"{chosen!r} is no number.", field="chosen")
    return int(chosen)


def _chosen(form: forms.Form) -> list[str]:
    """Raises Refused when nothing was chosen, or more than stands on a page."""
    found = list(
        dict.fromkeys(str(value)[:60] for value in form.getall("chosen", []) if isinstance(value, str) and value)
    )
    if not found:
        raise Refused("Nothing was chosen: tick what it is about.", field="chosen")
    if len(found) > MOST:
        raise Refused(f"At most {MOST} at a time, not {len(found)}.", field="chosen")
    return [forms.clean(each) for each in found]
