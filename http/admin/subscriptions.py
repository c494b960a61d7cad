"""Subscriptions: who has which plan, since when and until when."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from limner.http import pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, path_id, staff
from limner.runtime.database import Database
from limner.sql import accounts, holders, plans, subscriptions
from limner.sql.holders import Held


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("E-mail or id"),
        filters.Choice("state", "State", holders.STATES, {"pending_activation": "to be paid"}),
        filters.Choice("plan", "Plan", [each["code"] for each in await plans.listing(db)]),
        filters.SINCE,
        filters.UNTIL,
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Held]:
    text, id = lists.id_or_words(asked["q"])
    sought = holders.Sought(text, id, asked["state"], asked["plan"], asked.since, asked.until)
    return lists.cut(await holders.listing(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(each: Held) -> Sequence[object]:
    period = (each.period_start, each.period_end)
    return (
        each.id,
        each.email,
        each.plan,
        each.next_plan,
        each.state,
        each.cycles,
        each.cycle_credits,
        *period,
        each.created_at,
    )


LIST = lists.List(
    "/admin/subscriptions", _filters, _fetch,
    ("subscription", "e-mail", "plan", "next plan", "state", "cycles", "credits a cycle", "from (UTC)", "until (UTC)",
     "made (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/subscriptions.html", list=await LIST.show(request))


async def show(request: web.Request) -> web.Response:
    staff(request)
    db = request.app[DB]
    held = await subscriptions.get(db, path_id(request))
    return pages.render(
        request,
        "admin/subscription.html",
        held=held,
        account=await accounts.get(db, held.account_id),
        bills=await holders.bills(db, held.id),
        acts=await holders.acts(db, held.id),
    )
