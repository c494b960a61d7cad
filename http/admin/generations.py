"""Generations: what was asked for, and how each attempt went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, fresh, path_id, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import accounts, explain, models, orders, overview, retries, studio, takedowns
from limner.sql.orders import Order


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("Words of the prompt, e-mail or id"),
        filters.Choice("state", "State", orders.STATES),
        filters.Choice("model", "Model", [each["id"] for each in await models.listing(db)]),
        filters.Choice("fault", "Failure", orders.FAULTS),
        filters.Number("key", "Key"),
        filters.Name("user", "User"),
        filters.SINCE,
        filters.UNTIL,
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Order]:
    words, id = lists.id_or_words(asked["q"])
    account, part = asked.id("user"), ""
    if "@" in words:
        owner = await accounts.find(db, words)
        account, part, words = (owner.id, "", "") if owner and account is None else (account, words, "")
    sought = orders.Sought(
        id,
        account,
        asked["state"],
        asked["model"],
        asked["fault"],
        asked.number("key"),
        words,
        part,
        asked.since,
        asked.until,
    )
    found, edge = await orders.listing(db, sought, asked.moment, count + 1)
    return lists.cut_at(found, count, lists.by_time, edge)


def _cells(each: Order) -> Sequence[object]:
    return (
        each.id, each.email, each.state, each.reason, each.model_id, each.count, each.delivered, each.credits,
        each.seconds and round(each.seconds, 1), each.prompt, each.created_at,
    )  # fmt: skip


LIST = lists.List(
    "/admin/generations", _filters, _fetch,
    ("generation", "e-mail", "state", "reason", "model", "asked for", "delivered", "credits each", "seconds", "prompt",
     "asked (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/generations.html", list=await LIST.show(request))


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def _page(request: web.Request, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    generation = await studio.generation(db, path_id(request))
    attempts = defaultdict(list)
    for attempt in await overview.attempts(db, generation.id):
        attempts[attempt["job_id"]].append(attempt)
    account = await accounts.get(db, generation.account_id)
    return pages.render(
        request,
        "admin/generation.html",
        None if why is None else pages.in_general(why),
        may_retry=await retries.is_offered(db, generation.id),
        generation=generation,
        account=account,
        explained={each["job"]: each for each in (await explain.generation(db, generation.id))["jobs"]},
        jobs=[{"job": job, "attempts": attempts[job.id]} for job in generation.jobs],
        pictures={each.job_id: each for each in await takedowns.of_generation(db, generation.id)},
    )


async def retry(request: web.Request) -> web.StreamResponse:
    """Paint what failed of it once more, on the house."""
    fresh(request)
    db, form = request.app[DB], await forms.read(request)
    generation = await studio.generation(db, path_id(request))
    owner = await accounts.get(db, generation.account_id)
    failed = sum(job.state == "failed" for job in generation.jobs)
    try:
        reason = sure.asked(
            form,
            "Paint what failed again",
            {"failed pictures": failed, "painted again": 0},
            {"failed pictures": failed, "painted again": failed},
            effect=f"{owner.email} gets them for nothing, once. What fails again leaves them the credits.",
            back=f"/admin/generations/{generation.id}",
        )
        async with sure.once(request, form) as tx:
            new = await retries.retry(tx, generation.id, request.app[CONFIG], reason, **about(request))
    except Refused as why:
        return await _page(request, why)
    return pages.see_other(f"/admin/generations/{new}", "asked")


async def explained(request: web.Request) -> web.Response:
    """Which keys were considered for each attempt, and why, as JSON."""
    staff(request)
    db = request.app[DB]
    generation = await studio.generation(db, path_id(request))
    response = web.json_response(await explain.generation(db, generation.id))
    response.headers["Cache-Control"] = "no-store"
    return response
