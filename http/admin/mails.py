"""Mails: which went, which wait and why; and the links that an admin passes on while there is no mail server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, admin, fresh, path_number
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import outbox
from limner.sql.outbox import STATES, Entry, Shown

FILTERS = (filters.Words("To whom, or kind"), filters.Choice("state", "State", STATES), filters.SINCE, filters.UNTIL)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Entry]:
    found = await outbox.listing(
        db,
        state=asked["state"],
        search=asked["q"],
        since=asked.since,
        until=asked.until,
        before=asked.before,
        count=count + 1,
    )
    return lists.cut(found, count, lists.by_number)


def _cells(mail: Entry) -> Sequence[object]:
    return mail.id, mail.recipient, mail.name, mail.state, mail.error, mail.attempts, mail.created_at, mail.ended_at


LIST = lists.List(
    "/admin/mails",
    FILTERS,
    _fetch,
    ("mail", "to", "kind", "state", "error", "tries", "queued (UTC)", "ended (UTC)"),
    _cells,
)


async def show_list(request: web.Request) -> web.Response:
    admin(request)
    return await _page(request)


async def act_on_many(request: web.Request) -> web.StreamResponse:
    fresh(request)
    return await bulk.do(request, ACTS, "/admin/mails", _names)


async def _retry_one(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    await outbox.retry(request.app[DB], bulk.as_number(chosen), reason=reason, actor=actor, ip=ip)


async def _give_up_one(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    await outbox.give_up(request.app[DB], bulk.as_number(chosen), reason=reason, actor=actor, ip=ip)


async def _names(request: web.Request, chosen: list[str]) -> Mapping[str, str]:
    return await outbox.names(request.app[DB], [bulk.as_number(each) for each in chosen])


ACTS = {
    "retry": bulk.Act(
        "Send now", "Each of them is tried again at once, also those that were given up.", _retry_one, grave=False
    ),
    "give_up": bulk.Act("Give up", "They are never sent.", _give_up_one),
}


async def show_link(request: web.Request) -> web.Response:
    """A form, since it is an act: that a link was shown is written down."""
    fresh(request)
    await forms.read(request)
    config = request.app[CONFIG]
    try:
        shown = await outbox.link(
            request.app[DB], path_number(request), config.public_url, config.secret_keys, **about(request)
        )
    except Refused as why:
        return await _page(request, why)
    return await _page(request, shown=shown)


async def _page(request: web.Request, why: Refused | None = None, shown: Shown | None = None) -> web.Response:
    return pages.render(
        request,
        "admin/mails.html",
        why,
        list=await LIST.show(request),
        shown=shown,
        sends=request.app[CONFIG].smtp_host is not None,
    )
