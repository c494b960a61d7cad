"""Audit: who did what, newest first."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from limner.http import pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import staff
from limner.runtime.database import Database
from limner.sql import acts
from limner.sql.audit import Entry

FILTERS = (
    filters.Words("Of whom, or of what"),
    filters.Words("Who", "actor", aside=True),
    filters.Words("What, such as key or key.state", "action", aside=True),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Entry]:
    sought = acts.Sought(asked["q"], asked["actor"], asked["action"], asked.since, asked.until)
    return lists.cut(await acts.listing(db, sought, asked.before, count + 1), count, lists.by_number)


def _cells(entry: Entry) -> Sequence[object]:
    sides = [None if each is None else json.dumps(each, ensure_ascii=False) for each in (entry.before, entry.after)]
    return entry.id, entry.created_at, entry.actor, entry.ip, entry.action, entry.subject, *sides


LIST = lists.List(
    "/admin/audit", FILTERS, _fetch, ("entry", "when (UTC)", "who", "from", "what", "of", "before", "after"), _cells
)


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/audit.html", list=await LIST.show(request))
