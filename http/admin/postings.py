"""The ledger: every entry of everybody, by account, kind and day, with the receipt behind each."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from limner.http import pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, path_number, staff
from limner.runtime.database import Database
from limner.sql import accounts, postings
from limner.sql.postings import Posting

FILTERS = (
    filters.Words("E-mail, picture or invoice"),
    filters.Choice("kind", "Kind", postings.KINDS),
    filters.Name("user", "User"),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Posting]:
    part, about = lists.id_or_words(asked["q"])
    account = asked.id("user")
    if part and account is None and (owner := await accounts.find(db, part)):
        account, part = owner.id, ""
    sought = postings.Sought(part, account, about, asked["kind"], asked.since, asked.until)
    found, edge = await postings.listing(db, sought, asked.entry, count + 1)
    return lists.cut_at(found, count, lists.by_time, edge)


def _cells(each: Posting) -> Sequence[object]:
    about = (each.job_id, each.generation_id, each.invoice_id)
    return each.id, each.created_at, each.email, each.kind, each.credits, each.change, each.why, *about


LIST = lists.List(
    "/admin/ledger", FILTERS, _fetch,
    ("entry", "when (UTC)", "e-mail", "kind", "credits", "change", "why", "picture", "generation", "invoice"), _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/ledger.html", list=await LIST.show(request))


async def show(request: web.Request) -> web.Response:
    """An entry with its receipt: what else was written of the same picture."""
    staff(request)
    db = request.app[DB]
    entry = await postings.get(db, path_number(request))
    receipt = await postings.of_job(db, entry.job_id) if entry.job_id else [entry]
    return pages.render(request, "admin/entry.html", entry=entry, receipt=receipt)
