"""Tasks: orders that nobody waits for. Who asks later gets the very answer that waiting would have brought."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web

from limner.http.api import access, bodies, outcome
from limner.http.api.errors import ApiError, invalid
from limner.http.api.openapi import operation
from limner.http.api.reading import shown
from limner.http.api.schemas import Task
from limner.http.state import DB, path_id
from limner.sql import answers, generations
from limner.sql.answers import Order
from limner.sql.tokens import Token

ASK_AGAIN = 3
"""Seconds, when nothing better is known."""
KEPT = 24 * 3600
"""Seconds for which a task is promised to be found; its pictures stay as long as the plan keeps them."""
STATUS = {"queued": "queued", "running": "processing", "delivered": "completed"}


async def accepted(request: web.Request, generation_id: UUID, token: Token, form: str) -> web.Response:
    """202: where to ask, and when."""
    try:
        about = _about(await answers.order(request.app[DB], generation_id, token), form)
    except outcome.OUTAGE:  # it is in the books: who heard of trouble would order it again
        about = _told(generation_id, "queued", int(time.time()), form)
    headers = {"Location": about["poll_url"], "Retry-After": str(ASK_AGAIN)}
    if "Prefer" in request.headers:
        headers["Preference-Applied"] = "respond-async"
    return _json(about, headers, status=202)


AS_LINKS = {
    "name": "response_format",
    "in": "query",
    "schema": {"type": "string", "enum": ["b64_json", "url"], "default": "b64_json"},
}


@operation(
    "How a task stands, and its result when it is done.",
    {200: Task},
    (400, 401, 403, 404, 503),
    scope="images:read",
    parameters=[AS_LINKS],
)
async def show(request: web.Request) -> web.StreamResponse:
    """``GET /v1/images/tasks/{id}``."""
    token = await access.enter(request, "images:read")
    form = _form(request)
    return await _whole(request, await answers.order(request.app[DB], path_id(request), token), form)


@operation(
    "Cancel what has not begun; ask the rest to stop.",
    {200: Task},
    (400, 401, 403, 404, 503),
    scope="images:write",
    parameters=[AS_LINKS],
)
async def cancel(request: web.Request) -> web.StreamResponse:
    """``DELETE /v1/images/tasks/{id}``: what has not begun ends at once, what is being painted is asked to stop.

    The pictures that came nevertheless are for a key that may read.
    """
    token = await access.enter(request, "images:write")
    form = _form(request)
    await generations.cancel(request.app[DB], path_id(request), token.account_id)
    order = await answers.order(request.app[DB], path_id(request), token)
    return await _whole(request, order, form, with_pictures="images:read" in token.scopes)


def _form(request: web.Request) -> str:
    form = request.query.get("response_format", "b64_json")
    if form not in ("b64_json", "url"):
        raise invalid("response_format", f"Invalid value: {shown(form)}. Supported values are: 'b64_json' and 'url'.")
    return form


async def _whole(request: web.Request, order: Order, form: str, *, with_pictures: bool = True) -> web.StreamResponse:
    about = _about(order, form)
    if not order.is_over:
        return _json(about, {"Retry-After": _ask_again(order)})
    about["completed_at"] = int(order.changed_at.timestamp())
    if order.delivered and not with_pictures:
        return _json(about | {"http_status": 200})
    try:
        body = await outcome.images(request, order, form)
        return await bodies.answered(request, body.within("result", about | {"http_status": 200}), outcome.AS_IT_IS)
    except ApiError as why:
        about |= {"http_status": why.status, **why.body}
    return _json(about, outcome.AS_IT_IS)


def _about(order: Order, form: str) -> dict[str, Any]:
    about = _told(order.id, STATUS.get(order.state, order.state), int(order.created_at.timestamp()), form)
    until = _waits_until(order)
    return about if until is None else about | {"waits_until": int(until.timestamp())}


def _waits_until(order: Order) -> datetime | None:
    """When the first of its pictures is tried again, while none of them is being painted."""
    if order.is_over or any(each.state == "running" for each in order.answers):
        return None
    return min((each.waits_until for each in order.answers if each.waits_until), default=None)


def _ask_again(order: Order) -> str:
    until = _waits_until(order)
    left = 0 if until is None else int((until - datetime.now(UTC)).total_seconds())
    return str(min(max(left, ASK_AGAIN), 60))


def _told(generation_id: UUID, status: str, created: int, form: str) -> dict[str, Any]:
    address = f"/v1/images/tasks/{generation_id}"
    return {
        "id": str(generation_id),
        "task_id": str(generation_id),
        "object": "image.generation.task",
        "status": status,
        "created_at": created,
        "expires_at": created + KEPT,
        "poll_url": address if form == "b64_json" else f"{address}?response_format={form}",
    }


def _json(body: dict[str, Any], headers: dict[str, str] | None = None, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")
