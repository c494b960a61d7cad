"""Generations: what was asked for, and how each attempt went."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from limner.http import pages
from limner.http.gallery import as_keyset, keyset
from limner.http.state import DB, path_id, staff
from limner.runtime.database import Database
from limner.sql import accounts, overview, studio
from limner.sql.overview import AdminGeneration

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
        request,
        "admin/generations.html",
        generations=[_listed(each) for each in found[:PAGE]],
        state=state,
        older_url=older,
    )


def _listed(generation: AdminGeneration) -> dict[str, Any]:
    return vars(generation) | {"user_email": generation.email, "model_name": generation.model_id}


async def show(request: web.Request) -> web.Response:
    staff(request)
    db = request.app[DB]
    generation = await studio.generation(db, path_id(request))
    attempts = await _attempts(db, generation.id)
    shown = vars(generation) | {
        "user_email": (await accounts.get(db, generation.account_id)).email,
        "jobs": [vars(job) | {"attempts": attempts[job.id]} for job in generation.jobs],
    }
    return pages.render(request, "admin/generation.html", generation=shown)


async def _attempts(db: Database, generation_id: UUID) -> defaultdict[UUID, list[dict[str, Any]]]:
    """By job. One that is still open has no seconds."""
    found = defaultdict(list)
    for attempt in await overview.attempts(db, generation_id):
        seconds = attempt["seconds"] if attempt["finished_at"] else None
        found[attempt["job_id"]].append(attempt | {"seconds": seconds})
    return found
