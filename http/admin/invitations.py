"""Invitations: made, listed, taken back; the link is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, fresh, path_id, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import invitations
from limner.sql.invitations import Invitation

FILTERS = (
    filters.Words("Note, or who made it"),
    filters.Choice("state", "State", invitations.STATES),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Invitation]:
    sought = invitations.Sought(asked["q"], asked["state"], asked.since, asked.until)
    return lists.cut(await invitations.listing(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(each: Invitation) -> Sequence[object]:
    uses = (each.uses, each.most_uses)
    return each.id, each.hint, each.state, each.note, *uses, each.expires_at, each.created_by, each.created_at


LIST = lists.List(
    "/admin/invitations", FILTERS, _fetch,
    ("id", "begins with", "state", "note", "used", "for", "until (UTC)", "made by", "made (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def create(request: web.Request) -> web.StreamResponse:
    """The answer is the page with the link on it: nowhere else is it ever shown."""
    fresh(request)
    form = await forms.read(request)
    try:
        code = await invitations.create(
            request.app[DB],
            uses=forms.whole(form, "uses", least=1, most=invitations.MOST_USES),
            days=forms.whole(form, "days", least=1, most=invitations.MOST_DAYS),
            note=forms.text(form, "note", most=200),
            reason=forms.text(form, "reason", most=200, needed=True),
            **about(request),
        )
    except Refused as why:
        return await _page(request, forms.kept(form, "uses", "days", "note", "reason"), why)
    return await _page(request, link=f"{request.app[CONFIG].public_url}/register?invite={quote(code)}")


async def revoke(request: web.Request) -> web.StreamResponse:
    fresh(request)
    invitation_id, form = path_id(request), await forms.read(request)
    reason = forms.text(form, "reason", most=200, needed=True)
    await invitations.revoke(request.app[DB], invitation_id, reason, **about(request))
    return pages.see_other("/admin/invitations", "saved")


async def _page(
    request: web.Request, typed: dict[str, str] | None = None, why: Refused | None = None, link: str | None = None
) -> web.Response:
    return pages.render(
        request,
        "admin/invitations.html",
        why,
        form=typed or {"uses": "1", "days": "14"},
        link=link,
        mode=request.app[CONFIG].registration,
        list=await LIST.show(request),
    )
