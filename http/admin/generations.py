"""Generations: what was asked for, and how each attempt went."""

from __future__ import annotations

from collections import defaultdict
from urllib.parse import urlencode

from aiohttp import web

from limner.http import pages
from limner.http.gallery import as_keyset, keyset
from limner.http.state import DB, path_id, staff
from limner.sql import accounts, explain, overview, studio, takedowns

PAGE = 50
STATES = ("queued", "running", "delivered", "failed", "canceled")


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    state = request.query.get("state", "")
    state = state if state in STATES else ""
    before = keyset(request.query.get("before", ""))
    found = await overview.generations(request.app[DB], state=state, before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        last = found[PAGE - 1]
        older = "/admin/generations?" + urlencode({"state": state, "before": as_keyset(last.created_at, last.id)})
    return pages.render(
        request, "admin/generations.html", generations=found[:PAGE], state=state, states=STATES, older_url=older
    )


async def show(request: web.Request) -> web.Response:
    staff(request)
    db = request.app[DB]
    generation = await studio.generation(db, path_id(request))
    attempts = defaultdict(list)
    for attempt in await overview.attempts(db, generation.id):
        attempts[attempt["job_id"]].append(attempt)
    account = await accounts.get(db, generation.account_id)
    return pages.render(
        request,
        "admin/generation.html",
        generation=generation,
        account=account,
        explained={each["job"]: each for each in (await explain.generation(db, generation.id))["jobs"]},
        jobs=[{"job": job, "attempts": attempts[job.id]} for job in generation.jobs],
        pictures={each.job_id: each for each in await takedowns.of_generation(db, generation.id)},
    )


async def explained(request: web.Request) -> web.Response:
    """Which keys were considered for each attempt, and why, as JSON."""
    staff(request)
    db = request.app[DB]
    generation = await studio.generation(db, path_id(request))
    response = web.json_response(await explain.generation(db, generation.id))
    response.headers["Cache-Control"] = "no-store"
    return response
