"""Notices: the outbox, mails and Telegram messages alike: what went, what waits, what failed and why."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from limner.http import pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import admin
from limner.runtime.database import Database
from limner.sql import dispatches
from limner.sql.dispatches import Dispatch

FILTERS = (
    filters.Words("To whom, kind or error"),
    filters.Choice("state", "State", dispatches.STATES),
    filters.Choice("channel", "By", dispatches.CHANNELS, {"telegram": "Telegram"}),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Dispatch]:
    sought = dispatches.Sought(asked["q"], asked["channel"], asked["state"], asked.since, asked.until)
    return lists.cut(await dispatches.listing(db, sought, asked.before, count + 1), count, lists.by_number)


def _cells(each: Dispatch) -> Sequence[object]:
    return (
        each.id,
        each.channel,
        each.recipient,
        each.kind,
        each.state,
        each.attempts,
        each.error,
        each.created_at,
        each.ended_at,
    )


LIST = lists.List(
    "/admin/notices", FILTERS, _fetch,
    ("notice", "by", "to", "kind", "state", "tries", "error", "queued (UTC)", "ended (UTC)"), _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    admin(request)
    return pages.render(request, "admin/notices.html", list=await LIST.show(request))
